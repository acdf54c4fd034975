"""Work that a process can do on its own: plain values in, plain values out, nothing stored."""

import hashlib
import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import groupby
from pathlib import Path
from typing import NamedTuple, TypeVar

import torch
from filelock import FileLock
from torch import nn

from untrained.images import Images, Probe, ProbeSpec, draw_probe
from untrained.kernels import draw_weights
from untrained.kernels.layout import channels_last
from untrained.runs.instrument import Instrument
from untrained.runs.schooling import Schooling
from untrained.scores import Reading, Score
from untrained.scores.score import View, ViewScore
from untrained.scores.size import MultiplyAdds, Parameters
from untrained.spaces import Scale, get_space
from untrained.training import Brief, Evaluation, Recipe, Training, evaluate, train, train_briefly
from untrained.training.checkpoint import load_brief, save_brief

T = TypeVar("T")


@dataclass(frozen=True)
class Measure:
    """Apply instruments to one architecture on some draws."""

    space: str
    architecture: str
    "Text form of the canonical architecture, which may be partial."
    instruments: tuple[Instrument, ...]
    """They agree in their look, so that one network, trained once, serves them all; those after
    fewer epochs come first."""
    draws: tuple[int, ...]
    device: str
    warm: Path | None = None
    """Where the trainings before scores are kept, one for each draw, to be gone on with; with the
    draw's number after it. None keeps none."""


class Measured(NamedTuple):
    """What the instruments read on one draw, and in how many seconds."""

    readings: tuple[Reading, ...]
    seconds: tuple[float, ...]
    schooling: float
    "Seconds of the training that came first."


@dataclass(frozen=True)
class Train:
    """Train one architecture until the end of some epoch, going on from its checkpoint."""

    space: str
    architecture: str
    scale: Scale
    recipe: Recipe
    seed: int
    until: int
    checkpoint: Path
    device: str


class Trained(NamedTuple):
    """How far the training is and, once it is finished, how good the network is."""

    training: Training
    evaluation: Evaluation | None
    "On the test images, with the weights of the best validation epoch."
    parameters: int
    macs: int
    "Multiply-adds for one image."


Task = Measure | Train
Outcome = list[Measured] | Trained


def perform(task: Task, images: Images) -> Outcome:
    """Does the task."""
    return measure(task, images) if isinstance(task, Measure) else train_on(task, images)


def stream(*names: object) -> torch.Generator:
    """A generator that stands for these names: equal names, equal numbers, in any process."""
    text = "/".join(map(str, names))
    digest = hashlib.blake2b(text.encode(), digest_size=7).digest()
    return torch.Generator().manual_seed(int.from_bytes(digest))


def measure(task: Measure, images: Images) -> list[Measured]:
    """A reading of each instrument for each draw.

    Draw d has one stream for weights, one for training and one for the probe, whatever the
    architecture and the score, so that architectures are compared on common weights and images.
    Where an instrument redraws weights less often, draws share those of the first of them.
    """
    look = task.instruments[0].look
    inputs = 1 if look.one_channel else images.shape[0]
    began = time.perf_counter()
    network = build(task.space, task.architecture, look.scale, images, inputs=inputs)
    network.to(task.device)
    if look.course is not None:  # a third less time in training, at 16 channels and 16 x 16
        channels_last(network, torch.zeros(1, *images.shape, device=task.device))
    building = (time.perf_counter() - began) / len(task.draws) / len(task.instruments)
    found = []
    for draw in task.draws:
        first = draw // look.redraw * look.redraw
        draw_weights(network, look.weights, stream(first, "weights"))
        taught, readings, seconds = Taught(), [], []
        for _, group in groupby(task.instruments, key=lambda instrument: instrument.epochs):
            alike = list(group)
            taught = teach(network, alike[0].schooling, images, first, task, taught)
            if taught.failure:
                failed = Reading(None, f"training before the score: {taught.failure}")
                readings += [failed] * len(alike)
                seconds += [0.0] * len(alike)
                continue
            for reading, spent in look_at(network, alike, images, draw, task.device):
                readings.append(reading)
                seconds.append(spent + building)
        found.append(Measured(tuple(readings), tuple(seconds), taught.seconds))
    return found


class Taught(NamedTuple):
    """How far the training before the scores has come on one draw."""

    brief: Brief | None = None
    failure: str = ""
    "Why it ended; empty if it did not."
    seconds: float = 0.0


