"""What a run cost, by step."""

from dataclasses import dataclass

from untrained.runs.record import RunRecord


@dataclass(frozen=True)
class LedgerLine:
    """One step of the cost ledger."""

    step: str
    count: int
    seconds: float
    share: float
    "Of all seconds, in [0, 1]."


@dataclass(frozen=True)
class Ledger:
    """Seconds by step, most expensive first."""

    lines: tuple[LedgerLine, ...]
    seconds: float
    "Of all steps."
    wall_seconds: tuple[tuple[str, float], ...]
    "Phase and wall seconds, in the order of the record."


def ledger(run: RunRecord) -> Ledger:
    """The ledger of a run."""
    seconds = sum((cost.seconds for cost in run.costs), 0.0)
    costs = sorted(run.costs, key=lambda cost: -cost.seconds)
    lines = (LedgerLine(c.step, c.count, c.seconds, c.seconds / (seconds or 1)) for c in costs)
    return Ledger(tuple(lines), seconds, tuple(run.wall_seconds.items()))
