"""What measurements took."""

from collections.abc import Iterable, Mapping, Sequence
from math import fsum

from sqlalchemy import Connection, select

from untrained.storage.schema import measurements


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
