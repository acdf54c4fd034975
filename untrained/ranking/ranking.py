"""Models in the order of their scores, as a value and as files."""

from dataclasses import dataclass
from typing import Any

import polars as pl

from untrained.files import content_of, write_whole
from untrained.locations import Location
from untrained.notebook import card

FILES = ("ranking.csv", "ranking.parquet", "draws.parquet")
RANK_SUM = "rank_sum"
"The column that orders models by several scores; higher is worse."
CHANCE = 0.05
"The least p of a tau that may be chance."


@dataclass(frozen=True)
class Ranking:
    """What `rank` found; `models` is the table that is shown."""

    models: pl.DataFrame
    """One row a model, the best first, those that could not be measured last: `model`; `place`;
    `group`, of models that cannot be told apart from its first, numbered from 1; of each score its
    mean over draws, with `_low` and `_high`, a 95 % interval over draws; `rank_sum` alike, where
    there are several scores; those of `SIZES`, latency as the median of the draws, with the least
    and the largest; `linear_probe` where some model has learnt; `weights`: drawn, or learnt;
    `reason`, why it, or some score or draw of it, could not be measured. A model without some draw
    of a score has no place. Where models were trained, `accuracy`, the mean on the test images
    over trainings, and `training_seconds`, of all of them."""
    draws: pl.DataFrame
    "One row for each draw of each model: `model`, `draw`, and every score as it was measured."
    scores: tuple[str, ...]
    "Those that rank."
    directions: dict[str, int]
    "Of each score that was measured: +1 where higher is better, -1 where lower is."
    notes: tuple[str, ...] = ()
    "What must be known to read the numbers."
    agreement: pl.DataFrame | None = None
    """How well each score, and each size, ranks the models by accuracy: `score`, `count`, `tau`,
    `tau_low`, `tau_high` (a 95 % interval) and `p_value`; see `trained.agreement`. None where no
    model was trained."""
    folder: Location | None = None
    "Where its files are; None where none were written."
    command: str = ""
    "The command line that makes it again; empty if there is none."

    @property
    def ordered_by(self) -> str:
        """The column that the order is by."""
        return self.scores[0] if len(self.scores) == 1 else RANK_SUM

    @property
    def ranked(self) -> pl.DataFrame:
        """The models that have a place."""
        return self.models.filter(pl.col("place").is_not_null())

    @property
    def failed(self) -> pl.DataFrame:
        """The models that could not be measured."""
        return self.models.filter(pl.col("place").is_null())

    @property
    def verdict(self) -> str:
        """Which model is the best by the scores, and which cannot be told apart from it."""
        ranked = self.ranked
        if not len(ranked):
            return "No model could be measured."
        by = " and ".join(self.scores)
        first, *others = ranked.filter((pl.col("group") == 1) | pl.col("group").is_null())[
            "model"
        ].to_list()
        if ranked["group"].is_null().all():
            return f"{first} is first by {by}; one draw does not tell by how much that is chance."
        if not others:
            return f"{first} is first by {by}, and told apart from all others."
        few = ", ".join(others[:3]) + (f" and {len(others) - 3} more" if len(others) > 3 else "")
        return f"{first} is first by {by}; {few} cannot be told apart from it."

    @property
    def agreement_verdict(self) -> str:
        """Which model is the most accurate, and whether the order agrees; empty if not trained."""
        if self.agreement is None:
            return ""
        trained = self.models.drop_nulls("accuracy")
        trained = trained.sort("accuracy", descending=True, maintain_order=True)
        if not len(trained):
            return "No model could be trained."
        best = trained.row(0, named=True)
        first = f"After training, {best['model']} is the most accurate ({best['accuracy']:.1%})"
        row = self.agreement.row(by_predicate=pl.col("score") == self.ordered_by, named=True)
        if row["tau"] is None:
            return f"{first}; {row['count']} models say nothing of how well the order agrees."
        chance = ", which may be chance" if row["p_value"] > CHANCE else ""
        return (
            f"{first}; {self.ordered_by} ranks {row['count']} models with tau {row['tau']:.2f} "
            f"(95 % interval {row['tau_low']:.2f} to {row['tau_high']:.2f}){chance}."
        )

    def _repr_html_(self) -> str:
        return card("Ranking", [self.verdict, *self.notes], self.models)

    def write(self, folder: Location) -> list[Location]:
        """Writes ranking.csv, ranking.parquet, draws.parquet; agreement.csv where trained."""
        folder.mkdir(parents=True, exist_ok=True)
        paths = [folder / name for name in self.files]
        writers: list[Any] = [self.models.write_csv, self.models.write_parquet]
        writers.append(self.draws.write_parquet)
        if self.agreement is not None:
            writers.append(self.agreement.write_csv)
        for path, writer in zip(paths, writers, strict=True):
            write_whole(path, content_of(writer))
        return paths

    @property
    def files(self) -> tuple[str, ...]:
        """Names of what `write` writes."""
        return FILES if self.agreement is None else (*FILES, "agreement.csv")
