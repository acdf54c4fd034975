"""A network with its initial weights: of an architecture, or of somebody's own function."""

import inspect
from collections.abc import Callable
from typing import Any

import torch
from torch import nn

from untrained.images import Images
from untrained.networks import draw_weights
from untrained.plugins import find
from untrained.runs.setup import named_scale
from untrained.runs.streams import stream
from untrained.runs.tasks import build
from untrained.spaces import get_space


def initial_network(
    space: str, scale: str, architecture: str, images: Images, seed: int
) -> nn.Module:
    """That of an architecture, with weights drawn as for training.

    Raises:
        ValueError: an unknown space or scale, or a text form that the space cannot read.
    """
    network = build(space, architecture, named_scale(get_space(space), scale), images)
    draw_weights(network, "kaiming_fan_out", stream(seed, "training"))
    return network


def own_network(path: str, images: Images, seed: int) -> nn.Module:
    """That of package.module:name, called with `inputs` (channels), `classes` and maybe `size`.

    Raises:
        ValueError: there is no such function, it raises, or it gives something else.
    """
    if ":" not in path:
        raise ValueError(f"network: expected package.module:name, got {path!r}")
    maker: object = find("network", path, {}, object)
    if not callable(maker):
        raise ValueError(f"network {path!r}: expected a function, got {maker!r}")
    given = {"inputs": images.shape[0], "classes": len(images.classes)}
    if _takes(maker, "size"):
        given["size"] = images.shape[1]
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)
        try:
            network = maker(**given)
        except Exception as error:  # somebody else's function may raise anything
            called = ", ".join(f"{name}={value}" for name, value in given.items())
            raise ValueError(
                f"network {path!r}, called with {called}: {type(error).__name__}: {error}"
            ) from error
    if not isinstance(network, nn.Module):
        raise ValueError(f"network {path!r}: expected it to give an nn.Module, got {network!r}")
    return network


def _takes(function: Callable[..., Any], name: str) -> bool:
    """Whether its signature has a parameter of this name; a builtin may have none."""
    try:
        return name in inspect.signature(function).parameters
    except (TypeError, ValueError):
        return False
