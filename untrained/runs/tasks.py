"""Work that a process can do on its own: plain values in, plain values out, nothing stored."""

import hashlib
import math
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

import torch
from filelock import FileLock
from torch import nn

from untrained.images import Images, Probe, ProbeSpec, draw_probe
from untrained.kernels import draw_weights
from untrained.runs.instrument import Instrument
from untrained.runs.schooling import Schooling
from untrained.scores import Reading, Score
from untrained.scores.size import MultiplyAdds, Parameters
from untrained.spaces import Scale, get_space
from untrained.training import Evaluation, Recipe, Training, evaluate, train, train_briefly


@dataclass(frozen=True)
class Measure:
    """Apply instruments to one architecture on some draws."""

    space: str
    architecture: str
    "Text form of the canonical architecture, which may be partial."
    instruments: tuple[Instrument, ...]
    "They agree in their look, so that one network, trained once, serves them all."
    draws: tuple[int, ...]
    device: str


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
    begun = time.perf_counter()
    look = task.instruments[0].look
    inputs = 1 if look.one_channel else images.shape[0]
    network = build(task.space, task.architecture, look.scale, images, inputs=inputs)
    network.to(task.device)
    found = []
    for draw in task.draws:
        first = draw // look.redraw * look.redraw
        draw_weights(network, look.weights, stream(first, "weights"))
        failure = ""
        schooled = time.perf_counter()
        if look.schooling is not None:
            failure = school(network, look.schooling, images, first, task.device)
        schooling = time.perf_counter() - schooled
        begun += schooling
        readings, seconds = [], []
        for instrument in task.instruments:
            probe = draw_probe(images, instrument.probe, stream(draw, "probe"))
            readings.append(
                Reading(None, failure)
                if failure
                else read(
                    instrument.score, network, _to(probe, task.device), stream(draw, "score")
                )
            )
            seconds.append(time.perf_counter() - begun)
            begun = time.perf_counter()
        found.append(Measured(tuple(readings), tuple(seconds), schooling))
    return found


def school(
    network: nn.Module, schooling: Schooling, images: Images, draw: int, device: str
) -> str:
    """Trains the network a little; why that failed, or nothing."""
    lesson = schooling.school(images, stream(draw, "schooling"))
    try:
        train_briefly(network, lesson, schooling.recipe, seed=draw, device=device)
    except (FloatingPointError, ValueError) as error:
        return f"training before the score: {error}"
    return ""


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


def read(score: Score, network: nn.Module, probe: Probe, generator: torch.Generator) -> Reading:
    """The score's reading; an error in computing it, or NaN, becomes a reason.

    The one place where a failed score is caught: the search goes on without its number. Want of
    memory is no property of the network, so it is not kept as one.
    """
    try:
        reading = score(network, probe, generator)
    except Exception as error:  # somebody else's score may raise anything
        if "memory" in str(error).lower():
            raise MemoryError(str(error)) from error
        return Reading(None, f"{type(error).__name__}: {error}")
    if reading.value is not None and not math.isfinite(reading.value):
        return Reading(None, f"the score is {reading.value}")
    return reading


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
