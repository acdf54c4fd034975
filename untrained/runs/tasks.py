"""Work that a process can do on its own: plain values in, plain values out, nothing stored."""

import logging
import time
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass, replace
from functools import partial
from itertools import groupby
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import torch
from filelock import FileLock
from jaxtyping import Float
from numpy.typing import NDArray
from torch import Tensor, nn

from untrained.images import Images, ProbeSpec, draw_probe
from untrained.kernels.tiles import TiledNTK
from untrained.locations import Location, lock_file
from untrained.memory import out_of_memory
from untrained.networks import draw_weights
from untrained.networks.layout import channels_last
from untrained.networks.weights import Initialisation
from untrained.runs.failures import Failure, Interrupted, Step, attempt, told
from untrained.runs.readings import Measurement, apply_setups
from untrained.runs.references import build_reference
from untrained.runs.setup import ScoreSetup
from untrained.runs.short_training import ShortTraining
from untrained.runs.streams import SHORT_TRAINING, stream
from untrained.runs.sums import summed
from untrained.runs.surroundings import attempt_apart, surroundings
from untrained.scores import Reading
from untrained.scores.size import MultiplyAdds, Parameters
from untrained.spaces import Architecture, Scale, Shape, Space, get_space
from untrained.spaces.pretrained import load_weights
from untrained.training import (
    Evaluation,
    Recipe,
    ShortTrained,
    Training,
    evaluate,
    train,
    train_short,
)
from untrained.training.checkpoint import load_short, save_short

T = TypeVar("T")

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class ScoreTask:
    """Apply setups to one architecture on some draws."""

    space: str
    architecture: str
    "Text form of the canonical architecture, which may be partial."
    setups: tuple[ScoreSetup, ...]
    """They agree in what the network must be, so that one network, trained once, serves them all;
    those after fewer epochs come first."""
    draws: tuple[int, ...]
    device: str
    warm: Location | None = None
    """Where the trainings before scores are kept, one for each draw, to be resumed; with the
    draw's number after it. None keeps none."""


@dataclass(frozen=True)
class TrainTask:
    """Train one network until the end of some epoch, resumed from its checkpoint."""

    space: str | None
    "None for a network by name."
    architecture: str
    "Text form of the canonical architecture, or a name that `build_reference` knows."
    scale: Scale
    recipe: Recipe
    images: int | None
    "Training images; None for all."
    seed: int
    until: int
    checkpoint: Location
    device: str
    weights: Path | None = None
    "What the network begins with, where it fits; None for weights drawn from the seed."


@dataclass(frozen=True)
class TileTask:
    """Compute one tile of a kernel."""

    number: int
    rows: range
    "Examples."
    columns: range | None
    "None where they are those of the rows."
    device: str


class Trained(NamedTuple):
    """How far the training is and, once it is finished, how good the network is."""

    training: Training
    evaluation: Evaluation | None
    "On the test images, with the weights of the best validation epoch."
    parameters: int | None
    macs: int | None
    "Multiply-adds for one image."


Task = ScoreTask | TrainTask | TileTask
Given = Images | TiledNTK
"What all tasks of an engine are done on; a kernel where they are tiles."
Scored = list[list[Measurement]]
"For each draw, the measurement of each setup."
Tile = Float[NDArray[Any], "n m"]
Outcome = Scored | Trained | Tile


def perform(task: Task, given: Given, step: Step = nullcontext) -> Outcome:
    """Does the task."""
    if isinstance(task, TileTask):
        assert isinstance(given, TiledNTK)
        return tile_of(task, given)
    assert isinstance(given, Images)
    if isinstance(task, TrainTask):
        return train_on(task, given)
    sums = all(setup.score.is_sum and setup.weights is None for setup in task.setups)
    return measure_sums(task, given, step) if sums else measure(task, given, step)


def tile_of(task: TileTask, kernel: TiledNTK) -> Tile:
    """The tile.

    Raises:
        MemoryError: there is not enough of it.
        ValueError: no method can follow the network, or it raises an error itself.
    """
    try:
        return kernel.tile(task.rows, task.columns)
    except (ValueError, OSError):
        raise
    except Exception as error:  # somebody else's network may raise anything
        if out_of_memory(error):
            raise MemoryError(f"tile {task.number}: {told(error)}; try a lower memory=") from error
        raise ValueError(f"tile {task.number}: {told(error)}") from error


def lost_tile(task: TileTask, failure: Failure) -> OSError | MemoryError:
    """What ends a kernel of which no worker can compute a tile."""
    kind = MemoryError if failure.bound else OSError
    return kind(
        f"tile {task.number}: {failure.reason}; all others that are done are kept: try fewer "
        f"workers, or a lower memory= for a new file"
    )


