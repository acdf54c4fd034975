"""Plans: which method computes a kernel, in what pieces, under a ceiling of memory.

The ceiling is on what is allocated beyond the network and its inputs. It is kept by passing fewer
examples at a time; by gathering the shares of fewer parameters in a pass, at the price of more
passes; and last by computing Theta in tiles, at the price of passes for each.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

from untrained.kernels import costs
from untrained.kernels.survey import Survey

MEMORY = 4 * 2**30
"Bytes, where no ceiling is given."
LEAST_WORKSPACE, MOST_WORKSPACE = 2**18, 2**27


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
        """Theta, and a sum under way of the same shape."""
        rows = self.columns if self.apart else 1
        return 8 * self.n * (self.m or self.n) * rows * rows * (self.tiles + 1)

    @property
    def pass_bytes(self) -> int:
        """Of one example in a forward and a backward pass: activations, and gradients under way."""
        return max(1, 2 * self.survey.forward_bytes)


@dataclass(frozen=True)
class Plan:
    """How a kernel is computed."""

    method: str
    reason: str
    "Why this method."
    predicted: Mapping[str, float]
    "Seconds on one core of the machine that `costs` was fitted on, for each method that applies."
    precision: str
    "Of products; see `contraction`."
    memory: int
    "The ceiling in bytes."
    chunk: int
    "Examples in a pass."
    side: int
    "Examples on each side of a tile of Theta."
    groups: tuple[tuple[str, ...], ...]
    "Parameters that are gathered in the same passes."
    columns: int
    "Of the readout, gathered in the same passes."
    workspace: int
    "Bytes for the rows of one parameter at a time."
    channels_last: bool
    "Whether images are laid out so, which is faster on a CPU."


def seconds(problem: Problem, method: str) -> float:
    """Predicted, for a plan without a ceiling."""
    s, n = problem.survey, problem.examples
    forward = costs.seconds("forward", macs=s.macs, numbers=s.forward_bytes / problem.width)
    calls = costs.seconds("forward", calls=s.calls)
    rows = problem.columns * n
    p = sum(problem.sizes.values())
    pairs = problem.n * (problem.m or problem.n) * problem.columns
    summing = costs.seconds(
        "product_float32", macs=pairs * p * (problem.columns if problem.apart else 1)
    )
    one_pass = (1 + problem.columns) * (forward * n + calls)
    return {
        "structured": lambda: 1.5 * one_pass + summing / 2,
        "vmap": lambda: (1 + 2 * problem.columns) * n * forward * 1.5 + 6 * calls + summing,
        "batched": lambda: rows * (4 * n * forward + 6 * calls / 16) + summing,
        "loop": lambda: rows * (2 * n * forward + 2 * calls) + summing,
        "products": lambda: rows * (7 * n * forward + 7 * calls),
    }[method]()


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


class Choice(NamedTuple):
    """A method, why it was taken, and the seconds predicted for each that applies."""

    method: str
    reason: str
    predicted: Mapping[str, float]


def choose(predicted: Mapping[str, float], refused: Mapping[str, str]) -> Choice:
    """The fastest of the methods that apply, with the reason in words."""
    method = min(predicted, key=predicted.__getitem__)
    others = sorted((s, name) for name, s in predicted.items() if name != method)
    reason = f"{method}: predicted {predicted[method]:.2g} s on one core"
    reason += "".join(f", {name} {s:.2g} s" for s, name in others)
    reason += "".join(f"; {name} does not apply: {why}" for name, why in refused.items())
    return Choice(method, reason, predicted)


def make_plan(
    problem: Problem,
    choice: Choice,
    precision: str,
    memory: int | None,
    channels_last: bool,
) -> Plan:
    """The fewest passes that stay under the ceiling.

    Raises:
        ValueError: the ceiling is too low for Theta, or for one example.
    """
    ceiling = MEMORY if memory is None else memory
    left = ceiling - problem.kernel_bytes
    if left <= 0:
        raise ValueError(
            f"the kernel alone takes {_size(problem.kernel_bytes)}: expected a ceiling above that, "
            f"got memory={_size(ceiling)}; ask for fewer examples, or for output='sum'"
        )
    workspace = min(max(left // 8, LEAST_WORKSPACE), MOST_WORKSPACE)
    if choice.method == "structured":
        pieces = _structured(problem, left)
    else:
        pieces = _by_rows(problem, choice.method, left)
    return Plan(
        choice.method, choice.reason, choice.predicted, precision, ceiling, *pieces, workspace,
        channels_last,
    )  # fmt: skip


Pieces = tuple[int, int, tuple[tuple[str, ...], ...], int]


def _structured(problem: Problem, left: int) -> Pieces:
    kept = {name: problem.survey.kept_bytes.get(name, 0) for name in problem.sizes}
    # Gradients of all columns are held until the last, so that inputs are multiplied once.
    each = sum(kept.values())
    columns = problem.columns
    if not problem.apart:
        columns = max(1, min(columns, left // 4 // max(1, each * problem.examples)))
    held = each * (columns if columns > 1 else 0)
    if problem.examples * (problem.pass_bytes + held) <= left // 2:
        return problem.examples, problem.n, (tuple(kept),), columns
    columns = problem.columns if problem.apart else 1
    return (*_gathered(problem, problem.pass_bytes, kept, columns, left), columns)


def _by_rows(problem: Problem, method: str, left: int) -> Pieces:
    """Rows of J, of as many parameters at a time as fit."""
    columns = problem.columns if problem.apart else 1
    rows = {name: size * problem.width for name, size in problem.sizes.items()}
    one = problem.pass_bytes
    if method == "vmap":  # it holds all activations twice, and each gradient besides its row
        one = 2 * one + 2 * columns * max(rows.values())
    if method == "products":
        chunk = max(1, min(left // 3 // one, problem.examples))
        return chunk, max(problem.n, problem.m or 0), (tuple(rows),), columns
    if method in ("loop", "batched") and problem.examples * one > left // 2:
        raise ValueError(
            f"method {method!r} keeps the graph of the whole batch: expected a ceiling above "
            f"{_size(3 * problem.examples * one)}, got {_size(left)} beside the kernel; raise "
            f"memory= or show fewer examples"
        )
    each = problem.examples * sum(rows.values())
    if not problem.apart:
        columns = max(1, min(problem.columns, left // 3 // each))
    chunk, side, groups = _gathered(problem, one, rows, columns, left)
    return (problem.examples if method != "vmap" else chunk), side, groups, columns


def _gathered(
    problem: Problem, one: int, kept: Mapping[str, int], columns: int, left: int
) -> tuple[int, int, tuple[tuple[str, ...], ...]]:
    """Chunk, side and groups: a third of the room for passes, a third for what is gathered."""
    room = left // 3
    needed = max(one, 2 * columns * max(kept.values()))
    if needed > room:
        raise ValueError(
            f"one example needs about {_size(3 * needed)}: expected a ceiling above that, got "
            f"{_size(left)} beside the kernel; raise memory="
        )
    held = room // (columns * max([1, *kept.values()]))
    whole = held >= problem.examples
    side = max(problem.n, problem.m or 0) if whole else held // 2
    shown = problem.examples if whole else 2 * side
    groups = _packed({name: size * columns * shown for name, size in kept.items()}, room)
    return min(room // one, problem.examples), side, groups


def _packed(sizes: Mapping[str, int], room: int) -> tuple[tuple[str, ...], ...]:
    """Neighbours in groups that fit; whatever is larger than the room is alone."""
    groups: list[tuple[str, ...]] = []
    current: list[str] = []
    for name, size in sizes.items():
        if current and sum(sizes[n] for n in current) + size > room:
            groups.append(tuple(current))
            current = []
        current.append(name)
    return (*groups, tuple(current))


def _size(count: int) -> str:
    for unit, size in (("GiB", 2**30), ("MiB", 2**20), ("KiB", 2**10)):
        if count >= size:
            return f"{count / size:.3g} {unit}"
    return f"{count} bytes"
