"""What the front door asks of runs: on which images, of which named architectures."""

from collections.abc import Callable, Sequence
from contextlib import ExitStack, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

from torch import nn

from untrained.front.flags import named
from untrained.images import Images, load_images
from untrained.images.held import holding
from untrained.inspection.config import InspectConfig
from untrained.runs import RunConfig
from untrained.runs.config import MachineConfig, ScoreConfig, TrainConfig
from untrained.settings import join_texts
from untrained.spaces import Architecture, get_space, loading
from untrained.tracking.config import TrackConfig

C = TypeVar("C", bound=MachineConfig | TrackConfig | InspectConfig)
Pictures = Any
"""Whatever `load_images` takes: a name, a file, a folder, arrays, data sets of torch or Hugging
Face; or what it gives."""
Network = str | Architecture | nn.Module | Callable[..., nn.Module]
"""A network with its initial weights; what makes one, or its `package.module:name`; an
architecture, or its text form."""


def with_images(config: C, images: Pictures, stack: ExitStack) -> C:
    """The configuration on these images, which are held until the stack unwinds if they are this
    process's.

    Raises:
        ValueError: images of another size than is asked for.
    """
    if isinstance(images, str | Path):
        return replace(config, images=str(images))
    if not isinstance(images, Images):
        images = load_images(images, size=config.size, seed=config.seed)
    elif config.size is not None:
        raise ValueError(
            f"size: expected none beside images that are loaded, got {config.size!r}; try "
            f"load_images(..., size={config.size!r})"
        )
    return replace(config, images=stack.enter_context(holding(images)))


def named_network(network: Network, stack: ExitStack) -> str:
    """The text form of an architecture, or `package.module:name`; what has no such name, as a
    notebook's functions, is held until the stack unwinds."""
    if isinstance(network, str | Architecture):
        return str(network)
    if not isinstance(network, nn.Module):
        with suppress(ValueError):
            return str(named(network, "network"))
    name = getattr(network, "__name__", type(network).__name__)
    stack.enter_context(loading.holding({name: network}))
    return f"{loading.HERE}:{name}"


def scoring(architectures: Sequence[str], config: ScoreConfig) -> RunConfig:
    """The run that scores named architectures."""
    return RunConfig(**vars(config), **given(config.space, architectures))


def training(architecture: str, config: TrainConfig) -> RunConfig:
    """The run that trains a named architecture."""
    space = get_space(config.space)
    if space.parse(architecture).partial:
        raise ValueError(
            f"expected a discrete architecture to train, got {architecture}, which keeps several "
            f"operations on an edge or more edges than a network has; try untrained score"
        )
    size: dict[str, Any] = {"draws": 1, "train": True, "scores": ("parameters", "macs")}
    return RunConfig(**vars(config), **given(config.space, (architecture,)), **size)


def given(space: str, architectures: Sequence[str]) -> dict[str, Any]:
    """What asks for named architectures, in place of a search."""
    if not architectures:
        raise ValueError("expected the text form of one architecture or more, got none")
    found = get_space(space)  # some published forms hold spaces, which separate here
    texts = [str(found.parse(text)) for text in architectures]
    return {"searcher": "given", "options": {"architectures": join_texts(texts)}}
