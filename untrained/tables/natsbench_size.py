"""The size space of NATS-Bench: what 90 epochs of training gave every architecture.

Source: Dong, Liu, Musial & Gabrys, "NATS-Bench: Benchmarking NAS Algorithms for Architecture
Topology and Size", TPAMI 2021, https://arxiv.org/abs/2009.00437.
"""

from typing import ClassVar

from untrained.tables.nasbench201 import DATA
from untrained.tables.table import Table


class NATSBenchSizeTable(Table):
    """Architecture -> test accuracies after 90 epochs, mean over seeds."""

    space = "natsbench_size"
    file = "natsbench_size.parquet"
    title = "90 epochs"
    accuracies: ClassVar = {f"{column}_test_90": data for column, data in DATA.items()}
