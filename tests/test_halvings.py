"""Stems that follow the size of the images."""

import random
from typing import Any

import pytest
import torch
from torch import nn

from untrained.spaces import get_space
from untrained.spaces.space import CellScale, halvings

NAMES = "nasbench201", "natsbench_size", "nasbench101"


def sides(network: nn.Module, side: int) -> list[int]:
    """Of every convolution's output."""
    found = []
    hooks = [
        module.register_forward_hook(lambda *call: found.append(call[-1].shape[-1]))
        for module in network.modules()
        if isinstance(module, nn.Conv2d)
    ]
    with torch.no_grad():
        network.eval()(torch.zeros(1, 3, side, side))
    for hook in hooks:
        hook.remove()
    return found


@pytest.mark.parametrize("name", NAMES)
def test_cells_see_at_most_48_pixels_of_large_images(name: str) -> None:
    space = get_space(name)
    architecture = space.sample(random.Random(3))
    for side, first, cells in ((64, 32, 32), (96, 48, 48), (128, 64, 32), (224, 112, 28)):
        network = space.build(
            architecture, space.scales["small"], inputs=(3, side, side), classes=4
        )
        found = sides(network, side)
        count = halvings((3, side, side))
        assert found[0] == first
        assert found[count - 1] == cells
        assert max(found[count - 1 :]) == cells


@pytest.mark.parametrize("name", NAMES)
def test_below_64_pixels_networks_are_as_published(name: str) -> None:
    space = get_space(name)
    architecture = space.sample(random.Random(3))
    networks = {
        side: space.build(architecture, space.scales["small"], inputs=(3, side, side), classes=4)
        for side in (8, 16, 32, 48, 63)
    }
    assert len(set(map(repr, networks.values()))) == 1
    assert all(sides(network, side)[0] == side for side, network in networks.items())
    source, constructor = space.export(
        architecture, space.scales["small"], inputs=(3, 32, 32), classes=4
    )
    assert "halvings=0," in constructor
    assert "def stem_of" in source or name == "nasbench101"


@pytest.mark.parametrize("name", NAMES)
def test_large_networks_are_exported_as_they_are_built(name: str) -> None:
    space = get_space(name)
    architecture = space.sample(random.Random(3))
    asked: Any = {"inputs": (3, 128, 128), "classes": 4}
    built = space.build(architecture, space.scales["small"], **asked)
    source, constructor = space.export(architecture, space.scales["small"], **asked)
    names: dict[str, Any] = {"__name__": "exported"}
    exec(source, names)
    assert repr(eval(constructor, names)) == repr(built)


def test_networks_without_a_stem_keep_the_resolution() -> None:
    space = get_space("nasbench201")
    architecture = space.parse("|nor_conv_3x3~0|+|none~0|none~1|+|none~0|none~1|nor_conv_3x3~2|")
    scale = CellScale(3, 1, stages=1, stem=False)
    network = space.build(architecture, scale, inputs=(3, 64, 64), classes=4)
    assert sides(network, 64) == [64]
