"""Scores in the order in which they rank architectures, as a value and as files."""

from dataclasses import dataclass
from typing import Any

import polars as pl

from untrained.benching.config import LEAST
from untrained.files import content_of, write_whole
from untrained.locations import Location

SHORTENED = "shortened training"
"The kind of what is no score of an untrained network, but what it competes with."

UNLIKELY = 0.001
"p below this is not shown."


@dataclass(frozen=True)
class Leaderboard:
    """What `bench` found; `scores` is the table that is shown."""

    scores: pl.DataFrame
    """One row a score, the best by tau first; most columns are empty where there are fewer than 20
    architectures. Beside the fields of `tables.Agreement`, whose
    intervals are two columns each:

    `score`; `kind`: score, combination, baseline or shortened training; `higher_is_better`;
    `p_value`: how often an order by chance agrees as much, as of `tables.p_value`;
    `tau_failed_last`: tau with failed scores ranked below all others;
    `tau_draws`, `tau_spread`: mean and standard deviation of tau over single draws;
    `tau_given_size`, `rho_given_size` (with `_low` and `_high`): partial, given the baselines;
    `pqetp_P`: for each threshold P;
    `group`: of scores that cannot be told apart, as of `tables.groups`;
    `seconds`: per architecture, all draws; of a shortened training, those of its table;
    `on_front`: no measured score is both cheaper and better by tau;
    `reason`: on how many architectures it failed and why most often, or why there are no
    statistics."""
    matrix: pl.DataFrame
    "Kendall's tau-b between any two of the scores, higher meaning better: `score`, and one each."
    values: pl.DataFrame
    "One row for each draw of an architecture: its accuracy, and every score as it was measured."
    accuracy: str
    "Column of `values` that scores are judged by: `cifar10_test_200`."
    population: str
    "What the architectures stand for, in words."
    resamples: int
    "Of each bootstrap interval, 95 %, over architectures."
    verdict: str = ""
    """Whether the best score that was asked for ranks better than the best baseline and, where
    architectures were trained for it, which scores rank them, in a few sentences."""
    notes: tuple[str, ...] = ()
    "What else must be known to read the numbers."
    folder: Location | None = None
    "Where `write` has put it."
    command: str = ""
    "The command line that makes it again; empty if it is not known."

    @property
    def few(self) -> bool:
        """Whether it is of fewer than 20 architectures, of which little can be said."""
        return self.values["architecture"].n_unique() < LEAST

    @property
    def judged(self) -> bool:
        """Whether some score that was asked for has statistics."""
        asked = self.scores.filter(pl.col("kind") != SHORTENED)
        own = asked.filter(pl.col("kind") != "baseline")
        return bool((own if len(own) else asked)["tau"].is_not_null().any())

    @property
    def reasons(self) -> dict[str, list[str]]:
        """Each `reason` that is given -> the scores that it is given for, in their order."""
        found: dict[str, list[str]] = {}
        for score, reason in self.scores.select("score", "reason").iter_rows():
            if reason:
                found.setdefault(reason, []).append(score)
        return found

    def points(self, score: str) -> pl.DataFrame:
        """`architecture`, `accuracy` and `value` of a score, as measured: the mean of the draws,
        null where one of them failed."""
        each = pl.col(score).cast(pl.Float64)  # a column of nulls alone has no type
        value = pl.when(each.is_finite().all()).then(each.mean())
        return self.values.group_by("architecture", maintain_order=True).agg(
            pl.col(self.accuracy).first().alias("accuracy"),
            pl.when(pl.col(score).null_count() == 0).then(value).alias("value"),
        )

    def write(self, folder: Location) -> list[Location]:
        """Writes leaderboard.csv, leaderboard.parquet, values.parquet and matrix.csv."""
        folder.mkdir(parents=True, exist_ok=True)
        paths = [folder / name for name in FILES]
        scores, values, matrix = self.scores, self.values, self.matrix
        writers: tuple[Any, ...] = (
            *(scores.write_csv, scores.write_parquet),
            *(values.write_parquet, matrix.write_csv),
        )
        for path, writer in zip(paths, writers, strict=True):
            write_whole(path, content_of(writer))
        return paths


FILES = ("leaderboard.csv", "leaderboard.parquet", "values.parquet", "matrix.csv")
