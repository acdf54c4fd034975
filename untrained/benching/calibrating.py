"""Scores judged on somebody's own images: by a few architectures that are trained for it."""

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from statistics import fmean

import numpy as np
import polars as pl

from untrained.benching.config import LEAST_TRAINED, BenchConfig
from untrained.benching.joined import Accuracies, Measured, as_measuring, leaderboard_of
from untrained.benching.leaderboard import Leaderboard
from untrained.benching.population import Sample
from untrained.runs.comparing import train_sample
from untrained.runs.driver import opened
from untrained.runs.record import RunRecord, TrainingRecord
from untrained.runs.sampling import draw_distinct
from untrained.runs.searching import search
from untrained.runs.session import OnProgress
from untrained.spaces import get_space
from untrained.tables.chance import CHANCE, least_told_apart


def calibrate(config: BenchConfig, on_progress: OnProgress) -> tuple[Measured, Leaderboard]:
    """The leaderboard by the accuracies of networks that are trained for it, and the run.

    Whatever was measured or trained before, in whatever run, is not measured or trained again.

    Raises:
        ValueError: as `bench`; or fewer than 3 networks that could be trained.
    """
    sample = draw_untabled(config)
    tell = as_measuring(config, sample.architectures, on_progress)
    with opened(config.run_config(sample.architectures), tell) as session:
        search(session)  # measures, as it is given all that it proposes
        architectures = [session.space.parse(text) for text in sample.architectures]
        train_sample(session, architectures, config.repeats)
    measured = Measured.of(session.folder)
    accuracies = trained_accuracies(measured.record)
    found = leaderboard_of((measured,), accuracies, sample.declared, config, on_progress)
    said = (calibration(found), found.verdict)
    return measured, replace(found, verdict=" ".join(filter(None, said)))


def draw_untabled(config: BenchConfig) -> Sample:
    """As many architectures as are to be trained, no two of which compute the same.

    They depend on the space and the seed alone; more of them have the fewer's among them.

    Raises:
        ValueError: the space has no such number.
    """
    assert config.train is not None
    space, name = get_space(config.space), config.space
    found = draw_distinct(space, config.train, config.seed, name=name, flag="train")
    declared = f"{config.train:,} at random of the space {config.space}"
    return Sample(tuple(map(str, found)), declared)


def trained_accuracies(record: RunRecord) -> Accuracies:
    """Mean accuracies on the test images of the architectures that a run trained.

    Raises:
        ValueError: fewer than 3 of them could be trained.
    """
    each: dict[str, list[TrainingRecord]] = {}
    for training in record.trainings:
        each.setdefault(training.architecture, []).append(training)
    found = {text: _mean_accuracy(trainings) for text, trainings in each.items()}
    failed = Counter(training.reason for training in record.trainings if training.reason)
    why = f": {failed.most_common(1)[0][0]}" if failed else ""
    lost = sum(accuracy is None for accuracy in found.values())
    if len(found) - lost < LEAST_TRAINED:
        raise ValueError(
            f"train: expected {LEAST_TRAINED} networks or more that can be trained, got "
            f"{len(found) - lost} of {len(found)}{why}"
        )
    notes = _notes_of(record, [*each.values()])
    if lost:
        notes.append(f"{lost} of {len(found)} networks could not be trained{why}")
    images = re.sub(r"[^A-Za-z0-9-]+", "_", str(record.images["name"]))
    column = f"{images}_test_{_epochs_of(record)}"
    frame = pl.DataFrame(
        {"architecture": [*found], column: [*found.values()]},
        schema={"architecture": pl.String, column: pl.Float64},
    )
    return Accuracies(frame, column, notes=tuple(notes), few=True)


def calibration(board: Leaderboard) -> str:
    """Which scores rank the trained architectures, and what so few of them cannot tell."""
    rows = [row for row in board.scores.iter_rows(named=True) if row["tau"] is not None]
    told = [row for row in rows if row["p_value"] <= CHANCE]
    asked = [row for row in rows if row["kind"] != "baseline"]
    sentences = [
        f"{row['score']} {'ranks' if row['tau'] > 0 else 'ranks the wrong way round'} on these "
        f"images: tau {row['tau']:.2f} (95 % interval {row['tau_low']:.2f} to "
        f"{row['tau_high']:.2f}), p {row['p_value']:.1g}."
        for row in told
    ]
    if unclear := [row["score"] for row in asked if row not in told]:
        sentences.append(f"Not told from chance: {', '.join(unclear)}.")
    count = board.values["architecture"].n_unique()
    least = least_told_apart(count)
    cannot = "any tau" if least is None else f"a tau below about {least:.2f}"
    return " ".join((*sentences, f"{count} networks cannot tell {cannot} from chance."))


def _mean_accuracy(trainings: Sequence[TrainingRecord]) -> float | None:
    """None where one training has no accuracy: those left would flatter it."""
    known = [t.test_accuracy for t in trainings if t.test_accuracy is not None]
    return fmean(known) if len(known) == len(trainings) else None


def _epochs_of(record: RunRecord) -> int:
    """As many as were asked for."""
    training = record.config["training"]
    assert isinstance(training, dict)
    return int(training["epochs"])


def _notes_of(record: RunRecord, trained: Sequence[Sequence[TrainingRecord]]) -> list[str]:
    """What was trained, and how far accuracies can be trusted."""
    epochs, repeats = _epochs_of(record), len(trained[0])
    times = "once" if repeats == 1 else f"{repeats} times"
    seconds = sum(training.seconds for training in record.trainings) / len(trained)
    notes = [
        f"Accuracies are on {record.images['test']:,} test images, which no score sees, after "
        f"{epochs} epoch{'s' if epochs != 1 else ''} of training, {times} each: "
        f"{seconds:.3g} s per architecture.",
        "Of scores that rank nothing, one in 20 is told from chance.",
    ]
    known = [[t.test_accuracy for t in each if t.test_accuracy is not None] for each in trained]
    if repeats > 1 and (pairs := [each for each in known if len(each) > 1]):
        within = float(np.sqrt(np.mean([np.var(each, ddof=1) for each in pairs])))
        between = float(np.std([fmean(each) for each in pairs], ddof=1)) if pairs[1:] else 0.0
        notes.append(
            f"Repeated trainings of one architecture differ by {within:.2%} (standard deviation), "
            f"mean accuracies of different ones by {between:.2%}."
        )
    return notes
