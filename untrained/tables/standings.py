"""Where an architecture stands in the tables that are at hand."""

from untrained.tables.mnas import MNASTable
from untrained.tables.nasbench101 import NASBench101Table
from untrained.tables.nasbench201 import NASBench201Table
from untrained.tables.nasbench301 import (
    DARTSTrainedTable,
    NASBench301Table,
    NASBench301TrainedTable,
)
from untrained.tables.natsbench_size import NATSBenchSizeTable
from untrained.tables.table import Standing, Table

TABLES: dict[str, type[Table]] = {
    "nasbench201": NASBench201Table,
    "nasbench101": NASBench101Table,
    "darts": NASBench301Table,
    "mnas": MNASTable,
    "natsbench_size": NATSBenchSizeTable,
}
"The table of each space."

OTHER_TABLES: dict[str, type[Table]] = {
    "darts_trained_600": DARTSTrainedTable,
    "nasbench301": NASBench301TrainedTable,
}
"More tables of the same spaces, by their files' names."


def standings(space: str, architecture: str) -> tuple[Standing, ...]:
    """Where an architecture stands; nothing where no table of the space is at hand, or none of
    its rows is the architecture's."""
    if space not in TABLES:
        return ()
    try:
        return TABLES[space]().standings(architecture)
    except (FileNotFoundError, KeyError):
        return ()
