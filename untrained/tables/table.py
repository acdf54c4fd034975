"""What real training gave, and where an architecture stands by it."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Standing:
    """Where one architecture stands among a population, by one column of a table."""

    data: str
    "`CIFAR-10`, `CIFAR-100`, `ImageNet16-120`."
    accuracy: float
    "Test accuracy of the table, in [0, 1]."
    best: float
    "The best accuracy in the population."
    rank: int
    "1 is the best."
    population: str
    "`all` or `none-free`."
    size: int
    "Architectures in the population."

    @property
    def percentile(self) -> float:
        """Share of the rest of the population that it beats or equals, in percent."""
        return 100 * (self.size - self.rank) / max(self.size - 1, 1)
