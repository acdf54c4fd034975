"""Measurements that are looked up by their keys."""

from collections.abc import Sequence
from contextlib import suppress

from sqlalchemy import BindParameter, Connection, bindparam, select

from untrained.scores.score import Bound, Reading
from untrained.storage.rows import Damaged, as_mappings, check_row
from untrained.storage.schema import measurements

KEYS: BindParameter[Sequence[str]] = bindparam("keys", expanding=True)
COLUMNS = tuple(
    measurements.c[name] for name in ("key", "value", "reason", "bound_kind", "bound_amount")
)
QUERY = select(*COLUMNS).where(measurements.c.key.in_(KEYS))
"Put together once: that takes as long as the query itself."


def readings(connection: Connection, keys: Sequence[str]) -> dict[str, Reading]:
    """The measurements with these keys that are as they were written."""
    return {key: found for key, found in looked_up(connection, keys).items() if found}


def looked_up(connection: Connection, keys: Sequence[str]) -> dict[str, Reading | None]:
    """Those of the measurements that there are; None for one that is damaged."""
    found: dict[str, Reading | None] = {}
    for row in as_mappings(connection.execute(QUERY, {"keys": keys})):
        found[row["key"]] = None
        with suppress(Damaged):
            check_row(COLUMNS, row)
            if row["value"] is not None and row["reason"]:
                continue  # a value has no reason
            kind, amount = row["bound_kind"], row["bound_amount"]
            if (kind is None) != (amount is None):
                continue
            bound = None if kind is None else Bound(kind, amount)
            found[row["key"]] = Reading(row["value"], row["reason"], bound)
    return found
