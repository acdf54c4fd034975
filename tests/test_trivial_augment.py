"""Each alteration against what it does to a picture of a few pixels."""

import pytest
import torch
from torch import Tensor

from untrained.images.augment import change_colours
from untrained.images.trivial_augment import COLOUR, KINDS, SHIFT, alter, trivial_augment


def picture(side: int = 8) -> Tensor:
    draw = torch.Generator().manual_seed(0)
    return torch.randint(256, (1, 3, side, side), generator=draw).to(torch.uint8)


def altered(kind: str, strength: float, pixels: Tensor) -> Tensor:
    return alter(pixels, torch.tensor([KINDS.index(kind)]), torch.tensor([strength]))


@pytest.mark.parametrize("kind", KINDS)
def test_none_of_an_alteration_is_none(kind: str) -> None:
    assert torch.equal(altered(kind, 0.0, picture()), picture())


def test_identity_is_identity() -> None:
    assert torch.equal(altered("identity", 0.7, picture()), picture())


@pytest.mark.parametrize(("kind", "axis"), [("translate_x", 3), ("translate_y", 2)])
def test_a_shift_is_by_whole_pixels_with_black_behind(kind: str, axis: int) -> None:
    shift = round(8 * SHIFT)
    found = altered(kind, 1.0, picture())
    kept = found.narrow(axis, 0, 8 - shift)
    assert torch.equal(kept, picture().narrow(axis, shift, 8 - shift))
    assert not found.narrow(axis, 8 - shift, shift).any()


def test_a_rotation_by_a_right_angle_is_that_of_torch() -> None:
    found = altered("rotate", 90 / 135, picture())
    assert torch.equal(found, picture().rot90(1, (2, 3)))


@pytest.mark.parametrize(("kind", "line"), [("shear_x", 0), ("shear_y", 1)])
def test_a_shear_keeps_the_middle_and_moves_the_edges_apart(kind: str, line: int) -> None:
    pixels = torch.zeros(1, 1, 9, 9, dtype=torch.uint8)
    pixels[0, 0, :, 4] = 255  # a line down the middle
    found = altered(kind, 0.5, pixels if line == 0 else pixels.mT)
    found = found if line == 0 else found.mT
    assert found[0, 0, 4, 4] == 255
    columns = found[0, 0].int().argmax(1)
    assert columns[0] > columns[4] > columns[8]


@pytest.mark.parametrize("index", [0, 1, 2])
def test_colours_change_as_by_jitter(index: int) -> None:
    factors = torch.ones(1, 3)
    factors[0, index] += 0.5 * COLOUR
    found = altered(("brightness", "contrast", "saturation")[index], 0.5, picture())
    assert torch.equal(found, change_colours(picture(), factors))


def test_posterize_keeps_the_upper_bits_and_solarize_turns_the_bright() -> None:
    pixels = torch.tensor([0, 63, 64, 127, 128, 255], dtype=torch.uint8).reshape(1, 1, 1, 6)
    assert altered("posterize", -1.0, pixels).flatten().tolist() == [0, 0, 64, 64, 128, 192]
    assert altered("solarize", 0.5, pixels).flatten().tolist() == [0, 63, 64, 127, 127, 0]


def test_a_batch_is_altered_image_by_image_and_by_every_kind() -> None:
    pixels = torch.cat([picture()] * 400)
    found = trivial_augment(pixels, torch.Generator().manual_seed(0))
    again = trivial_augment(pixels, torch.Generator().manual_seed(0))
    assert found.shape == pixels.shape
    assert found.dtype == torch.uint8
    assert torch.equal(found, again)
    same = (found == pixels).all(dim=(1, 2, 3)).float().mean().item()
    assert 1 / len(KINDS) * 0.5 < same < 0.3
    kinds, strengths = torch.arange(len(KINDS)), torch.linspace(-1, 1, len(KINDS))
    together = alter(torch.cat([picture()] * len(KINDS)), kinds, strengths)
    for k, name in enumerate(KINDS):
        assert torch.equal(together[k : k + 1], altered(name, strengths[k].item(), picture()))
