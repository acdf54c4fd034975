"""NAS-Bench-101: validation accuracies of a random 20,000 of its 423,624 cells.

Source: Ying et al., "NAS-Bench-101: Towards Reproducible Neural Architecture Search", ICML 2019,
https://arxiv.org/abs/1902.09635.
"""

from typing import ClassVar

import polars as pl

from untrained.spaces import get_space
from untrained.spaces.nasbench101 import graph_hash
from untrained.tables.table import Table


class NASBench101Table(Table):
    """Architecture -> validation accuracies of one run each of 4, 12, 36 and 108 epochs.

    Rows are found by the benchmark's graph hash, so isomorphic cells share one. The frame's
    column `architecture` is the benchmark's own matrix, in a form that the space reads.
    """

    space = "nasbench101"
    file = "nasbench101.parquet"
    title = "108 epochs, one run"
    accuracies: ClassVar = {"cifar10_valid_108": "CIFAR-10 validation"}
    key_column = "hash"

    def _prepared(self, frame: pl.DataFrame) -> pl.DataFrame:
        return frame.with_columns(architecture=pl.col("ops") + ":" + pl.col("adjacency"))

    def _key(self, architecture: str) -> str:
        return graph_hash(get_space(self.space).parse(architecture))
