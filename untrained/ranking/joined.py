"""Runs that measured models, joined to a ranking."""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl
from jaxtyping import Float

from untrained.ranking.config import PROBE, SIZES, RankConfig
from untrained.ranking.ranking import RANK_SUM, Ranking
from untrained.ranking.standing import Draws, Interval, rank_sums, standings
from untrained.ranking.trained import ACCURACY, SECONDS, Trained, agreement
from untrained.runs.config import ORDINARY
from untrained.runs.record import RunRecord, TrainingRecord
from untrained.scores import Reading
from untrained.storage.folder import RunFolder

BASELINES = ("parameters", "macs", "latency")
"Sizes whose order of models is compared with that of scores: the larger, the better."


@dataclass(frozen=True)
class GroupRun:
    """A run of models whose weights are all drawn, or have all been learnt."""

    folder: RunFolder
    record: RunRecord
    names: Mapping[str, str]
    "Name of a model -> its text form."
    learnt: bool

    def readings(self) -> dict[str, Mapping[str, tuple[Reading, ...]]]:
        """Name of a model -> score -> one reading for each draw."""
        trials = {trial.architecture: trial.readings for trial in self.record.trials}
        return {name: trials[text] for name, text in self.names.items()}

    def trained(self) -> dict[str, Trained]:
        """Name of a model -> what its trainings came to."""
        found: dict[str, list[TrainingRecord]] = {text: [] for text in self.names.values()}
        for training in self.record.trainings:
            found[training.architecture].append(training)
        return {name: Trained.of(found[text]) for name, text in self.names.items()}


def ranking_of(runs: Sequence[GroupRun], config: RankConfig) -> Ranking:
    """The ranking of all models of the runs."""
    readings = {name: each for run in runs for name, each in run.readings().items()}
    learnt = {name: run.learnt for run in runs for name in run.names}
    directions = {n: d for run in runs for n, d in run.record.directions.items()}
    draws = {
        score: np.array([_values(of_model, score, config.draws) for of_model in readings.values()])
        for score in directions
    }
    merits = [directions[score] * draws[score] for score in config.scores]
    order = merits[0] if len(merits) == 1 else rank_sums(merits)
    shown = draws if len(merits) == 1 else {RANK_SUM: -order, **draws}
    names = list(readings)
    trained = {name: each for run in runs for name, each in run.trained().items()}
    rows: list[dict[str, Any]] = []
    for model, place, group in standings(order):
        name = names[model]
        row: dict[str, Any] = {"model": name, "place": place, "group": group}
        for score, values in shown.items():
            row |= _cells(score, values[model])
        if config.train:
            row |= {ACCURACY: trained[name].accuracy, SECONDS: trained[name].seconds}
        reason = _reason(readings[name], config) or trained[name].reason
        weights = "learnt" if learnt[name] else "drawn"
        rows.append(row | {"weights": weights, "reason": reason})
    agreeing = None
    if config.train:
        accuracies = np.array([each.accuracy for each in trained.values()], dtype=float)
        agreeing = agreement(_orders(order, draws, directions, config), accuracies)
    return Ranking(
        models=pl.DataFrame(rows, schema_overrides=_types(rows), infer_schema_length=None),
        draws=_long(names, draws),
        scores=config.scores,
        directions=directions,
        notes=tuple(_notes(runs, config)),
        agreement=agreeing,
    )


def _orders(
    order: Draws, draws: Mapping[str, Draws], directions: Mapping[str, int], config: RankConfig
) -> dict[str, Draws]:
    """What models may be ordered by, higher first: the scores, and the larger of two models."""
    found = {RANK_SUM: order} if len(config.scores) > 1 else {}
    own = [name for name in (*config.scores, PROBE) if name in draws]
    found |= {name: directions[name] * draws[name] for name in own}
    return found | {name: draws[name] for name in BASELINES if name not in found}


def _values(readings: Mapping[str, tuple[Reading, ...]], score: str, draws: int) -> list[float]:
    """A model's values of a score, NaN where it failed or was not asked for."""
    found = [np.nan if r.value is None else r.value for r in readings.get(score, ())]
    return found or [np.nan] * draws


