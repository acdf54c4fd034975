"""Training kept on disk, so that it can be stopped at any moment and resumed."""

import io
import pickle
import struct
import zipfile
import zlib
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from untrained.files import content_of, write_whole
from untrained.images.dataset import Images
from untrained.locations import Location
from untrained.training.epoch import Epoch
from untrained.training.recipe import Recipe

LAYOUT = 3  # raise when a field changes its meaning

# What reading a damaged file raises, then what a whole file with other contents leads to.
DAMAGED = (zipfile.BadZipFile, RuntimeError, OSError, EOFError, ValueError)
UNREADABLE = (
    *(*DAMAGED, pickle.UnpicklingError, LookupError, AttributeError, TypeError),
    *(struct.error, zlib.error, ArithmeticError, MemoryError),  # of sizes that are nonsense
)


@dataclass(frozen=True)
class Checkpoint:
    """A training as it stood after an epoch, in plain values and CPU tensors."""

    asked: Mapping[str, object]
    "What decides the course of the training; see `describe`."
    epochs: tuple[Epoch, ...]
    "Every epoch so far."
    reason: str
    "Why training ended early; empty if it did not."
    network: Mapping[str, Tensor]
    "Parameters and buffers after the last epoch; the initial ones, if there was none."
    best: Mapping[str, Tensor]
    "Parameters and buffers after the best epoch so far; the initial ones, if there was none."
    optimizer: Mapping[str, object]
    "State of the optimizer: momentum, and what else it keeps."
    scaler: Mapping[str, object]
    "State of the scaler of mixed precision; empty without one."
    average: Mapping[str, Tensor]
    "Moving average of the network, and of how many steps; empty without one."


@dataclass(frozen=True)
class ShortTrained:
    """A training without validation as it stood after an epoch."""

    epochs: int
    "How many are done."
    network: Mapping[str, Tensor]
    "Parameters and buffers."
    optimizer: Mapping[str, object]
    "State of the optimizer: momentum, and what else it keeps."
    scaler: Mapping[str, object]
    "State of the scaler of mixed precision; empty without one."
    average: Mapping[str, Tensor]
    "Moving average of the network, and of how many steps; empty without one."


def describe(network: nn.Module, images: Images, recipe: Recipe, seed: int) -> dict[str, object]:
    """Flat plain values that two trainings share exactly when one may resume the other.

    Besides recipe, seed and data these are the type of every layer and the shape of every
    parameter and buffer. Layers count because a pooling and an identity have equal shapes: none.
    """
    return {
        "layout of the checkpoint": LAYOUT,
        **{f"recipe.{name}": choice for name, choice in asdict(recipe).items()},
        "seed": seed,
        "images fingerprint": images.fingerprint,
        **{f"layer {name}": type(module).__name__ for name, module in network.named_modules()},
        **{
            f"shape of {name}": f"{tuple(tensor.shape)} {tensor.dtype}"
            for name, tensor in network.state_dict().items()
        },
    }


def save_checkpoint(path: Location, checkpoint: Checkpoint) -> None:
    """Write a checkpoint so that a kill at any moment leaves the old one or the new one whole."""
    epochs = tuple(asdict(epoch) for epoch in checkpoint.epochs)
    _save(path, {**vars(checkpoint), "epochs": epochs})


def save_short(path: Location, trained: ShortTrained) -> None:
    """The same for a short training."""
    _save(path, vars(trained))


def _save(path: Location, values: Mapping[str, object]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    # Apart, so that a full disk is an OSError and not torch's own.
    write_whole(path, content_of(partial(torch.save, dict(values))))


def load_checkpoint(path: Location, asked: Mapping[str, object]) -> Checkpoint:
    """Read a checkpoint of the very training that is asked for.

    Raises:
        ValueError: if the file is not a whole checkpoint, or of another training; it says what
            differs.
    """
    loaded = _load(path, "asked")
    if not isinstance(loaded["asked"], dict):
        raise _damaged(path, "TypeError")
    _check_same(path, asked, loaded["asked"])  # the layout too: it says what other fields are
    try:
        epochs = tuple(Epoch(**epoch) for epoch in loaded.pop("epochs"))
        found = Checkpoint(**loaded, epochs=epochs)
    except UNREADABLE as error:
        raise _damaged(path, type(error).__name__) from error
    if not _whole(found):
        raise _damaged(path, "of other values")
    return found


def _whole(found: Checkpoint) -> bool:
    """Whether each value is of its kind."""
    numbers = [epoch.number for epoch in found.epochs]
    values = [value for epoch in found.epochs for value in vars(epoch).values()]
    mappings = found.network, found.best, found.optimizer, found.scaler, found.average
    return (
        numbers == list(range(1, len(numbers) + 1))
        and all(type(value) in (int, float) for value in values)
        and all(isinstance(mapping, Mapping) for mapping in mappings)
        and isinstance(found.reason, str)
    )


def load_short(path: Location) -> ShortTrained:
    """Read a short training.

    Raises:
        ValueError: if the file is not a whole one.
    """
    return ShortTrained(**_load(path, *(f.name for f in fields(ShortTrained))))


def _load(path: Location, *names: str) -> dict[str, Any]:
    """The plain values in a file, of which these must be some."""
    content = io.BytesIO(path.read_bytes())  # apart, so that a missing right is no damage
    try:
        if bad := zipfile.ZipFile(content).testzip():  # torch does not check them
            raise zipfile.BadZipFile(bad)
        content.seek(0)
        # Tensors and plain values only, never code: a checkpoint may come from anywhere.
        loaded = dict(torch.load(content, map_location="cpu", weights_only=True))
        if missing := [name for name in names if name not in loaded]:
            raise KeyError(*missing)
        return loaded
    except UNREADABLE as error:
        raise _damaged(path, type(error).__name__) from error


def _damaged(path: Location, what: str) -> ValueError:
    return ValueError(
        f"{path}: expected a training checkpoint, got a file that cannot be read as one ({what}); "
        f"delete it to train from the start"
    )


def _check_same(path: Location, asked: Mapping[str, object], kept: Mapping[str, object]) -> None:
    differing = [name for name in {**asked, **kept} if asked.get(name) != kept.get(name)]
    if not differing:
        return
    first = differing[0]
    more = f" (and {len(differing) - 1} more differences)" if differing[1:] else ""
    raise ValueError(
        f"{path}: a checkpoint of another training: {first}: expected {asked.get(first)!r}, "
        f"got {kept.get(first)!r}{more}; use another path, or delete the file to train from "
        f"the start"
    )
