"""Probes and augmentation, against loops over single images."""

import pytest
import torch

from untrained.images import Images, Labelled, Probe, ProbeSpec, draw_probe, load_images
from untrained.images.augment import cutout, draw_integers, random_crop_flip, windows


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def make_images(count: int = 40, channels: int = 3, side: int = 16) -> Images:
    generator = seeded(7)
    shape = (count, channels, side, side)
    pixels = torch.randint(1, 256, shape, dtype=torch.uint8, generator=generator)
    data = Labelled(pixels, torch.arange(count) % 4)
    mean, std = torch.linspace(0.3, 0.5, channels), torch.linspace(0.2, 0.3, channels)
    return Images("set", tuple("abcd"), data, data, data, mean, std, "0" * 16)


def naive_probe(images: Images, spec: ProbeSpec, generator: torch.Generator) -> torch.Tensor:
    """The same draws, then one image at a time."""
    channels, height, width = images.shape
    total = len(images.train)
    rows: list[int] = []
    while len(rows) < spec.count:
        rows += torch.randperm(total, generator=generator).tolist()
    n, padding = spec.count, height // 8
    if spec.augment:
        tops = draw_integers(2 * padding + 1, n, generator).tolist()
        lefts = draw_integers(2 * padding + 1, n, generator).tolist()
        mirrored = draw_integers(2, n, generator).tolist() if channels == 3 else [0] * n
    if spec.patch:
        patch_tops = draw_integers(height - spec.patch + 1, n, generator).tolist()
        patch_lefts = draw_integers(width - spec.patch + 1, n, generator).tolist()
    if spec.one_channel:
        kept = draw_integers(channels, n, generator).tolist()
    inputs = []
    for k in range(n):
        image = images.train.pixels[rows[k]]
        if spec.augment:
            framed = torch.zeros(channels, height + 2 * padding, width + 2 * padding)
            framed[:, padding : padding + height, padding : padding + width] = image
            image = framed[:, tops[k] : tops[k] + height, lefts[k] : lefts[k] + width]
            if mirrored[k]:
                image = image.flip(2)
        if spec.patch:
            top, left = patch_tops[k], patch_lefts[k]
            image = image[:, top : top + spec.patch, left : left + spec.patch]
        image = (image / 255 - images.mean[:, None, None]) / images.std[:, None, None]
        inputs.append(image[kept[k]][None] if spec.one_channel else image)
    return torch.stack(inputs)


SPECS = [
    ProbeSpec(count=1),
    ProbeSpec(count=40),
    ProbeSpec(count=20, augment=True),
    ProbeSpec(count=20, one_channel=True),
    ProbeSpec(count=100, patch=3),
    ProbeSpec(count=100, patch=5, augment=True, one_channel=True),
]


@pytest.mark.parametrize("spec", SPECS, ids=str)
@pytest.mark.parametrize("channels", [1, 3])
def test_probe_against_a_loop(spec: ProbeSpec, channels: int) -> None:
    images = make_images(channels=channels)
    probe = draw_probe(images, spec, seeded())
    torch.testing.assert_close(probe.inputs, naive_probe(images, spec, seeded()))
    assert probe.classes == 4


@pytest.mark.parametrize("spec", SPECS, ids=str)
def test_same_seed_same_bits_and_global_state_untouched(spec: ProbeSpec) -> None:
    images, before = make_images(), torch.get_rng_state()
    first, second, other = (draw_probe(images, spec, seeded(seed)) for seed in (3, 3, 4))
    assert torch.equal(first.inputs, second.inputs)
    assert torch.equal(first.labels, second.labels)
    assert not torch.equal(first.inputs, other.inputs)
    assert torch.equal(before, torch.get_rng_state())


def test_labels_belong_to_inputs() -> None:
    images = make_images()
    probe = draw_probe(images, ProbeSpec(count=25), seeded())
    everything = images.normalise(images.train.pixels)
    for image, label in zip(probe.inputs, probe.labels, strict=True):
        row = (everything == image).flatten(1).all(1).nonzero().item()
        assert images.train.labels[row] == label