def _cells(score: str, values: Float[np.ndarray, " d"]) -> dict[str, float | None]:
    """The mean of a score and, unless it is a count, its interval.

    Of latency the median, which a busy moment of the machine moves least, from the least to the
    largest: of five draws, that is a 94 % interval of the median.
    """
    mean, low, high = Interval.of(values)
    if score in SIZES[:-1]:
        return {score: mean}
    if score == SIZES[-1] and mean is not None:
        mean, low, high = (float(of(values)) for of in (np.median, np.min, np.max))
    return {score: mean, f"{score}_low": low, f"{score}_high": high}


def _types(rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Of columns that may be empty."""
    whole = {"place", "group", *SIZES[:-1]}
    texts = {"model", "weights", "reason"}
    return {
        name: pl.String if name in texts else pl.Int64 if name in whole else pl.Float64
        for name in rows[0]
    }


def _long(names: Sequence[str], draws: Mapping[str, Float[np.ndarray, "n d"]]) -> pl.DataFrame:
    """A row for each draw of each model."""
    count = next(iter(draws.values())).shape[1]
    columns = {score: values.reshape(-1) for score, values in draws.items()}
    each = {"model": np.repeat(names, count), "draw": np.tile(np.arange(count), len(names))}
    return pl.DataFrame(each | columns).fill_nan(None)


def _reason(readings: Mapping[str, tuple[Reading, ...]], config: RankConfig) -> str:
    """Why a model has no value, or lacks some: of what fails first, as building comes first."""
    for score in dict.fromkeys((SIZES[0], *config.scores, *readings)):
        failed = [reading for reading in readings[score] if reading.value is None]
        if failed:
            some = len(failed) < len(readings[score])
            where = f" on {len(failed)} of {len(readings[score])} draws" if some else ""
            built = "" if score == SIZES[0] else f"{score} failed{where}: "
            return built + plainly(failed[0].reason)
    return ""


def plainly(reason: str) -> str:
    """A reason in one line, without what is said beside it: the model, and the place in here.

    Example:
        >>> plainly("ValueError: model 'a:b': expected ... (untrained/spaces/calling.py:71)")
        'expected ...'
    """
    said = re.sub(r" \(untrained/\S+:\d+\)$", "", reason)
    return " ".join(
        re.sub(r"(^|: )(ValueError|MemoryError): model '.*?'[:,] ", r"\1", said).split()
    )


def _notes(runs: Sequence[GroupRun], config: RankConfig) -> Iterator[str]:
    images = runs[0].record.images
    yield (
        f"Measured on images of {images['name']}, with {config.draws} "
        f"draw{'s' if config.draws != 1 else ''} of weights and images, seed {config.seed}, on "
        f"{config.device}. {_of_latency(runs[0].record.config['score_settings'])}"
    )
    yield (
        "Intervals, and what cannot be told apart, are of the score's noise over draws. They say "
        "nothing of how well it agrees with accuracies."
    )
    if config.scores == (ORDINARY,):
        yield (
            f"{ORDINARY} agreed most of 17 scores with short trainings of 288 ordinary networks, "
            f"and not much: tau .16 to .69, hardly above the number of parameters. Train a few "
            f"here (--train) to see whether it does on your images."
        )
    if config.train:
        yield _of_training(runs, config)
    if len(runs) > 1:
        yield "Models that have learnt are measured with their weights, others with drawn ones."


def _of_latency(settings: Any) -> str:
    """Of what latency is, by what the run was asked of it."""
    asked = {"count": 1, "threads": 1, "runtime": "torch", **settings[SIZES[-1]]}
    images = "one image" if asked["count"] == 1 else f"{asked['count']} images"
    threads = "one thread" if asked["threads"] == 1 else f"{asked['threads']} threads"
    runtime = {"torch": "PyTorch", "onnx": "ONNX Runtime"}[asked["runtime"]]
    return f"Latency is of {images} in {runtime}, on {threads} of this machine."


def _of_training(runs: Sequence[GroupRun], config: RankConfig) -> str:
    """How models were trained, and how far their accuracies can be trusted."""
    training, images = runs[0].record.config["training"], runs[0].record.images
    assert isinstance(training, dict)
    times = "once" if config.repeats == 1 else f"{config.repeats} times"
    test = int(str(images["test"]))
    return (
        f"Accuracies are on {test:,} test images, which no score sees, after {training['epochs']} "
        f"epoch{'s' if training['epochs'] != 1 else ''} of training by the recipe "
        f"{training['recipe']}, {times} each. By the number of test images alone, one near a half "
        f"has a standard error of {0.5 / test**0.5:.1%}. Models that need longer trainings are "
        f"judged too early."
    )
