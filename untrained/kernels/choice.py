"""The choice of a method and of a precision, by what each is predicted to take.

Seconds are those of `costs`, for the amounts of work that a survey found.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Literal, NamedTuple

from untrained.layerwise import costs
from untrained.layerwise.contraction import HALVED
from untrained.layerwise.survey import Survey

Method = Literal["auto", "loop", "batched", "vmap", "structured", "products"]

METHODS: tuple[Method, ...] = ("structured", "vmap", "batched", "loop", "products")
INDEPENDENT: tuple[Method, ...] = ("structured", "vmap")
"Methods for independent examples alone."


@dataclass(frozen=True)
class Problem:
    """What is asked for."""

    n: int
    m: int | None
    "None where the columns' examples are the rows'."
    columns: int
    "Of the readout."
    apart: bool
    sizes: Mapping[str, int]
    "Numbers in each parameter."
    survey: Survey
    tiles: int = 1
    "Kernels to be held at once, where shares are told apart."
    width: int = 4
    "Bytes of a number of the network."

    @property
    def examples(self) -> int:
        """That the passes see."""
        return self.n + (self.m or 0)

    @property
    def kernel_bytes(self) -> int:
        """Theta, and a product under way of some of its rows."""
        each = self.columns if self.apart else 1
        rows, columns = self.n * each, (self.m or self.n) * each
        return 8 * columns * (rows * self.tiles + min(rows, HALVED))

    @property
    def pass_bytes(self) -> int:
        """Of one example in a forward and a backward pass.

        Less is alive at a time than a forward pass makes in all: 0.7 of it, measured over
        convolutional networks.
        """
        return max(1, self.survey.forward_bytes)


def seconds(problem: Problem, method: str) -> float:
    """Predicted, for a plan without a ceiling."""
    s, n, q = problem.survey, problem.examples, problem.columns
    passed = costs.seconds("forward", macs=s.macs, numbers=s.forward_bytes / problem.width)
    called = costs.seconds("forward", calls=s.calls)
    pairs = problem.n * (problem.m or problem.n) * (q * q if problem.apart else q)
    p = sum(problem.sizes.values())
    by_rows = costs.seconds("product_float32", macs=pairs * p)
    if method == "structured":
        # Hooks and Python around each call cost some calls more.
        return (1 + q) * (1.3 * passed * n + 2 * called) + _contraction(problem)
    if method == "vmap":
        return (1 + 2 * q) * (1.5 * passed * n + 3 * called) + by_rows
    if method == "products":
        return q * n * (7 * passed * n + 25 * called)
    if method == "batched":
        return q * n * (4 * passed * n + called) + by_rows
    return q * n * (2 * passed * n + 2 * called) + by_rows


def _contraction(problem: Problem) -> float:
    """Seconds for rows and their products, or for Gram matrices where these are cheaper."""
    n, q = problem.examples, problem.columns
    pairs, each = problem.n * (problem.m or problem.n), q * q if problem.apart else q
    total = 0.0
    for o, a, t in problem.survey.weights:
        rows = costs.seconds("outer", macs=q * n * t * o * a, rows=q * n * o * a)
        rows += costs.seconds("product_float32", macs=pairs * each * o * a)
        grams = costs.gram_seconds("product_float32", pairs * t * t, a, o, q, problem.apart)
        total += min(rows, grams)
    return total


def precision_for(problem: Problem) -> str:
    """float64 where its products are cheap beside the passes, float32 elsewhere."""
    if problem.width == 8:
        return "float64"
    s, p = problem.survey, sum(problem.sizes.values())
    pairs = problem.n * (problem.m or problem.n) * problem.columns
    exact = costs.seconds("product_float64", macs=pairs * p)
    numbers = s.forward_bytes / problem.width
    passes = problem.examples * costs.seconds("forward", macs=3 * s.macs, numbers=3 * numbers)
    return "float64" if exact <= CHEAP * passes else "float32"


CHEAP = 0.1


class MethodChoice(NamedTuple):
    """A method, why it was taken, and the seconds predicted for each that applies."""

    method: str
    reason: str
    predicted: Mapping[str, float]


def choose(predicted: Mapping[str, float], refused: Mapping[str, str]) -> MethodChoice:
    """The fastest of the methods that apply, with the reason in words."""
    method = min(predicted, key=predicted.__getitem__)
    others = sorted((s, name) for name, s in predicted.items() if name != method)
    reason = f"{method}: predicted {predicted[method]:.2g} s on one core"
    reason += "".join(f", {name} {s:.2g} s" for s, name in others)
    reason += "".join(f"; {name} does not apply: {why}" for name, why in refused.items())
    return MethodChoice(method, reason, predicted)


def choices(problem: Problem, method: str, refused: Mapping[str, str]) -> Iterator[MethodChoice]:
    """Methods to try, the fastest first; those that fail meanwhile, `refused` comes to name.

    Args:
        problem: what is asked for.
        method: the only one to try, or `auto`.
        refused: why methods do not apply.

    Raises:
        ValueError: the method asked for is refused.
    """
    if method != "auto":
        if method in refused:
            raise ValueError(
                f"{refused[method]}: method {method!r} cannot be exact; use method='loop'"
            )
        yield MethodChoice(method, f"{method}: as asked for", {method: seconds(problem, method)})
        return
    while left := [each for each in METHODS if each not in refused]:
        yield choose({each: seconds(problem, each) for each in left}, refused)
