"""NAS-Bench-301: what a surrogate predicts for genotypes of DARTS, and what training gave others.

Source: Siems et al., "NAS-Bench-301 and the Case for Surrogate Benchmarks for Neural Architecture
Search", https://arxiv.org/abs/2008.09777; the genotypes of NAS-Bench-Suite-Zero,
https://arxiv.org/abs/2210.03230.
"""

from typing import ClassVar

import polars as pl

from untrained.spaces import get_space
from untrained.tables.table import Table


class NASBench301Table(Table):
    """Genotype -> the validation accuracy that a surrogate predicts.

    Rows are found by the frame's column `canonical`, so genotypes that differ in the order of
    nodes share one. The column `architecture` is the file's genotype in our own text form.
    """

    space = "darts"
    file = "nasbench301_725.parquet"
    title = "a surrogate's predictions"
    accuracies: ClassVar = {"cifar10_surrogate_valid": "CIFAR-10, surrogate"}
    key_column = "canonical"

    def _prepared(self, frame: pl.DataFrame) -> pl.DataFrame:
        space = get_space(self.space)
        texts = [str(space.parse(text)) for text in frame["architecture"]]
        return frame.with_columns(
            architecture=pl.Series(texts), canonical=pl.Series([self._key(t) for t in texts])
        )

    def _key(self, architecture: str) -> str:
        space = get_space(self.space)
        return str(space.canonical(space.parse(architecture)))


class NASBench301TrainedTable(NASBench301Table):
    """Genotype -> accuracies after training, from `untrained data import nasbench301`."""

    file = "nasbench301.parquet"
    title = "trained"
    accuracies: ClassVar = {"cifar10_valid": "CIFAR-10 validation", "cifar10_test": "CIFAR-10"}


class DARTSTrainedTable(NASBench301Table):
    """Genotype -> accuracy after a real training of 200 epochs: 600 that SWAP's authors trained.

    Normal and reduction cell are equal. Most cells have a node with both inputs from one node, or
    an input that is `none`, which the space never samples: the population is another one.

    Source: Peng et al., "SWAP-NAS: Sample-Wise Activation Patterns for Ultra-fast NAS", ICLR 2024,
    https://arxiv.org/abs/2403.04161.
    """

    file = "darts_trained_600.parquet"
    title = "trained for 200 epochs"
    accuracies: ClassVar = {"cifar10_valid_200": "CIFAR-10 validation"}

    def _prepared(self, frame: pl.DataFrame) -> pl.DataFrame:
        return super()._prepared(frame.rename({"genotype": "architecture"}))