def teach(
    network: nn.Module,
    schooling: Schooling | None,
    images: Images,
    draw: int,
    task: Measure,
    taught: Taught,
) -> Taught:
    """Trains the network to the end of the schooling, from where the task or the disk has it."""
    if schooling is None or taught.failure:
        return taught
    began = time.perf_counter()
    kept = None if task.warm is None else task.warm.with_name(f"{task.warm.name}-{draw}.pt")

    def go_on() -> Brief:
        found = stored(kept) if kept else None
        longer = found is not None and found.epochs > schooling.recipe.epochs
        brief = train_briefly(
            network,
            schooling.lesson(images, stream(draw, "schooling")),
            schooling.recipe,
            seed=draw,
            since=taught.brief or (None if longer else found),
            device=task.device,
        )
        if kept and not longer:
            save_brief(kept, brief)
        return brief

    brief, failure = attempt(go_on)
    return Taught(brief, failure, taught.seconds + time.perf_counter() - began)


def stored(path: Path) -> Brief | None:
    """The training at `path`; None where there is none that can be read."""
    try:
        return load_brief(path) if path.exists() else None
    except ValueError:  # damaged: train from the start
        return None


def look_at(
    network: nn.Module, instruments: Sequence[Instrument], images: Images, draw: int, device: str
) -> list[tuple[Reading, float]]:
    """What each instrument reads of a network, and in how many seconds.

    What several scores view alike is looked at once, and its seconds are theirs in equal parts.
    """
    alike: dict[tuple[View | Score, ProbeSpec], list[Instrument]] = {}
    for instrument in instruments:
        score = instrument.score
        what = score.view if isinstance(score, ViewScore) else score
        alike.setdefault((what, instrument.probe), []).append(instrument)
    found: dict[Instrument, tuple[Reading, float]] = {}
    for (what, spec), group in alike.items():
        began = time.perf_counter()
        probe = _to(draw_probe(images, spec, stream(draw, "probe")), device)
        seen, failure = attempt(partial(what, network, probe, stream(draw, "score")))
        spent = (time.perf_counter() - began) / len(group)
        for instrument in group:
            began = time.perf_counter()
            score = instrument.score
            if failure:
                reading = Reading(None, failure)
            elif isinstance(score, ViewScore):
                reading = read(partial(score.of, seen, probe))
            else:
                assert isinstance(seen, Reading)
                reading = finite(seen)
            found[instrument] = reading, spent + time.perf_counter() - began
    return [found[instrument] for instrument in instruments]


def build(
    space: str, architecture: str, scale: Scale, images: Images, *, inputs: int | None = None
) -> nn.Module:
    """The network of an architecture for these images, with weights yet to be drawn."""
    found = get_space(space)
    return found.build(
        found.parse(architecture),
        scale,
        inputs=images.shape[0] if inputs is None else inputs,
        classes=len(images.classes),
    )


def read(look: Callable[[], Reading]) -> Reading:
    """What a score gives; an error in computing it, or NaN, becomes a reason."""
    reading, failure = attempt(look)
    return finite(reading) if reading else Reading(None, failure)


def finite(reading: Reading) -> Reading:
    """Itself, or a reason in place of NaN and infinity."""
    if reading.value is not None and not math.isfinite(reading.value):
        return Reading(None, f"the score is {reading.value}")
    return reading


def attempt(call: Callable[[], T]) -> tuple[T | None, str]:
    """What a call gives, or None and why it gave nothing.

    The one place where failures of networks and scores are caught: the search goes on without
    their numbers. Want of memory is no property of a network, so it is not kept as one.
    """
    try:
        return call(), ""
    except Exception as error:  # somebody else's network or score may raise anything
        if "memory" in str(error).lower():
            raise MemoryError(str(error)) from error
        return None, f"{type(error).__name__}: {error}"


def _to(probe: Probe, device: str) -> Probe:
    return replace(probe, inputs=probe.inputs.to(device), labels=probe.labels.to(device))


def train_on(task: Train, images: Images) -> Trained:
    """Epochs up to `task.until`; and when training is over, the look at the test images."""
    network = build(task.space, task.architecture, task.scale, images)
    draw_weights(network, "kaiming_fan_out", stream(task.seed, "training"))
    size = network_size(network, images)
    with FileLock(f"{task.checkpoint}.lock"):  # runs may share a training
        training = train(
            network,
            images,
            task.recipe,
            seed=task.seed,
            checkpoint=task.checkpoint,
            until=task.until,
            device=task.device,
        )
    evaluation = None
    if training.finished and not training.failure:
        try:
            evaluation = evaluate(network, images.test, images, device=task.device)
        except FloatingPointError as error:
            training = replace(training, failure=f"on the test images: {error}")
    return Trained(training, evaluation, *size)


def network_size(network: nn.Module, images: Images) -> tuple[int, int]:
    """Trainable parameters, without an auxiliary head's, and multiply-adds for one image."""
    probe = draw_probe(images, ProbeSpec(count=1), stream("size"))
    readings = (score(network, probe, stream("size")) for score in (Parameters(), MultiplyAdds()))
    parameters, macs = (int(reading.value or 0) for reading in readings)
    head = getattr(network, "auxiliary", None)
    extra = sum(p.numel() for p in head.parameters()) if isinstance(head, nn.Module) else 0
    return parameters - extra, macs