def measure_sums(task: ScoreTask, images: Images, step: Step) -> Scored:
    """As `measure`, of scores that are sums over modules; no network need be built for it."""
    began = time.perf_counter()

    def whole(architecture: str) -> tuple[Reading, ...]:
        of_draw = measure(replace(task, architecture=architecture), images, step)[0]
        return tuple(measurement.reading for measurement in of_draw)

    kind = replace(task, architecture=""), images.shape, len(images.classes)
    readings = summed(get_space(task.space), task.architecture, kind, whole)
    seconds = (time.perf_counter() - began) / len(task.setups)
    return [[Measurement(reading, seconds) for reading in readings]] * len(task.draws)


def measure(task: ScoreTask, images: Images, step: Step = nullcontext) -> Scored:
    """A measurement of each setup for each draw.

    Draw d has one stream for weights, one for training and one for the probe, whatever the
    architecture and the score, so that architectures are compared on common weights and images.
    Where a setup redraws weights less often, draws share those of the first of them.
    """
    began = time.perf_counter()
    network, failure = attempt_apart(partial(built, task, images), task.device, step, "build")
    building = (time.perf_counter() - began) / len(task.draws) / len(task.setups)
    if network is None:
        return [unmeasured(task, failure, building)] * len(task.draws)
    spec = task.setups[0].network_spec
    example = torch.zeros(2, *spec.shape(images.shape), device=task.device)
    found, initialisation = [], None
    for draw in task.draws:
        first = draw // spec.redraw * spec.redraw
        if spec.weights is not None:
            draw_anew = partial(redrawn, network, spec.weights, example, first, initialisation)
            initialisation, failure = attempt(draw_anew, task.device, step)
            if failure:
                found.append(unmeasured(task, failure, building))
                continue
        before, of_draw = Before(), list[Measurement]()
        for _, group in groupby(task.setups, key=lambda setup: setup.epochs):
            alike = list(group)
            before = train_before(
                network, alike[0].short_training, images, first, task, step, before
            )
            if before.failure:
                reason = f"training before the score: {before.failure.reason}"
                failed = Reading(None, reason, before.failure.bound)
                of_draw += [Measurement(failed, 0.0)] * len(alike)
                continue
            for measured in apply_setups(network, alike, images, draw, task.device, step):
                of_draw.append(measured._replace(seconds=measured.seconds + building))
        of_draw[0] = of_draw[0]._replace(short_training=before.seconds)
        found.append(of_draw)
    return found


def built(task: ScoreTask, images: Images) -> nn.Module:
    """The network of the task's setups, with weights yet to be drawn."""
    spec = task.setups[0].network_spec
    network = build(
        task.space, task.architecture, spec.scale, images, inputs=spec.shape(images.shape)
    )
    network.to(task.device)
    if spec.training is not None:  # a third less time in training, at 16 channels and 16 x 16
        channels_last(network, torch.zeros(1, *images.shape, device=task.device))
    return network


def redrawn(
    network: nn.Module, weights: str, x: Tensor, draw: int, before: Initialisation | None
) -> Initialisation:
    """Draws the network's weights; what there is to draw is found once, unless that changes.

    What the network does with `x` says what parameters are that no layer of torch's has.
    """
    if before is None or not before.holds(network):
        before = Initialisation.of(network, weights, x)
    before.draw(stream(draw, "weights"))
    return before


def unmeasured(task: ScoreTask, failure: Failure | None, seconds: float) -> list[Measurement]:
    """What a draw comes to whose network cannot be shown to any setup."""
    assert failure is not None
    return [Measurement(Reading(None, *failure), seconds)] * len(task.setups)


class Before(NamedTuple):
    """How far the training before the scores has come on one draw."""

    state: ShortTrained | None = None
    failure: Failure | None = None
    "Why it ended; None if it did not."
    seconds: float = 0.0


def train_before(
    network: nn.Module,
    short_training: ShortTraining | None,
    images: Images,
    draw: int,
    task: ScoreTask,
    step: Step,
    before: Before,
) -> Before:
    """Trains the network to the end of its short training, from what is on the disk."""
    if short_training is None or before.failure:
        return before
    began = time.perf_counter()
    kept = None if task.warm is None else task.warm.with_name(f"{task.warm.name}-{draw}.pt")
    found = reaching(kept, partial(stored, kept), step) if kept else None
    longer = found is not None and found.epochs > short_training.recipe.epochs
    go_on = partial(
        train_short,
        network,
        images.training_on(short_training.images, stream(draw, SHORT_TRAINING)),
        short_training.recipe,
        seed=draw,
        since=before.state or (None if longer else found),
        device=task.device,
    )
    state, failure = attempt_apart(go_on, task.device, step, draw)
    if kept and state and not longer:
        reaching(kept, partial(save_short, kept, state), step)
    return Before(state, failure, before.seconds + time.perf_counter() - began)


