"""What measurements took."""

from collections.abc import Iterable, Mapping, Sequence
from math import fsum

from sqlalchemy import Connection, func, select

from untrained.storage.schema import costs, measurements


def seconds_by_score(
    connection: Connection, trials: Iterable[Mapping[str, Sequence[str]]]
) -> dict[str, float]:
    """Score -> seconds that it took for an architecture on average, as `Store.seconds`.

    Args:
        connection: to the store.
        trials: of each, score -> the key of each draw's measurement.
    """
    columns: dict[str, set[frozenset[str]]] = {}
    for trial in trials:
        for score, of_draws in trial.items():
            columns.setdefault(score, set()).add(frozenset(of_draws))
    keys = sorted({key for of_it in columns.values() for each in of_it for key in each})
    spent: dict[str, float] = {}
    for start in range(0, len(keys), 500):
        some = measurements.c.key.in_(keys[start : start + 500])
        query = select(measurements.c.key, measurements.c.seconds).where(some)
        spent |= {key: seconds for key, seconds in connection.execute(query)}
    whole = {  # summed exactly, as scores that share all their costs must cost the same
        score: [fsum(map(spent.__getitem__, each)) for each in of_it if each <= spent.keys()]
        for score, of_it in columns.items()
    }
    return {score: fsum(totals) / len(totals) for score, totals in whole.items() if totals}


def seconds_by_step(
    connection: Connection, ids: Sequence[str], *, wall: bool
) -> list[tuple[str, int, float]]:
    """As `Store.costs`."""
    total = select(costs.c.step, func.count(), func.sum(costs.c.seconds))
    of_them = total.where(costs.c.run.in_(ids), costs.c.wall == wall)
    query = of_them.group_by(costs.c.step).order_by(costs.c.step)
    measured = (
        select(measurements.c.score, func.count(), func.sum(measurements.c.seconds))
        .where(measurements.c.run.in_(ids))
        .group_by(measurements.c.score)
        .order_by(measurements.c.score)
    )
    rows = [tuple(row) for row in connection.execute(query)]
    if not wall:
        rows += [tuple(row) for row in connection.execute(measured)]
    return [row for row in rows if isinstance(row[0], str)]
