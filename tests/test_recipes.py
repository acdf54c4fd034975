"""What published recipes need: two heads, dropped paths, clipping, colours, float16; names."""

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image, ImageEnhance
from test_training import digits, history, same_bits, weights
from torch import Tensor, nn

from untrained.images.augment import (
    change_colours,
    jitter_colours,
    random_resized_crop,
    resize_boxes,
)
from untrained.training import RECIPES, Recipe, evaluate, get_recipe, loop, train
from untrained.training.batches import Shown, draw_batches
from untrained.training.descent import descend, losses, set_up, split_outputs, train_on
from untrained.training.recipe import check_recipe


class TwoHeads(nn.Module):
    """A small network of the DARTS kind: paths that are dropped, and a head in training mode."""

    def __init__(self, seed: int = 0) -> None:
        super().__init__()
        self.drop_path = 0.0
        self.dropped: list[float] = []
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self.stem = nn.Sequential(nn.Conv2d(1, 8, 3, padding=1), nn.BatchNorm2d(8))
            self.path = nn.Conv2d(8, 8, 3, padding=1)
            self.head = nn.Linear(8 * 64, 10)
            self.side = nn.Linear(8 * 64, 10)

    def forward(self, x: Tensor) -> Tensor | tuple[Tensor, Tensor]:
        x = self.stem(x)
        path = self.path(x.relu())
        if not self.training:
            return self.head((x + path).flatten(1))
        self.dropped.append(self.drop_path)
        kept = torch.rand(len(x), 1, 1, 1, device=x.device) >= self.drop_path
        both = x + path * kept / (1 - self.drop_path)
        return self.head(both.flatten(1)), self.side(x.flatten(1))


ENHANCERS = (ImageEnhance.Brightness, ImageEnhance.Contrast, ImageEnhance.Color)
PLAIN = nn.Sequential(nn.Flatten(), nn.Linear(64, 10))
RECIPE = Recipe(
    epochs=4,
    batch=32,
    learning_rate=0.05,
    label_smoothing=0.1,
    cutout=2,
    nesterov=False,
    decay_all=True,
    clock="epoch",
    warm_up=2,
    resized_crop=True,
    jitter=0.4,
    clip=0.5,
    drop_path=0.4,
    auxiliary=0.4,
)


# ---- Auxiliary head -----------------------------------------------------------------------------


def smoothed(logits: Tensor, labels: Tensor, share: float) -> float:
    """Cross-entropy with smoothed targets, summed class by class."""
    total = 0.0
    for row, label in zip(logits.tolist(), labels.tolist(), strict=True):
        norm = math.log(sum(map(math.exp, row)))
        for k, logit in enumerate(row):
            target = share / len(row) + (1 - share) * (k == label)
            total += target * (norm - logit) / len(labels)
    return total


def test_the_auxiliary_loss_by_hand() -> None:
    draw = torch.Generator().manual_seed(0)
    logits, aside = torch.randn(2, 6, 4, dtype=torch.float64, generator=draw)
    labels = torch.tensor([0, 1, 2, 3, 0, 1])
    recipe = Recipe(auxiliary=0.4, label_smoothing=0.1)
    main, objective = losses(logits, aside, Shown(torch.empty(6, 0, 0, 0), labels), recipe)
    assert main.item() == pytest.approx(smoothed(logits, labels, 0.1))
    by_hand = smoothed(logits, labels, 0.1) + 0.4 * smoothed(aside, labels, 0.1)
    assert objective.item() == pytest.approx(by_hand)


def test_reported_are_loss_and_accuracy_of_the_main_logits() -> None:
    images, network = digits(train=32), TwoHeads()
    inputs = images.normalise(images.train.pixels)
    logits = network.train()(inputs)[0].detach()
    network = TwoHeads()
    recipe = Recipe(epochs=1, batch=32, crop=False, auxiliary=0.4)
    (epoch,) = train(network, images, recipe).epochs
    assert epoch.train_loss == pytest.approx(smoothed(logits, images.train.labels, 0), rel=1e-5)
    right = (logits.argmax(1) == images.train.labels).double().mean().item()
    assert epoch.train_accuracy == right


def test_without_weight_the_auxiliary_head_learns_nothing() -> None:
    network, before = TwoHeads(), weights(TwoHeads())
    train(network, digits(), Recipe(epochs=1))
    assert torch.equal(network.side.weight, before["side.weight"])
    assert not torch.equal(network.head.weight, before["head.weight"])


