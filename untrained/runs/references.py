"""Networks by name: an ordinary one, to compare with, and one's own."""

import re
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import nn

from untrained.images import Images
from untrained.networks.resnet import ResNet, ResNetSize, resnet_of_size
from untrained.runs.beside import RESNET
from untrained.spaces import MODELS

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
    """The model at `package.module:name`, with the weights that it is built with.

    Raises:
        ValueError: no such model, or it does not take such images.
    """
    with _seeded(seed):
        return MODELS.build(
            MODELS.parse(path),
            MODELS.scales["full"],
            inputs=images.shape,
            classes=len(images.classes),
        )


@contextmanager
def _seeded(seed: int) -> Iterator[None]:
    """Inside, the global random state is that of a seed; afterwards it is as before."""
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)
        yield
