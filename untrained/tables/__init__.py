"""Benchmark tables: what real training gave each architecture of a space.

Scores and searches cannot see this room, so no trained accuracy leaks into a training-free number.
"""

from collections.abc import Callable

from untrained.tables.agreement import Agreement, agreement
from untrained.tables.nasbench201 import NASBench201Table
from untrained.tables.table import Standing

__all__ = [
    "TABLES",
    "Agreement",
    "NASBench201Table",
    "Standing",
    "agreement",
    "standings",
]

TABLES: dict[str, Callable[[], NASBench201Table]] = {"nasbench201": NASBench201Table}


def standings(space: str, architecture: str) -> tuple[Standing, ...]:
    """Where an architecture stands, or nothing where no table of the space is at hand."""
    if space not in TABLES:
        return ()
    try:
        return TABLES[space]().standings(architecture)
    except FileNotFoundError:
        return ()
