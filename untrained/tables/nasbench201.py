"""NAS-Bench-201: what 200 epochs of training gave every architecture.

The accuracies come with the package: `nasbench201.parquet` beside this file, which
`experiments/bundle_nasbench201.py` makes.

Source: Dong & Yang, ICLR 2020; values of NATS-Bench v1.0, https://arxiv.org/abs/2009.00437, under
the MIT licence in `nasbench201_license.txt`.
"""

from collections.abc import Mapping
from typing import Any, ClassVar

import polars as pl

from untrained.tables.packed import bundled, unpacked
from untrained.tables.table import Table

DATA = {
    "cifar10": "CIFAR-10",
    "cifar100": "CIFAR-100",
    "imagenet16_120": "ImageNet16-120",
}


class NASBench201Table(Table):
    """Architecture -> test accuracies after 200 epochs.

    The frame has all columns of the file, and those of the bundled table that the file lacks, such
    as `cifar10_valid_200_single`, unless it is one of another name.

    An architecture stands among all, and one without `none`, as the pruning search finds, also
    among the `none`-free ones: the frame's column `none_free`.
    """

    space = "nasbench201"
    file = "nasbench201.parquet"
    title = "200 epochs"
    accuracies: ClassVar = {f"{column}_test_200": data for column, data in DATA.items()}

    def _prepared(self, frame: pl.DataFrame) -> pl.DataFrame:
        whole = unpacked(frame) if "cell" in frame.columns else frame
        if self.path.name == self.file:
            whole = _with_bundled(whole)
        return whole.with_columns(none_free=~pl.col("architecture").str.contains("none"))

    def _populations(self, row: Mapping[str, Any]) -> dict[str, pl.DataFrame]:
        populations = {"all": self.frame}
        if row["none_free"]:
            populations["none-free"] = self.frame.filter("none_free")
        return populations


def _with_bundled(frame: pl.DataFrame) -> pl.DataFrame:
    """With the columns of the bundled table that the file lacks."""
    whole = bundled()
    lacking = [column for column in whole.columns if column not in frame.columns]
    if not lacking:
        return frame
    added = whole.select("architecture", *lacking)
    return frame.join(added, on="architecture", how="left", maintain_order="left")