def test_evaluation_sees_the_main_head_alone() -> None:
    images, network = digits(), TwoHeads()
    before = evaluate(network, images.test, images)
    nn.init.zeros_(network.side.weight)
    assert evaluate(network, images.test, images) == before


def test_a_head_that_stays_in_evaluation_is_refused() -> None:
    class Both(nn.Module):
        def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
            return PLAIN(x), PLAIN(x)

    images = digits()
    with pytest.raises(ValueError, match=r"tensor of logits, got tuple; .* training mode alone"):
        evaluate(Both(), images.test, images)


def test_both_heads_have_one_logit_for_each_class() -> None:
    images = digits()
    with pytest.raises(ValueError, match=r"10 classes, got outputs of shape \(2, 9\)"):
        split_outputs((torch.zeros(2, 10), torch.zeros(2, 9)), images, Recipe(auxiliary=0.4))


# ---- Drop path ----------------------------------------------------------------------------------


def test_each_epoch_drops_with_its_probability_and_the_network_gets_its_own_back() -> None:
    network = TwoHeads()
    network.drop_path = 0.125
    train(network, digits(), RECIPE)
    steps = 7
    assert network.dropped == pytest.approx([p for p in (0, 0.1, 0.2, 0.3) for _ in range(steps)])
    assert network.drop_path == 0.125


def test_a_recipe_without_drop_path_leaves_that_of_the_network() -> None:
    network = TwoHeads()
    network.drop_path = 0.125
    train(network, digits(), Recipe(epochs=1))
    assert set(network.dropped) == {0.125}


# ---- The optimizer ------------------------------------------------------------------------------


