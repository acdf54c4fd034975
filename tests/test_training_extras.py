"""AdamW, averages, mixed images and unequal classes: each against a slow version of its own."""

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from test_training import digits, history, same_bits, small_network, weights
from torch import Tensor, nn

from untrained.images import Images, Labelled
from untrained.training import Recipe, evaluate, train, train_short
from untrained.training.averaging import start_average
from untrained.training.balancing import class_weights, imbalance
from untrained.training.batches import Shown, mix
from untrained.training.descent import descend, losses, set_up

ADAMW = Recipe(epochs=3, batch=32, optimizer="adamw", learning_rate=2e-3, weight_decay=0.05)
EVERYTHING = replace(
    ADAMW, epochs=4, mixup=0.3, ema=0.9, balance=0.5, label_smoothing=0.1, trivial_augment=True,
    precision="bfloat16", channels_last=True,
)  # fmt: skip


def unequal(images: Images) -> Images:
    """Nines are a tenth of what they were."""
    nines = (images.train.labels == 9).nonzero()[:, 0]
    kept = torch.ones(len(images.train), dtype=torch.bool)
    kept[nines[len(nines) // 10 :]] = False
    train = Labelled(images.train.pixels[kept], images.train.labels[kept])
    return replace(images, train=train, fingerprint="unequal")


def test_two_steps_of_adamw_by_hand_decay_weights_alone() -> None:
    network = nn.Linear(3, 2).double()
    setup = set_up(network, digits(), replace(ADAMW, weight_decay=0.1), 0, "cpu")
    inputs = torch.randn(5, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    by_hand = {name: p.detach().clone() for name, p in network.named_parameters()}
    first = {name: torch.zeros_like(p) for name, p in by_hand.items()}
    second = {name: torch.zeros_like(p) for name, p in by_hand.items()}
    for t, rate in enumerate((0.1, 0.05), start=1):
        outputs = inputs @ by_hand["weight"].T + by_hand["bias"]
        gradient = {"weight": outputs.T @ inputs, "bias": outputs.sum(0)}
        by_hand["weight"] *= 1 - rate * 0.1
        for name, g in gradient.items():
            first[name] = 0.9 * first[name] + 0.1 * g
            second[name] = 0.999 * second[name] + 0.001 * g**2
            m, v = first[name] / (1 - 0.9**t), second[name] / (1 - 0.999**t)
            by_hand[name] = by_hand[name] - rate * m / (v.sqrt() + 1e-8)
        descend(setup, network(inputs).square().sum() / 2, rate)
    for name, parameter in network.named_parameters():
        torch.testing.assert_close(parameter.detach(), by_hand[name])


def test_the_average_by_hand_counts_batches_and_statistics_too() -> None:
    network = nn.BatchNorm1d(2).double()
    average = start_average(network, 0.5)
    seen = []
    for t in range(12):
        network(torch.full((3, 2), float(t), dtype=torch.float64) * torch.randn(3, 1))
        with torch.no_grad():
            network.weight.fill_(math.sin(t))
        average.update_parameters(network)
        seen.append(weights(network))
    for name in ("weight", "running_mean"):
        expected = seen[0][name]
        for t in range(1, 12):
            decay = min(0.5, (1 + t) / (10 + t))
            expected = decay * expected + (1 - decay) * seen[t][name]
        torch.testing.assert_close(average.module.state_dict()[name], expected)
    assert average.module.num_batches_tracked == 12


def test_the_average_is_what_is_evaluated_and_kept() -> None:
    images, recipe = digits(), replace(ADAMW, ema=0.99)
    averaged, plain = small_network(), small_network()
    training = train(averaged, images, recipe)
    train(plain, images, replace(recipe, ema=0.0))
    assert not same_bits(weights(averaged), weights(plain))
    assert training.best_epoch is not None
    best = training.epochs[training.best_epoch - 1]
    assert evaluate(averaged, images.validation, images).loss == best.validation_loss
    assert len(averaged.state_dict()) == len(plain.state_dict())


def test_mixed_images_and_their_loss_one_by_one() -> None:
    draw = torch.Generator().manual_seed(1)
    inputs = torch.randn(6, 1, 2, 2, dtype=torch.float64, generator=draw)
    labels = torch.arange(6) % 3
    shown = mix(Shown(inputs, labels), 1.0, torch.Generator().manual_seed(0))
    assert 0.5 <= shown.share < 1
    assert shown.mixed_in is not None
    logits = torch.randn(6, 3, dtype=torch.float64, generator=draw)
    expected = 0.0
    for x, row, label, other in zip(
        shown.inputs, logits, labels.tolist(), shown.mixed_in.tolist(), strict=True
    ):
        own = [y for y in inputs[labels == label] if torch.equal(x, x)]
        assert any(
            torch.allclose(x, shown.share * y + (1 - shown.share) * z)
            for y in own
            for z in inputs[labels == other]
        )
        log_p = row.log_softmax(0)
        expected -= (shown.share * log_p[label] + (1 - shown.share) * log_p[other]).item() / 6
    main, objective = losses(logits, None, shown, Recipe())
    assert main.item() == objective.item() == pytest.approx(expected)


def test_shares_are_those_of_the_distribution() -> None:
    """Of Beta(1, 1), the larger part is uniform between a half and 1."""
    generator = torch.Generator().manual_seed(0)
    shown = Shown(torch.zeros(2, 1, 1, 1), torch.tensor([0, 1]))
    shares = torch.tensor([mix(shown, 1.0, generator).share for _ in range(2000)])
    assert shares.mean().item() == pytest.approx(0.75, abs=0.01)
    assert shares.std().item() == pytest.approx(0.5 / math.sqrt(12), abs=0.01)


@pytest.mark.parametrize("balance", [0.0, 0.5, 1.0])
def test_weights_make_up_for_unequal_classes(balance: float) -> None:
    labels = torch.tensor([0] * 8 + [1] * 2 + [3])
    found = class_weights(labels, 4, balance).tolist()
    assert found[2] == 0
    assert found[1] / found[0] == pytest.approx(4**balance)
    assert found[3] / found[1] == pytest.approx(2**balance)
    assert sum(found[k] for k in labels.tolist()) / 11 == pytest.approx(1)


def test_the_weighted_loss_one_by_one() -> None:
    draw = torch.Generator().manual_seed(0)
    logits = torch.randn(5, 3, dtype=torch.float64, generator=draw)
    labels, each = torch.tensor([0, 0, 0, 1, 2]), torch.tensor([0.5, 2.0, 3.0]).double()
    shown = Shown(torch.empty(5, 0, 0, 0), labels)
    expected = 0.0
    for row, label in zip(logits, labels.tolist(), strict=True):
        expected -= each[label].item() * row.log_softmax(0)[label].item() / 5
    main, _ = losses(logits, None, shown, Recipe(), each)
    assert main.item() == pytest.approx(expected)


def test_balance_finds_more_of_a_rare_class() -> None:
    images = unequal(digits(600, 60, 600))
    assert imbalance(images) > 8
    recalls = []
    for balance in (0.0, 1.0):
        network = small_network()
        train(network, images, replace(ADAMW, epochs=6, balance=balance))
        confusion = evaluate(network, images.test, images).confusion
        recalls.append(confusion[9][9] / sum(confusion[9]))
    assert recalls[1] > recalls[0]


@pytest.mark.parametrize("recipe", [ADAMW, EVERYTHING], ids=["adamw", "everything"])
def test_a_resumed_training_ends_as_an_unbroken_one(tmp_path: Path, recipe: Recipe) -> None:
    images, path = unequal(digits()), tmp_path / "c.pt"
    unbroken, resumed = small_network(), small_network()
    whole = train(unbroken, images, recipe, seed=3)
    for until in (1, 3):
        train(resumed, images, recipe, seed=3, checkpoint=path, until=until)
        resumed = small_network(1)
    part = train(resumed, images, recipe, seed=3, checkpoint=path)
    assert history(part) == history(whole)
    assert same_bits(weights(resumed), weights(unbroken))


def test_a_short_training_resumes_too_and_ends_with_the_average() -> None:
    images = unequal(digits())
    unbroken, resumed = small_network(), small_network()
    train_short(unbroken, images, EVERYTHING, seed=3)
    state = train_short(resumed, images, EVERYTHING, seed=3, until=2)
    train_short(resumed, images, EVERYTHING, seed=3, since=state)
    assert same_bits(weights(resumed), weights(unbroken))
    assert not same_bits(weights(resumed), dict(state.network))


def test_bfloat16_computes_most_of_the_forward_pass() -> None:
    seen: list[torch.dtype] = []

    class Remember(nn.Identity):
        def forward(self, x: Tensor) -> Tensor:
            seen.append(x.dtype)
            return x

    network = nn.Sequential(nn.Flatten(), nn.Linear(64, 10), Remember())
    train(network, digits(), replace(ADAMW, epochs=1, precision="bfloat16"))
    assert seen[0] == torch.bfloat16
    assert seen[-1] == torch.float32  # evaluated as it is used
    assert network[1].weight.dtype == torch.float32


def test_channels_come_last_where_the_network_can() -> None:
    network = small_network()
    train(network, digits(), replace(ADAMW, epochs=1, channels_last=True))
    laid = network.state_dict()["4.weight"]
    assert laid.is_contiguous(memory_format=torch.channels_last)
    assert not laid.is_contiguous()


def test_a_rate_of_sgd_is_refused_with_adamw() -> None:
    wrong: dict[str, Any] = {"recipe": Recipe(optimizer="adamw")}
    with pytest.raises(ValueError, match=r"learning_rate: expected at most 0\.05 with adamw"):
        train(small_network(), digits(), **wrong)
