"""What a run has found by now, as a value: data frames, figures, the trained network."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import plotly.graph_objects as go
import polars as pl
import polars.selectors as cs
from torch import nn

from untrained import pages
from untrained.files import whole_files
from untrained.locations import Location, located
from untrained.notebook import card
from untrained.pages import front_drawings, score_drawings, training_drawings
from untrained.pages.headline import headline, image_facts
from untrained.pages.measured import estimated, failures, score_cloud
from untrained.pages.trained import accuracy_by_size, training_curves
from untrained.runs.fronts import front_of
from untrained.runs.record import RunRecord, record_of
from untrained.spaces import Space
from untrained.storage import RunFolder, TrialRecord
from untrained.training.export import load_exported


@dataclass(frozen=True)
class Run:
    """A search, a scoring or a training of named architectures, finished or as far as it came."""

    record: RunRecord
    "Every number of it."
    folder: RunFolder
    "Where it is kept."
    space: Space[Any] | None = None
    "The run's, if this process has it: none is imported because a store says so."

    @property
    def best(self) -> str | None:
        """The selected architecture; None while the search continues, or where it could not."""
        return self.record.selected

    @property
    def trials(self) -> pl.DataFrame:
        """One row for each architecture tried, in the order of the search.

        `number`; `batch`; `architecture`; `role`; `note`, why it was proposed; `epochs` of short
        training where the searcher chose them; of each score its mean over the draws that gave a
        number, and `SCORE_se`, the standard error of that mean; `reason`, why some draw gave none.
        """
        rows = [_row(trial, self.record) for trial in self.record.trials]
        return pl.DataFrame(rows, infer_schema_length=None).cast(
            {
                cs.by_name("role", require_all=False): pl.String,
                cs.by_name("epochs", require_all=False): pl.Int64,
                cs.ends_with("_se"): pl.Float64,
            }
        )

    @property
    def draws(self) -> pl.DataFrame:
        """One row for each draw of each architecture, a column for each score."""
        return self.record.frame()

    @property
    def trainings(self) -> pl.DataFrame:
        """One row for each network trained to the end: what it is, its size, its accuracies."""
        rows = [
            {
                "architecture": each.architecture,
                "role": each.role,
                "parameters": each.parameters,
                "macs": each.macs,
                "epochs": len(each.epochs),
                "best_epoch": each.best_epoch,
                "validation_accuracy": each.validation_accuracy,
                "test_accuracy": each.test_accuracy,
                "seconds": each.seconds,
                "reason": each.reason,
            }
            for each in self.record.trainings
        ]
        return pl.DataFrame(rows, infer_schema_length=None)

    @property
    def epochs(self) -> pl.DataFrame:
        """One row for each epoch of each training: losses, accuracies, learning rate, seconds."""
        rows = [
            {
                "training": place,
                "architecture": each.architecture,
                "role": each.role,
                **vars(epoch),
            }
            for place, each in enumerate(self.record.trainings)
            for epoch in each.epochs
        ]
        return pl.DataFrame(rows, infer_schema_length=None)

    @property
    def failures(self) -> pl.DataFrame:
        """Why readings failed: `score`, `reason`, `count`, the most frequent first."""
        rows = [(each.score, each.reason, each.count) for each in failures(self.record)]
        names = {"score": pl.String, "reason": pl.String, "count": pl.Int64}
        return pl.DataFrame(rows, schema=names, orient="row")

    @property
    def costs(self) -> pl.DataFrame:
        """What it took, by step: `step`, `count`, `seconds` of processors, not of the wall."""
        rows = [(cost.step, cost.count, cost.seconds) for cost in self.record.costs]
        names = {"step": pl.String, "count": pl.Int64, "seconds": pl.Float64}
        return pl.DataFrame(rows, schema=names, orient="row").sort("seconds", descending=True)

    @property
    def verdict(self) -> str:
        """How the selected network compares with what was trained beside it; empty without."""
        if not self.record.trainings:
            return ""
        found = headline(self.record, image_facts(self.record.images).test)
        return " ".join(filter(None, (found.verdict, *found.references, found.caution)))

    def network(self) -> nn.Module:
        """The selected network with its trained weights, in evaluation mode, as it was exported.

        It maps images (n, channels, height, width), normalised as those of the run, to logits.
        Its file `network.py` in the run's folder is run.

        Raises:
            ValueError: it was not trained to the end, or not exported.
        """
        if "network.py" not in whole_files(self.folder.network):
            raise ValueError(
                f"expected a run that has trained and exported its network, got {self.folder.name}"
                f", which has not; try train=True"
            )
        return load_exported(self.folder.network).eval()

    def report(self, page: Location | str | None = None) -> Location:
        """Writes the page of the run, and returns where it is.

        Args:
            page: the file to write; by default report.html in the run's folder.
        """
        where = located(page) if isinstance(page, str) else page
        return pages.report_run(self.folder, where, space=self.space)

    def plot_scores(self) -> go.Figure:
        """Everything tried: the second score over the first, or one score in order.

        Raises:
            ValueError: no architecture has a value for each of them.
        """
        cloud = score_cloud(self.record)
        if not cloud.points:
            raise ValueError("expected architectures with scores, got none; see failures")
        kind: Literal["round", "batch"] = "round" if self.record.searcher == "pruning" else "batch"
        return score_drawings.draw_cloud(cloud, kind)

    def plot_front(self) -> go.Figure:
        """The Pareto front of a run that seeks one.

        Raises:
            ValueError: it sought none.
        """
        front = front_of(self.record)
        if front is None:
            raise ValueError(
                "expected a run that seeks a Pareto front, got another; try searcher='nsga2' with "
                "two scores, or select='knee'"
            )
        return front_drawings.draw_front(front, self.best, {})

    def plot_training(self, quantity: str = "accuracy") -> go.Figure:
        """Training curves of all networks trained.

        Args:
            quantity: `loss`, or `accuracy`.

        Raises:
            ValueError: another, or nothing was trained.
        """
        found = {each.quantity: each for each in training_curves(self.record)}
        if quantity not in found:
            there = " or ".join(found) or "a run with train=True"
            raise ValueError(f"quantity: expected {there}, got {quantity!r}")
        return training_drawings.draw_curves(found[quantity])

    def plot_sizes(self) -> go.Figure:
        """Test accuracies of all networks trained, over their parameters.

        Raises:
            ValueError: nothing was trained to the end.
        """
        points = accuracy_by_size(self.record, image_facts(self.record.images).test)
        if not points:
            raise ValueError("expected networks that were trained, got none; try train=True")
        return training_drawings.draw_sizes(points)

    def _repr_html_(self) -> str:
        lines = [
            f"Selected: {self.best}" if self.best else "",
            self.verdict,
            str(self.folder.path),
        ]
        return card(f"Run {self.record.name}", lines, self.trials)


def open_run(folder: str | Location, store: str | None = None) -> Run:
    """A run that is there, finished or still running.

    Args:
        folder: the run's, as a search printed it; or its URL.
        store: where its numbers are, if it was given a store.

    Raises:
        ValueError: no such store or run.
        OSError: it cannot be read.
    """
    where = located(str(folder))
    return run_in(RunFolder(where.parent, where.name, store))


def run_in(folder: RunFolder, space: Space[Any] | None = None) -> Run:
    """The run of a folder."""
    return Run(record_of(folder), folder, space)


def _row(trial: TrialRecord, record: RunRecord) -> dict[str, Any]:
    row: dict[str, Any] = {
        "number": trial.number,
        "batch": trial.batch,
        "architecture": trial.architecture,
        "role": trial.role,
        "note": trial.note,
        "epochs": trial.epochs,
    }
    reasons: Sequence[str] = ()
    for name, readings in trial.readings.items():
        found = estimated(readings, is_count=name in record.counts)
        row |= {name: found.mean, f"{name}_se": found.standard_error}
        reasons = (*reasons, *(f"{name}: {reason}" for reason in found.failures))
    return row | {"reason": "; ".join(dict.fromkeys(reasons))}