@pytest.mark.parametrize("clip", [0.3, 1e6])
def test_a_clipped_step_by_hand(clip: float) -> None:
    network = nn.Linear(3, 2).double()
    recipe = Recipe(momentum=0.0, weight_decay=0.0, clip=clip)
    inputs = torch.randn(5, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    before = {name: p.detach().clone() for name, p in network.named_parameters()}
    outputs = inputs @ before["weight"].T + before["bias"]
    gradient = {"weight": outputs.T @ inputs, "bias": outputs.sum(0)}
    norm = math.sqrt(sum(g.square().sum().item() for g in gradient.values()))
    assert 0.3 < norm < 1e6
    setup = set_up(network, digits(), recipe, 0, "cpu")
    descend(setup, network(inputs).square().sum() / 2, 0.1)
    for name, parameter in network.named_parameters():
        step = 0.1 * gradient[name] * min(1, clip / norm)
        torch.testing.assert_close(parameter.detach(), before[name] - step, rtol=1e-5, atol=1e-7)


def test_two_steps_of_plain_momentum_with_decay_of_all() -> None:
    network = nn.Linear(3, 2).double()
    setup = set_up(network, digits(), Recipe(nesterov=False, decay_all=True), 0, "cpu")
    inputs = torch.randn(5, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    by_hand = {name: p.detach().clone() for name, p in network.named_parameters()}
    velocity = {name: torch.zeros_like(p) for name, p in by_hand.items()}
    for _ in range(2):
        outputs = inputs @ by_hand["weight"].T + by_hand["bias"]
        gradient = {"weight": outputs.T @ inputs, "bias": outputs.sum(0)}
        for name, g in gradient.items():
            velocity[name] = 0.9 * velocity[name] + g + 5e-4 * by_hand[name]
            by_hand[name] = by_hand[name] - 0.1 * velocity[name]
        descend(setup, network(inputs).square().sum() / 2, 0.1)
    for name, parameter in network.named_parameters():
        torch.testing.assert_close(parameter.detach(), by_hand[name])


# ---- Parts and colours --------------------------------------------------------------------------


def test_a_box_of_a_ramp_is_a_ramp() -> None:
    columns = torch.arange(16, dtype=torch.float64) + 0.5
    ramp = torch.stack([columns.expand(12, 16), columns[:12, None].expand(12, 16)])
    box = torch.tensor([[0.25, 0.5, 0.5, 0.25]], dtype=torch.float64)
    across, down = resize_boxes(ramp[None], box)[0]
    torch.testing.assert_close(across, (4 + columns * 0.5).expand(12, 16))
    torch.testing.assert_close(down, (6 + columns[:12, None] * 0.25).expand(12, 16))
    whole = torch.tensor([[0.0, 0.0, 1.0, 1.0]], dtype=torch.float64)
    torch.testing.assert_close(resize_boxes(ramp[None], whole)[0], ramp)


def test_random_parts_are_inside_and_as_large_as_they_should_be() -> None:
    columns = (torch.arange(64, dtype=torch.float64) + 0.5) / 64
    ramp = torch.stack([columns.expand(64, 64), columns[:, None].expand(64, 64)])
    draw = torch.Generator().manual_seed(0)
    parts = random_resized_crop(ramp.expand(500, 2, 64, 64), draw)
    # The middle half of a ramp, where nothing outside is missing, gives the side.
    across = (parts[:, 0, 0, 48] - parts[:, 0, 0, 16]) * 2
    down = (parts[:, 1, 48, 0] - parts[:, 1, 16, 0]) * 2
    assert 0.07 < (across * down).min() < 0.15
    assert (across * down).max() > 0.9
    assert (across * down).mean() == pytest.approx(0.54, abs=0.05)
    uncut = (across < 0.99) & (down < 0.99)
    ratio = (across / down)[uncut]
    assert 0.74 < ratio.min() < 0.78
    assert 1.28 < ratio.max() < 1.35


@pytest.mark.parametrize("factors", [(0.7, 1.0, 1.0), (1.0, 1.4, 1.0), (1.0, 1.0, 0.6)])
def test_colours_change_as_pillow_changes_them(factors: tuple[float, float, float]) -> None:
    draw = torch.Generator().manual_seed(0)
    pixels = torch.randint(256, (2, 3, 9, 7), generator=draw, dtype=torch.uint8)
    ours = change_colours(pixels, torch.tensor([factors] * 2))
    for image, changed in zip(pixels, ours, strict=True):
        picture = Image.fromarray(image.permute(1, 2, 0).numpy())
        for enhance, factor in zip(ENHANCERS, factors, strict=True):
            picture = enhance(picture).enhance(factor)
        theirs = torch.from_numpy(np.array(picture)).permute(2, 0, 1).int()
        assert (theirs - changed.int()).abs().max() <= 1  # Pillow rounds greys and means


def test_grey_images_have_no_saturation() -> None:
    pixels = digits().train.pixels
    factors = torch.ones(len(pixels), 3)
    factors[:, 2] = 0.3
    assert torch.equal(change_colours(pixels, factors), pixels)


def test_jitter_is_within_its_strength() -> None:
    pixels = torch.full((400, 1, 1, 1), 100, dtype=torch.uint8)  # contrast has nothing to change
    draw = torch.Generator().manual_seed(0)
    changed = jitter_colours(pixels, draw, 0.4)
    assert 60 <= changed.min() < 63
    assert 137 < changed.max() <= 140
    assert torch.equal(jitter_colours(pixels, draw, 0.0), pixels)
    with pytest.raises(ValueError, match="strength of 0 to 1, got"):
        jitter_colours(pixels, draw, 1.5)


# ---- Everything together ------------------------------------------------------------------------


def resumes(path: Path, recipe: Recipe, device: str = "cpu") -> None:
    """Assert that a training cut after two epochs ends as an unbroken one."""
    unbroken, first, second = TwoHeads(), TwoHeads(), TwoHeads(seed=9)
    whole = train(unbroken, digits(), recipe, device=device)
    train(first, digits(), recipe, device=device, checkpoint=path, until=2)
    resumed = train(second, digits(), recipe, device=device, checkpoint=path)
    assert whole.reason == ""
    assert history(resumed) == history(whole)
    assert same_bits(weights(second), weights(unbroken))


def test_with_everything_on_a_resumed_training_ends_as_an_unbroken_one(tmp_path: Path) -> None:
    resumes(tmp_path / "c.pt", RECIPE)


def test_the_scaler_resumes_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """On the CPU, past the check that refuses it there: the steps are the same."""
    monkeypatch.setattr(loop, "check_precision", lambda recipe, device: None)
    mixed = replace(RECIPE, precision="mixed")
    path = tmp_path / "c.pt"
    resumes(path, mixed)
    scaler = torch.load(path, weights_only=True)["scaler"]
    assert scaler["_growth_tracker"] == 4 * 7  # steps since the first epoch, not since the cut
    setup = set_up(TwoHeads(), digits(), mixed, 0, "cpu")
    draw = torch.Generator().manual_seed(0)
    batches = draw_batches(200, 32, draw)
    setup.scaler.load_state_dict({**setup.scaler.state_dict(), "scale": 1e38})  # overflows
    before = weights(setup.network)["head.weight"]
    train_on(setup, batches[:1], [0.1], draw)
    assert torch.equal(setup.network.get_parameter("head.weight"), before)
    assert setup.scaler.get_scale() == pytest.approx(5e37)


@pytest.mark.parametrize(
    "change",
    [
        {"auxiliary": 0.3},
        {"drop_path": 0.1},
        {"clip": 5.0},
        {"jitter": 0.0},
        {"resized_crop": False},
        {"warm_up": 0},
        {"nesterov": True},
        {"decay_all": False},
        {"schedule": "exponential"},
        {"clock": "step"},
    ],
    ids=str,
)
def test_each_choice_matters_and_is_of_another_training(
    tmp_path: Path, change: dict[str, Any]
) -> None:
    path, network, other = tmp_path / "c.pt", TwoHeads(), TwoHeads()
    train(network, digits(), RECIPE, checkpoint=path, until=2)
    changed = replace(RECIPE, **change)
    (name,) = change
    with pytest.raises(ValueError, match=f"another training: recipe.{name}: expected"):
        train(TwoHeads(), digits(), changed, checkpoint=path)
    train(other, digits(), changed, checkpoint=tmp_path / "other.pt", until=2)
    assert not same_bits(weights(network), weights(other))


@pytest.mark.parametrize(
    ("message", "recipe"),
    [
        ("auxiliary: expected 0 .* without an auxiliary head, got 0.4; try", {"auxiliary": 0.4}),
        ("drop_path: expected 0 .*, got 0.2; try", {"drop_path": 0.2}),
        ("precision: expected float32 on cpu, got 'mixed'; leave it off", {"precision": "mixed"}),
    ],
)
def test_a_network_or_device_that_does_not_fit_is_explained(
    message: str, recipe: dict[str, Any]
) -> None:
    with pytest.raises(ValueError, match=message):
        train(PLAIN, digits(), Recipe(**recipe))


# ---- Named recipes ------------------------------------------------------------------------------

# The rows of the papers' appendices and codes, as their own command lines name them.
PUBLISHED = {
    "darts_cifar10": (600, 96, 0.025, 3e-4, 16, 0.2, 0.4, 0.0, "cosine", 0),
    "te_nas_cifar10": (600, 96, 0.025, 3e-4, 16, 0.3, 0.4, 0.0, "cosine", 0),
    "darts_imagenet": (250, 128, 0.1, 3e-5, 0, 0.0, 0.4, 0.1, "exponential", 0),
    "te_nas_imagenet": (250, 768, 0.5, 3e-5, 0, 0.0, 0.4, 0.1, "cosine", 5),
}


@pytest.mark.parametrize("name", PUBLISHED)
def test_published_numbers(name: str) -> None:
    r = get_recipe(name)
    assert PUBLISHED[name] == (
        *(r.epochs, r.batch, r.learning_rate, r.weight_decay, r.cutout),
        *(r.drop_path, r.auxiliary, r.label_smoothing, r.schedule, r.warm_up),
    )
    imagenet = name.endswith("imagenet")
    assert (r.crop, r.resized_crop, r.jitter) == (not imagenet, imagenet, 0.4 * imagenet)
    assert (r.momentum, r.nesterov, r.decay_all, r.clip, r.clock) == (0.9, False, True, 5, "epoch")


@pytest.mark.parametrize("name", RECIPES)
def test_named_recipes_train_at_a_small_scale(name: str) -> None:
    recipe = get_recipe(name)
    check_recipe(recipe)
    small = replace(recipe, epochs=2, batch=32, cutout=min(recipe.cutout, 4))
    training = train(TwoHeads(), digits(), small)
    assert training.finished
    assert training.reason == ""


def test_the_default_is_that_of_the_class_and_names_are_looked_up() -> None:
    assert get_recipe("default") == Recipe()
    assert get_recipe("test_recipes:RECIPE") == RECIPE
    with pytest.raises(ValueError, match=r"unknown recipe 'darts': expected .*'darts_cifar10'"):
        get_recipe("darts")


# ---- CUDA ---------------------------------------------------------------------------------------


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_cuda_mixed_precision_resumes_bit_for_bit(tmp_path: Path) -> None:
    mixed = replace(RECIPE, precision="mixed")
    resumes(tmp_path / "c.pt", mixed, "cuda")
    images, accuracies = digits(1200, 200, 300), []
    for recipe in (mixed, RECIPE):
        network = TwoHeads()
        train(network, images, replace(recipe, drop_path=0.0), device="cuda")
        accuracies.append(evaluate(network, images.test, images, device="cuda").accuracy)
    assert accuracies[0] == pytest.approx(accuracies[1], abs=0.05)
