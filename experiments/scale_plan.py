"""How many workers drivers and a store can feed: a plan for up to 10,000, by simulation.

    python experiments/scale_plan.py run    # results/scale/plan.csv, in some minutes
    python experiments/scale_plan.py cost --architectures 1000000 --seconds 1 --workers 1000

What goes in was measured: see `scale_model.py`, which says where.
"""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import cyclopts
import polars as pl
from scale_model import FILE, PROCESSES, RAY, SERVER, Plan, simulate

app = cyclopts.App(help=__doc__)
RESULTS = Path(__file__).parents[1] / "results" / "scale" / "plan.csv"
WORKERS = 1, 3, 10, 30, 100, 300, 1000, 3000, 10_000
LENGTHS = 0.1, 1.0, 10.0, 60.0
"Seconds of a task."
WINDOW = 16_384
"Architectures that a driver of a sweep has before it: `runs.sweeping.MOST` ranges."
SPREAD = 0.5
"Of the logarithm of seconds: networks of one space differ so, about."
USUAL = Plan(1, 1.0, RAY, SERVER, spread=SPREAD)


def plans() -> Iterator[tuple[str, Plan]]:
    """Every plan, with what it is to show."""
    for engine, backend in ((PROCESSES, FILE), (RAY, FILE)):
        yield "measured", Plan(2, 1.0, engine, backend)
    for engine, backend in ((PROCESSES, FILE), (RAY, SERVER)):
        for seconds in LENGTHS:
            for message in (1, 16):
                for workers in WORKERS:
                    plan = Plan(workers, seconds, engine, backend, spread=SPREAD, message=message)
                    if engine is RAY or workers <= 100:  # of one machine
                        yield "one driver", plan
    for seconds, cores in ((1.0, 1), (0.1, 1), (0.1, 4)):
        for message in (1, 16):
            for drivers in (1, 2, 5, 10, 20, 50, 100, 300):
                yield (
                    "drivers",
                    replace(
                        USUAL,
                        workers=10_000,
                        seconds=seconds,
                        drivers=drivers,
                        message=message,
                        cores=cores,
                    ),
                )
    for seconds in LENGTHS:
        for message in (1, 2, 4, 8, 16, 32, 64, 128):
            yield (
                "message",
                replace(USUAL, workers=1000, seconds=seconds, message=message, lost=0.05),
            )
    for workers in (100, 300, 1000, 3000, 10_000):
        for message in (1, 16):
            yield (
                "window",
                replace(USUAL, workers=workers, seconds=60.0, message=message, window=WINDOW),
            )
    for measurements in (1, 12, 60):
        for drivers in (1, 10, 100):
            yield (
                "measurements",
                replace(
                    USUAL, workers=10_000, seconds=10.0, drivers=drivers, measurements=measurements
                ),
            )


@app.command
def run() -> None:
    """Simulates all of them."""
    rows = []
    for part, plan in plans():
        found = simulate(plan, cycles=cycles_of(plan))
        rows.append({"part": part, **plain(plan), **found._asdict()})
        print(rows[-1], flush=True)
    RESULTS.parent.mkdir(parents=True, exist_ok=True)
    pl.DataFrame(rows, infer_schema_length=None).write_csv(RESULTS, float_precision=4)


def cycles_of(plan: Plan) -> float:
    """For how long it is simulated: 20 windows, or what gives some ten thousand messages."""
    if plan.window:
        return max(20 * plan.window / plan.workers / plan.message, 20.0)
    return max(8.0, 40_000 / plan.workers)


def plain(plan: Plan) -> dict[str, Any]:
    """A plan as a row of a table."""
    named = {
        "engine": "processes" if plan.engine == PROCESSES else "ray",
        "store": "sqlite" if plan.backend == FILE else "postgresql",
    }
    return named | {k: v for k, v in vars(plan).items() if k not in ("engine", "backend")}


@app.command
def cost(
    *,
    architectures: int = 1_000_000,
    seconds: float = 1.0,
    workers: int = 1000,
    drivers: int = 1,
    message: int = 1,
    price: float = 0.0,
) -> None:
    """Hours and worker-hours of a sweep on Ray with a PostgreSQL store.

    Parameters
    ----------
    architectures
        How many.
    seconds
        Of all scores and draws of one, on average.
    workers, drivers, message
        At work; and tasks in a message.
    price
        Of a worker's hour, in whatever money.
    """
    asked = replace(USUAL, workers=workers, seconds=seconds, drivers=drivers, message=message)
    found = simulate(asked)
    hours = architectures / found.rate / 3600
    print(
        f"{found.rate:,.0f} architectures/s, {hours:,.2f} hours, {hours * workers:,.0f} "
        f"worker-hours at {found.efficiency:.1%}, drivers busy {found.driver:.0%}, server "
        f"{found.server:.0%}" + (f", price {hours * workers * price:,.2f}" if price else "")
    )


if __name__ == "__main__":
    app()
