"""Networks by name: an ordinary one, to compare with, and one's own."""

import re
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import nn

from untrained.images import Images
from untrained.networks.resnet import ResNet, ResNetSize, resnet_of_size
from untrained.plugins import find
from untrained.runs.beside import RESNET

_SIZED = re.compile(rf"{RESNET}\(blocks=(\d+), width=(\d+)\)")


def sized(name: str, parameters: int, images: Images) -> str:
    """The name with the size that makes a network of it, `resnet(blocks=1, width=16)`.

    Args:
        name: as asked for; that of a network of one's own stands for itself.
        parameters: of the network that it is compared with.
        images: to be trained on.
    """
    if name != RESNET:
        return name
    blocks, width = resnet_of_size(parameters, inputs=images.shape[0], classes=len(images.classes))
    return f"{RESNET}(blocks={blocks}, width={width})"


def build_reference(name: str, images: Images, seed: int) -> nn.Module:
    """The network of a name as `sized` gives it, with its initial weights.

    Raises:
        ValueError: as `own_network`.
    """
    if found := _SIZED.fullmatch(name):
        size = ResNetSize(*map(int, found.groups()))
        with _seeded(seed):
            return ResNet(size, inputs=images.shape[0], classes=len(images.classes))
    return own_network(name, images, seed)


def own_network(path: str, images: Images, seed: int) -> nn.Module:
    """What the function at `package.module:name` returns, with the weights that it draws.

    Raises:
        ValueError: no such function, or it gives no network.
    """
    if ":" not in path:
        raise ValueError(f"network: expected package.module:name, got {path!r}")
    maker: object = find("network", path, {}, object)
    if not callable(maker):
        raise ValueError(f"network {path!r}: expected a function, got {maker!r}")
    inputs, classes = images.shape[0], len(images.classes)
    with _seeded(seed):
        try:
            network = maker(inputs=inputs, classes=classes)
        except Exception as error:  # somebody else's function may raise anything
            raise ValueError(
                f"network {path!r}, called with inputs={inputs} and classes={classes}: "
                f"{type(error).__name__}: {error}"
            ) from error
    if not isinstance(network, nn.Module):
        raise ValueError(f"network {path!r}: expected it to give an nn.Module, got {network!r}")
    return network


@contextmanager
def _seeded(seed: int) -> Iterator[None]:
    """Inside, the global random state is that of a seed; afterwards it is as before."""
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)
        yield
