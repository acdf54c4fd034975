"""Plans: in what pieces a chosen method computes a kernel, under a ceiling of memory.

The ceiling is on what is allocated beyond the network and its inputs. It is kept by passing fewer
examples at a time; by gathering the shares of fewer parameters in a pass, at the price of more
passes; and last by computing Theta in tiles, at the price of passes for each.
"""

from collections.abc import Mapping

from untrained.analysis.plan import Plan
from untrained.kernels.choice import MethodChoice, Problem

MEMORY = 4 * 2**30
"Bytes, where no ceiling is given."
LEAST_WORKSPACE, MOST_WORKSPACE = 2**18, 2**27
MOST_TOGETHER = 64
LEAST_CHUNK = 16
"Examples in a pass below which its calls cost more than their arithmetic."
MOST_PASS = 2**31
"Bytes of a pass above which several of a quarter of that are faster, their memory being reused."


def make_plan(problem: Problem, choice: MethodChoice, precision: str, memory: int | None) -> Plan:
    """The fewest passes that stay under the ceiling.

    Raises:
        ValueError: the ceiling is too low for Theta, or for one example.
    """
    ceiling = MEMORY if memory is None else memory
    left = ceiling - problem.kernel_bytes
    if left <= 0:
        raise ValueError(
            f"the kernel alone takes {_size(problem.kernel_bytes)}: expected a ceiling above "
            f"that, got memory={ceiling} bytes; ask for fewer examples, or for output='sum'"
        )
    workspace = min(max(left // 16, LEAST_WORKSPACE), MOST_WORKSPACE)
    if choice.method == "structured":
        pieces = _structured(problem, left)
    else:
        pieces = _by_rows(problem, choice.method, left)
    # A pass without gradients holds a few tensors at a time.
    calibration = max(1, left // 2 // (4 * problem.survey.widest_bytes + 1))
    return Plan(
        choice.method,
        choice.reason,
        choice.predicted,
        precision,
        ceiling,
        *pieces,
        min(calibration, problem.n),
        _together(problem, choice.method, pieces[0], left),
        workspace,
    )


Pieces = tuple[int, int, tuple[tuple[str, ...], ...], int]


def _structured(problem: Problem, left: int) -> Pieces:
    kept = {name: problem.survey.kept_bytes.get(name, 0) for name in problem.sizes}
    # Gradients of all columns are held until the last, so that inputs are multiplied once.
    each = sum(kept.values())
    columns = problem.columns
    if not problem.apart:
        columns = max(1, min(columns, left // 6 // max(1, each * problem.examples)))
    held = each * (columns if columns > 1 else 0)
    if problem.examples * (problem.pass_bytes + held) <= min(left // 2, MOST_PASS):
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
        if problem.survey.coupled:
            chunk = _all_together(problem, method, one, left)
        return chunk, max(problem.n, problem.m or 0), (tuple(rows),), columns
    if method in ("loop", "batched"):
        _all_together(problem, method, one, left)
    each = problem.examples * sum(rows.values())
    if not problem.apart:
        columns = max(1, min(problem.columns, left // 3 // each))
    chunk, side, groups = _gathered(problem, one, rows, columns, left)
    return (problem.examples if method != "vmap" else chunk), side, groups, columns


def _together(problem: Problem, method: str, chunk: int, left: int) -> int:
    if method == "vmap":
        return min(chunk, MOST_TOGETHER)
    if method == "batched":  # each row passes through the whole batch; vmap holds more
        each = problem.examples * problem.pass_bytes
        return max(1, min(left // 8 // each, MOST_TOGETHER // 4))
    return 1


def _all_together(problem: Problem, method: str, one: int, left: int) -> int:
    """All examples, if one pass may hold them."""
    if problem.examples * one > left // 2:
        raise ValueError(
            f"method {method!r} passes the whole batch at once: expected a ceiling above "
            f"{_size(2 * problem.examples * one)}, got {_size(left)} beside the kernel; raise "
            f"memory= or show fewer examples"
        )
    return problem.examples


def _gathered(
    problem: Problem, one: int, kept: Mapping[str, int], columns: int, left: int
) -> tuple[int, int, tuple[tuple[str, ...], ...]]:
    """Chunk, side and groups: a sixth of the room for passes, a seventh for what is gathered.

    What is gathered is there twice when it is put together, and freed memory is not all reused.
    """
    room = left // 7
    needed = max(4 * one, 14 * columns * max(kept.values()))
    if needed > left:
        raise ValueError(
            f"one example needs about {_size(needed)}: expected a ceiling above that, got "
            f"{_size(left)} beside the kernel; raise memory="
        )
    held = room // (columns * max([1, *kept.values()]))
    whole = held >= problem.examples
    side = max(problem.n, problem.m or 0) if whole else held // 2
    shown = problem.examples if whole else 2 * side
    groups = packed({name: size * columns * shown for name, size in kept.items()}, room)
    fastest = max(LEAST_CHUNK, MOST_PASS // 4 // one)
    return max(1, min(left // 6 // one, fastest, problem.examples)), side, groups


def packed(sizes: Mapping[str, int], room: int) -> tuple[tuple[str, ...], ...]:
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
