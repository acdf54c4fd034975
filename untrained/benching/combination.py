"""Several scores as one, as it is asked for: `rank_sum(naswot, synflow)`."""

import re
from dataclasses import dataclass

METHODS = ("rank_sum", "log_rank_sum", "z_sum", "cross_fitted")
"Functions of `tables.combining`."

FORM = re.compile(r"\s*(\w+)\s*\(([^()]*)\)\s*")


@dataclass(frozen=True)
class Combination:
    """A method, and the scores that it combines."""

    method: str
    scores: tuple[str, ...]

    def __str__(self) -> str:
        return f"{self.method}({', '.join(self.scores)})"

    @classmethod
    def parse(cls, text: str) -> "Combination":
        """The combination with this text form.

        Raises:
            ValueError: another form, an unknown method, or fewer than two scores.

        Example:
            >>> Combination.parse("rank_sum(naswot,synflow)")
            Combination(method='rank_sum', scores=('naswot', 'synflow'))
        """
        found = FORM.fullmatch(text)
        method = found[1] if found else ""
        scores = [name.strip() for name in found[2].split(",")] if found else []
        if method not in METHODS or len({*scores, ""}) < max(3, len(scores) + 1):
            raise ValueError(
                f"combine: expected {' or '.join(METHODS)} of two scores or more, each once, such "
                f"as 'rank_sum(naswot, synflow)', got {text!r}"
            )
        return cls(method, tuple(scores))