def reaching(kept: Location, call: Callable[[], T], step: Step) -> T | None:
    """What the call gives, which reads or writes what is kept.

    Under a URL, None where it fails or takes longer than a step may: no fault of the network, and
    what is not kept is trained again.
    """
    if isinstance(kept, Path):
        return call()
    found, failure = attempt(call, step=step)
    if failure:
        logger.warning("%s: neither read nor kept: %s", kept, failure.reason)
    return found


def stored(path: Location) -> ShortTrained | None:
    """The training at `path`; None where there is none that can be read."""
    try:
        return load_short(path) if path.exists() else None
    except ValueError:  # damaged: train from the start
        return None


def build(
    space: str, architecture: str, scale: Scale, images: Images, *, inputs: Shape | None = None
) -> nn.Module:
    """The network of an architecture for these images, with weights yet to be drawn."""
    found = get_space(space)
    parsed = found.parse(architecture)
    network = found.build(
        parsed,
        scale,
        inputs=images.shape if inputs is None else inputs,
        classes=len(images.classes),
    )
    return connected(network, found, parsed)


def connected(network: nn.Module, space: Space[Any], architecture: Architecture) -> nn.Module:
    """The network, with what its space says of the cells as its attribute `connectivity`."""
    if cells := space.connectivity(architecture):
        network.connectivity = cells  # type: ignore[assignment]  # a plain value
    return network


def train_on(task: TrainTask, images: Images) -> Trained:
    """Epochs up to `task.until`; and when training is over, the evaluation on the test images.

    Raises:
        MemoryError: it is too large for this machine; a larger one resumes it.
        ValueError: the checkpoint cannot be used.
        OSError: it cannot be written.
    """
    try:
        with surroundings(task.seed):
            return _trained(task, images)
    except (ValueError, OSError, Interrupted):
        raise
    except BaseException as error:  # somebody else's network may raise anything
        if out_of_memory(error):
            raise MemoryError(f"training {task.architecture}: {told(error)}") from error
        return untrainable(told(error))


def training_images(images: Images, count: int | None, seed: int) -> Images:
    """What a training to the end sees: so many training images, the same at every resume."""
    return images.training_on(count, stream(seed, "subset"))


def untrainable(reason: str) -> Trained:
    """What training comes to that the network itself ended."""
    return Trained(Training((), None, reason, finished=True), None, None, None)


def _trained(task: TrainTask, images: Images) -> Trained:
    network = initialised(task, images)
    size = network_size(network, images)
    kept = task.checkpoint
    lock = lock_file(kept.with_name(f"{kept.name}.lock"))
    lock.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(lock):  # runs may share a training
        training = train(
            network,
            training_images(images, task.images, task.seed),
            task.recipe,
            seed=task.seed,
            checkpoint=kept,
            until=task.until,
            device=task.device,
        )
    evaluation = None
    if training.finished and not training.reason:
        try:
            evaluation = evaluate(network, images.test, images, device=task.device)
        except FloatingPointError as error:
            training = replace(training, reason=f"on the test images: {error}")
    return Trained(training, evaluation, *size)


def initialised(task: TrainTask, images: Images) -> nn.Module:
    """The network that is trained, with its initial weights.

    Raises:
        ValueError: no such network.
    """
    if task.space is None:
        return build_reference(task.architecture, images, task.seed)
    network = build(task.space, task.architecture, task.scale, images)
    draw_weights(network, get_space(task.space).initial_weights, stream(task.seed, "training"))
    if task.weights is not None:
        load_weights(network, task.weights)
    return network


def network_size(network: nn.Module, images: Images) -> tuple[int, int]:
    """Trainable parameters, without an auxiliary head's, and multiply-adds for one image."""
    probe = draw_probe(images, ProbeSpec(count=1), stream("size"))
    readings = (score(network, probe, stream("size")) for score in (Parameters(), MultiplyAdds()))
    parameters, macs = (int(reading.value or 0) for reading in readings)
    head = getattr(network, "auxiliary", None)
    extra = sum(p.numel() for p in head.parameters()) if isinstance(head, nn.Module) else 0
    return parameters - extra, macs
