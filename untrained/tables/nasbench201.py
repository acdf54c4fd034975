"""NAS-Bench-201: what 200 epochs of training gave every architecture.

Source: Dong & Yang, ICLR 2020; values of NATS-Bench v1.0, https://arxiv.org/abs/2009.00437.
"""

from collections.abc import Mapping
from typing import Any, ClassVar

import polars as pl

from untrained.tables.table import Table

DATA = {
    "cifar10": "CIFAR-10",
    "cifar100": "CIFAR-100",
    "imagenet16_120": "ImageNet16-120",
}


class NASBench201Table(Table):
    """Architecture -> test accuracies after 200 epochs.

    An architecture stands among all, and one without `none`, as the pruning search finds, also
    among the `none`-free ones: the frame's column `none_free`.
    """

    space = "nasbench201"
    file = "nasbench201.parquet"
    title = "200 epochs"
    accuracies: ClassVar = {f"{column}_test_200": data for column, data in DATA.items()}
    whole = True

    def _prepared(self, frame: pl.DataFrame) -> pl.DataFrame:
        return frame.with_columns(none_free=~pl.col("architecture").str.contains("none"))

    def _populations(self, row: Mapping[str, Any]) -> dict[str, pl.DataFrame]:
        populations = {"all": self.frame}
        if row["none_free"]:
            populations["none-free"] = self.frame.filter("none_free")
        return populations
