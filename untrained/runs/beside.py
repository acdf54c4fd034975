"""What is trained beside the selected architecture, as `--compare` says it."""

from dataclasses import dataclass

from untrained.settings import check_range

Compare = tuple[int | str, ...] | int
"A number of random architectures, names of networks, or both."

RESNET = "resnet"
"A residual network with about as many parameters as the selected architecture."


@dataclass(frozen=True)
class Beside:
    """Random architectures, and networks by name."""

    random: int
    "How many of the space."
    names: tuple[str, ...]
    "`resnet`, or package.module:name of functions that return a network."

    @classmethod
    def parse(cls, compare: Compare) -> "Beside":
        """What a command line or a file asks for.

        Raises:
            ValueError: more than one number, or what names no network.

        Example:
            >>> Beside.parse((5, "resnet"))
            Beside(random=5, names=('resnet',))
        """
        words = compare if isinstance(compare, tuple) else (compare,)
        numbers = [word for word in words if isinstance(word, int)]
        names = tuple(word for word in words if isinstance(word, str))
        for number in numbers:
            check_range("compare", number, 0)
        wrong = [name for name in names if name != RESNET and ":" not in name]
        if wrong or len(numbers) > 1 or len({*names}) < len(names):
            raise ValueError(
                f"compare: expected a number of random architectures, and names, each once: "
                f"{RESNET}, or package.module:name of a function that returns a network; got "
                f"{' '.join(map(str, words))!r}"
            )
        return cls(sum(numbers), names)