def test_images_repeat_only_after_a_full_pass() -> None:
    images = make_images(count=8)
    probe = draw_probe(images, ProbeSpec(count=20, patch=16), seeded())
    rows = [image.numpy().tobytes() for image in probe.inputs]
    assert len(set(rows[:8])) == len(set(rows[8:16])) == 8


def test_the_data_set_is_not_altered() -> None:
    images = make_images()
    before = images.train.pixels.clone()
    draw_probe(images, ProbeSpec(count=40, augment=True), seeded()).inputs.zero_()
    assert torch.equal(before, images.train.pixels)


def test_origin() -> None:
    spec = ProbeSpec(count=72, augment=True, patch=3, one_channel=True)
    assert draw_probe(load_images(), spec, seeded()).origin == (
        "72 of digits/train, augmented, 3 x 3 patches, one channel"
    )


@pytest.mark.parametrize(
    ("spec", "hint"),
    [
        (ProbeSpec(count=0), "got count 0"),
        (ProbeSpec(count=41), "at most 40 images"),
        (ProbeSpec(patch=17), "a patch of 1 to 16 pixels"),
        (ProbeSpec(patch=0), "got 0"),
    ],
)
def test_impossible_probes(spec: ProbeSpec, hint: str) -> None:
    with pytest.raises(ValueError, match=hint):
        draw_probe(make_images(), spec, seeded())


def test_probe_is_a_plain_value() -> None:
    probe = draw_probe(make_images(), ProbeSpec(count=2), seeded())
    assert isinstance(probe, Probe)
    assert probe.inputs.is_contiguous()


# Augmentation


def test_crop_and_flip_reach_every_place_and_both_sides() -> None:
    image = torch.arange(1, 10, dtype=torch.uint8).reshape(1, 1, 3, 3).expand(2000, 1, 3, 3)
    altered = random_crop_flip(image, seeded(), padding=1, flip=True)
    kinds, counts = altered.unique(dim=0, return_counts=True)
    assert altered.dtype == torch.uint8
    assert len(kinds) == 3 * 3 * 2
    assert counts.min() > 2000 / 18 / 2


def test_no_padding_and_no_flip_change_nothing() -> None:
    pixels = make_images().train.pixels
    assert torch.equal(random_crop_flip(pixels, seeded(), padding=0, flip=False), pixels)


def test_cutout_against_a_loop() -> None:
    inputs = make_images().train.pixels.float()
    result = cutout(inputs, seeded(), 5)
    rows = draw_integers(16, 40, generator := seeded()).tolist()
    columns = draw_integers(16, 40, generator).tolist()
    for image, (row, column) in zip(inputs, zip(rows, columns, strict=True), strict=True):
        image[:, max(0, row - 2) : row + 3, max(0, column - 2) : column + 3] = 0
    assert torch.equal(result, inputs)


def test_cutout_of_nothing_and_of_everything() -> None:
    ones = torch.ones(3, 2, 4, 4)
    assert torch.equal(cutout(ones, seeded(), 0), ones)
    assert cutout(ones, seeded(), 8).sum() == 0


def test_negative_sizes_are_refused() -> None:
    with pytest.raises(ValueError, match="padding of 0 or more"):
        random_crop_flip(make_images().train.pixels, seeded(), padding=-1, flip=False)
    with pytest.raises(ValueError, match="side of 0 or more"):
        cutout(torch.ones(1, 1, 2, 2), seeded(), -1)


def test_windows_of_a_rectangle() -> None:
    pixels = torch.arange(2 * 5 * 7).reshape(2, 1, 5, 7)
    cut = windows(pixels, torch.tensor([1]), torch.tensor([2]), torch.tensor([4]), (3, 2))
    assert torch.equal(cut, pixels[1:, :, 2:5, 4:6])
