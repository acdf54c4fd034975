"""Benchmark tables: what real training gave architectures of a space, and judging scores by it.

Scores and searches cannot see this subpackage, so no trained accuracy leaks into a training-free
number.
"""

from untrained.tables.agreement import Agreement, agreement, exceedance
from untrained.tables.combining import cross_fitted, log_rank_sum, rank_sum, z_sum
from untrained.tables.mnas import MNASTable
from untrained.tables.nasbench101 import NASBench101Table
from untrained.tables.nasbench201 import NASBench201Table
from untrained.tables.nasbench301 import NASBench301Table
from untrained.tables.partial import Partial, partial, partial_tau
from untrained.tables.shrinking import Found, Shrunk, search_within, shrink
from untrained.tables.table import Standing, Table

__all__ = [
    "TABLES",
    "Agreement",
    "Found",
    "MNASTable",
    "NASBench101Table",
    "NASBench201Table",
    "NASBench301Table",
    "Partial",
    "Shrunk",
    "Standing",
    "Table",
    "agreement",
    "cross_fitted",
    "exceedance",
    "log_rank_sum",
    "partial",
    "partial_tau",
    "rank_sum",
    "search_within",
    "shrink",
    "standings",
    "z_sum",
]

TABLES: dict[str, type[Table]] = {
    "nasbench201": NASBench201Table,
    "nasbench101": NASBench101Table,
    "darts": NASBench301Table,
    "mnas": MNASTable,
}


def standings(space: str, architecture: str) -> tuple[Standing, ...]:
    """Where an architecture stands; nothing where no table of the space is at hand, or none of
    its rows is the architecture's."""
    if space not in TABLES:
        return ()
    try:
        return TABLES[space]().standings(architecture)
    except (FileNotFoundError, KeyError):
        return ()
