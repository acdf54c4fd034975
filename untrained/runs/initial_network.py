"""The network of an architecture with its initial weights."""

from torch import nn

from untrained.images import Images
from untrained.networks import draw_weights
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
    found = get_space(space)
    network = build(space, architecture, named_scale(found, scale), images)
    draw_weights(network, found.initial_weights, stream(seed, "training"))
    return network
