"""Training: one step by hand, kill and resume bit for bit, honest failures."""

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from sklearn.datasets import load_digits
from torch import Tensor, nn

from untrained.images import Images, Labelled
from untrained.training import Recipe, evaluate, train
from untrained.training.batches import draw_batches
from untrained.training.descent import descend, set_up
from untrained.training.epoch import Epoch
from untrained.training.loop import Training


def digits(train: int = 200, validation: int = 60, test: int = 60) -> Images:
    pixels, labels = load_digits(return_X_y=True)
    pixels = torch.from_numpy(pixels * 15.9).to(torch.uint8).reshape(-1, 1, 8, 8)
    counts = [train, validation, test, len(labels) - train - validation - test]
    parts = zip(pixels.split(counts), torch.from_numpy(labels).split(counts), strict=True)
    splits = [Labelled(*part) for part in parts]
    scaled = splits[0].pixels.float() / 255
    return Images(
        name="digits",
        classes=tuple("0123456789"),
        train=splits[0],
        validation=splits[1],
        test=splits[2],
        mean=scaled.mean((0, 2, 3)),
        std=scaled.std((0, 2, 3)),
        fingerprint=f"digits {train} {validation} {test}",
    )


def small_network(seed: int = 0, dropout: float = 0.2) -> nn.Sequential:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return nn.Sequential(
            nn.Conv2d(1, 16, 3, padding=1),
            nn.BatchNorm2d(16),
            nn.ReLU(),
            nn.MaxPool2d(2),
            nn.Conv2d(16, 32, 3, padding=1),
            nn.BatchNorm2d(32),
            nn.ReLU(),
            nn.Flatten(),
            nn.Dropout(dropout),
            nn.Linear(32 * 16, 10),
        )


RECIPE = Recipe(epochs=4, batch=32, learning_rate=0.05, cutout=2, label_smoothing=0.1)


def weights(network: nn.Module) -> dict[str, Tensor]:
    return {name: tensor.clone() for name, tensor in network.state_dict().items()}


def same_bits(one: dict[str, Tensor], other: dict[str, Tensor]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


def history(training: Training) -> list[Epoch]:
    return [replace(epoch, seconds=0.0) for epoch in training.epochs]


# ---- What is computed ---------------------------------------------------------------------------


def test_learns_digits() -> None:
    network, images = small_network(), digits(1200, 200, 300)
    training = train(network, images, Recipe(epochs=4, learning_rate=0.05, batch=32))
    assert training.finished
    assert training.reason == ""
    assert [epoch.number for epoch in training.epochs] == [1, 2, 3, 4]
    assert evaluate(network, images.test, images).accuracy > 0.9


def test_two_steps_are_nesterov_with_decay_of_weights_alone() -> None:
    network = nn.Linear(3, 2).double()
    recipe = Recipe(momentum=0.9, weight_decay=0.1)
    setup = set_up(network, digits(), recipe, 0, "cpu")
    inputs = torch.randn(5, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    by_hand = {name: p.detach().clone() for name, p in network.named_parameters()}
    velocity = {name: torch.zeros_like(p) for name, p in by_hand.items()}
    for rate in (0.1, 0.05):
        outputs = inputs @ by_hand["weight"].T + by_hand["bias"]
        # For the objective Σ y² / 2: dy = y, dW = yᵀ x, db = Σ y.
        gradient = {"weight": outputs.T @ inputs, "bias": outputs.sum(0)}
        gradient["weight"] = gradient["weight"] + 0.1 * by_hand["weight"]
        for name, g in gradient.items():
            velocity[name] = 0.9 * velocity[name] + g
            by_hand[name] = by_hand[name] - rate * (g + 0.9 * velocity[name])
        descend(setup, network(inputs).square().sum() / 2, rate)
    for name, parameter in network.named_parameters():
        torch.testing.assert_close(parameter.detach(), by_hand[name])


def test_one_epoch_of_one_step_against_autograd() -> None:
    images = digits(train=16)
    recipe = Recipe(epochs=1, batch=16, learning_rate=0.1, crop=False, weight_decay=0.0)
    network = nn.Sequential(nn.Flatten(), nn.Linear(64, 10))
    expected = weights(network)
    inputs = images.normalise(images.train.pixels)
    loss = nn.functional.cross_entropy(network(inputs), images.train.labels)
    gradient = torch.autograd.grad(loss, list(network.parameters()))
    training = train(network, images, recipe)
    # A single step has half the peak rate; Nesterov's first step is (1 + momentum) g.
    for name, g in zip(expected, gradient, strict=True):
        torch.testing.assert_close(network.state_dict()[name], expected[name] - 0.05 * 1.9 * g)
    assert training.epochs[0].train_loss == pytest.approx(loss.item(), rel=1e-5)
    assert training.epochs[0].learning_rate == pytest.approx(0.05)


@pytest.mark.parametrize(("count", "sizes"), [(8, [4, 4]), (9, [4, 4]), (10, [4, 4, 2])])
def test_batches_cover_the_images_but_for_a_lonely_last_one(count: int, sizes: list[int]) -> None:
    batches = draw_batches(count, 4, torch.Generator().manual_seed(0))
    assert [len(rows) for rows in batches] == sizes
    assert len(set(torch.cat(batches).tolist())) == sum(sizes)


def test_a_last_batch_of_one_does_not_break_batch_norm() -> None:
    network = nn.Sequential(nn.Flatten(), nn.Linear(64, 10), nn.BatchNorm1d(10))
    assert train(network, digits(train=33), replace(RECIPE, epochs=1)).finished


def test_ends_with_the_weights_of_the_earliest_best_epoch() -> None:
    images, network = digits(), small_network()
    training = train(network, images, RECIPE)
    accuracies = [epoch.validation_accuracy for epoch in training.epochs]
    assert training.best_epoch == 1 + accuracies.index(max(accuracies))
    best = training.epochs[training.best_epoch - 1]
    evaluation = evaluate(network, images.validation, images)
    assert evaluation.accuracy == best.validation_accuracy
    assert evaluation.loss == best.validation_loss


def test_among_equal_epochs_the_earliest_is_kept(tmp_path: Path) -> None:
    images, network = digits(), small_network()
    nines = images.train.labels == 9
    taught = Labelled(images.train.pixels[~nines], images.train.labels[~nines])
    asked = Labelled(images.train.pixels[nines], images.train.labels[nines])
    images = replace(images, train=taught, validation=asked)  # a class never seen: accuracy 0
    recipe = replace(RECIPE, learning_rate=0.2)
    train(network, images, recipe, checkpoint=tmp_path / "c.pt", until=1)
    first = weights(network)
    training = train(network, images, recipe, checkpoint=tmp_path / "c.pt")
    assert training.epochs[-1].validation_accuracy == 0
    assert training.best_epoch == 1
    assert same_bits(weights(network), first)


# ---- Seeds and state ----------------------------------------------------------------------------


def test_same_seed_same_bits_and_other_seed_others() -> None:
    outcomes = []
    for seed in (0, 0, 1):
        network = small_network()
        outcomes.append((train(network, digits(), RECIPE, seed=seed), weights(network)))
    (one, first), (two, second), (_, third) = outcomes
    assert history(one) == history(two)
    assert same_bits(first, second)
    assert not same_bits(first, third)


def test_global_state_is_left_as_it_was() -> None:
    torch.manual_seed(7)
    before = torch.get_rng_state()
    network = small_network(dropout=0.5)
    with torch.no_grad():
        train(network, digits(), replace(RECIPE, epochs=1))
        assert not torch.is_grad_enabled()
    assert torch.equal(torch.get_rng_state(), before)
    assert not torch.backends.cudnn.deterministic
    assert not any(module.training for module in network.modules())


def test_dropout_differs_between_epochs_and_not_between_runs() -> None:
    images = digits()
    draws = []

    class Remember(nn.Dropout):
        def forward(self, x: Tensor) -> Tensor:
            x = super().forward(x)
            if self.training:
                draws.append(x == 0)
            return x

    network = nn.Sequential(nn.Flatten(), Remember(0.5), nn.Linear(64, 10))
    recipe = Recipe(epochs=2, batch=200, crop=False, learning_rate=1e-6)
    train(network, images, recipe)
    train(network, images, recipe)
    assert not torch.equal(draws[0], draws[1])
    assert torch.equal(draws[0], draws[2])
    assert torch.equal(draws[1], draws[3])


# ---- Kill and resume ----------------------------------------------------------------------------


def laid_out(network: nn.Module, layout: torch.memory_format) -> nn.Module:
    return network.to(memory_format=layout)  # type: ignore[call-overload]  # torch's stub


def no_epoch(epoch: Epoch) -> None:
    pytest.fail(f"epoch {epoch.number} was trained again")


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_a_resumed_training_ends_as_an_unbroken_one(
    tmp_path: Path, layout: torch.memory_format
) -> None:
    unbroken, seen = laid_out(small_network(), layout), list[int]()
    whole = train(unbroken, digits(), RECIPE, seed=3)
    path = tmp_path / "new folder" / "checkpoint.pt"
    killed = laid_out(small_network(), layout)
    first = train(killed, digits(), RECIPE, seed=3, checkpoint=path, until=2)
    assert not first.finished
    # Other weights at first: those of the checkpoint replace them.
    resumed = laid_out(small_network(seed=99), layout)
    second = train(
        resumed,
        digits(),
        RECIPE,
        seed=3,
        checkpoint=path,
        on_epoch=lambda e: seen.append(e.number),
    )
    assert seen == [3, 4]
    assert history(second) == history(whole)
    assert second.best_epoch == whole.best_epoch
    assert second.finished
    assert same_bits(weights(resumed), weights(unbroken))
    assert [p.name for p in path.parent.iterdir()] == ["checkpoint.pt"]


def test_momentum_and_current_weights_resume_too(tmp_path: Path) -> None:
    path, last = tmp_path / "c.pt", list[dict[str, Tensor]]()
    for network in (small_network(), small_network(1), small_network(2)):
        train(network, digits(), RECIPE, checkpoint=path, until=len(last) + 1)
        last.append(weights(network))
    straight = small_network()
    train(straight, digits(), RECIPE, checkpoint=tmp_path / "other.pt", until=3)
    assert same_bits(weights(straight), last[-1])


def test_a_kill_within_an_epoch_costs_that_epoch_alone(tmp_path: Path) -> None:
    path = tmp_path / "c.pt"

    def kill(epoch: Epoch) -> None:
        if epoch.number == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(small_network(), digits(), RECIPE, checkpoint=path, on_epoch=kill)
    path.with_name(".c.pt.1").write_bytes(b"cut while writing")
    resumed, unbroken = small_network(5), small_network()
    training = train(resumed, digits(), RECIPE, checkpoint=path)
    assert history(training) == history(train(unbroken, digits(), RECIPE))
    assert same_bits(weights(resumed), weights(unbroken))


def test_a_finished_training_is_only_read(tmp_path: Path) -> None:
    path, network = tmp_path / "c.pt", small_network()
    training = train(network, digits(), RECIPE, checkpoint=path)
    written = path.read_bytes()
    again = small_network(4)
    assert train(again, digits(), RECIPE, checkpoint=path, on_epoch=no_epoch) == training
    assert same_bits(weights(again), weights(network))
    assert path.read_bytes() == written


def test_until_zero_reads_and_trains_nothing(tmp_path: Path) -> None:
    network = small_network()
    before = weights(network)
    training = train(network, digits(), RECIPE, checkpoint=tmp_path / "c.pt", until=0)
    assert (training.epochs, training.best_epoch, training.finished) == ((), None, False)
    assert same_bits(weights(network), before)


# ---- Failures -----------------------------------------------------------------------------------


class BreaksAfter(nn.Module):
    """Gives NaN from the given training step on."""

    def __init__(self, network: nn.Module, steps: int) -> None:
        super().__init__()
        self.network = network
        self.steps = steps

    def forward(self, x: Tensor) -> Tensor:
        self.steps -= self.training
        return self.network(x) if self.steps >= 0 else self.network(x) * math.nan


def test_divergence_ends_training_with_a_reason() -> None:
    network = small_network()
    before = weights(network)
    training = train(network, digits(), replace(RECIPE, learning_rate=1e30))
    assert training.finished
    assert training.best_epoch is None
    assert training.epochs == ()
    assert "epoch 1, step" in training.reason
    assert "try a learning rate below 1e+30" in training.reason
    assert same_bits(weights(network), before)


def test_divergence_at_a_million_is_never_the_best() -> None:
    network = nn.Sequential(nn.Flatten(), nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 10))
    training = train(network, digits(), replace(RECIPE, learning_rate=1e6))
    assert "not finite" in training.reason
    assert all(math.isfinite(epoch.validation_loss) for epoch in training.epochs)


def test_a_failure_keeps_history_and_best_weights_and_is_remembered(tmp_path: Path) -> None:
    path = tmp_path / "c.pt"
    network, healthy = BreaksAfter(small_network(), 7 * 2 + 3), BreaksAfter(small_network(), 99)
    training = train(network, digits(), RECIPE, checkpoint=path)
    assert training.reason.startswith("epoch 3, step 4 of 7: the loss is not finite")
    assert [epoch.number for epoch in training.epochs] == [1, 2]
    assert training.best_epoch in (1, 2)
    train(healthy, digits(), RECIPE, checkpoint=tmp_path / "healthy.pt", until=training.best_epoch)
    assert same_bits(weights(network), weights(healthy))
    again = BreaksAfter(small_network(), 99)
    assert train(again, digits(), RECIPE, checkpoint=path, on_epoch=no_epoch) == training
    assert same_bits(weights(again), weights(network))


def test_outputs_that_are_not_finite_in_validation_fail_too() -> None:
    class OnlyTrains(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.network = small_network()

        def forward(self, x: Tensor) -> Tensor:
            return self.network(x) * (1 if self.training else math.inf)

    training = train(OnlyTrains(), digits(), RECIPE)
    assert training.reason.startswith("epoch 1, the network's outputs are not finite")


@pytest.mark.parametrize(
    ("difference", "change"),
    [
        ("recipe.batch: expected 64, got 32", {"recipe": replace(RECIPE, batch=64)}),
        ("seed: expected 1, got 0", {"seed": 1}),
        ("images fingerprint: expected 'digits 150", {"images": digits(train=150)}),
        ("layer 8: expected 'Identity', got 'Dropout'", {"layer": nn.Identity()}),
        ("shape of 9.weight: expected .*11, 512", {"last": nn.Linear(512, 11)}),
    ],
    ids=lambda x: x if isinstance(x, str) else "",
)
def test_a_checkpoint_of_another_training_is_refused(
    tmp_path: Path, difference: str, change: dict[str, Any]
) -> None:
    path, network = tmp_path / "c.pt", small_network()
    train(network, digits(), RECIPE, checkpoint=path, until=1)
    asked = {"images": digits(), "recipe": RECIPE, "seed": 0, **change}
    network[8] = asked.pop("layer", network[8])
    network[9] = asked.pop("last", network[9])
    with pytest.raises(ValueError, match=difference) as error:
        train(network, asked.pop("images"), asked.pop("recipe"), checkpoint=path, **asked)
    assert str(path) in str(error.value)


def test_a_broken_checkpoint_is_named(tmp_path: Path) -> None:
    path = tmp_path / "c.pt"
    train(small_network(), digits(), RECIPE, checkpoint=path, until=1)
    whole = path.read_bytes()
    other = tmp_path / "other.pt"
    torch.save({"weights": 1}, other)
    number = tmp_path / "number.pt"
    torch.save(3, number)
    broken = [b"", b"not a checkpoint", whole[:100], whole[: len(whole) // 2]]
    for content in [*broken, other.read_bytes(), number.read_bytes()]:
        path.write_bytes(content)
        with pytest.raises(ValueError, match=r"c\.pt: expected a training checkpoint.*delete it"):
            train(small_network(), digits(), RECIPE, checkpoint=path)


@pytest.mark.parametrize(
    ("message", "change"),
    [
        ("epochs: expected", {"recipe": Recipe(epochs=0)}),
        ("cutout: expected at most .* 8, got 9", {"recipe": Recipe(cutout=9)}),
        ("until: expected", {"until": -1}),
        ("at least 2 images", {"images": digits(train=1)}),
        ("1 to validate on, got 200 and 0", {"images": digits(validation=0)}),
        ("parameters to train", {"network": nn.Flatten()}),
        ("10 classes, got outputs of shape", {"network": nn.Conv2d(1, 10, 3)}),
        ("classes=10", {"network": nn.Sequential(nn.Flatten(), nn.Linear(64, 7))}),
    ],
    ids=lambda x: x if isinstance(x, str) else "",
)
def test_wrong_use_is_explained(message: str, change: dict[str, Any]) -> None:
    asked = {"network": small_network(), "images": digits(), "recipe": RECIPE, **change}
    positional = [asked.pop(name) for name in ("network", "images", "recipe")]
    with pytest.raises(ValueError, match=message):
        train(*positional, **asked)


# ---- Evaluation ---------------------------------------------------------------------------------


def test_evaluate_against_a_loop_over_single_images() -> None:
    images, network = digits(), small_network()
    train(network, images, replace(RECIPE, epochs=1))
    confusion = [[0] * 10 for _ in range(10)]
    loss = 0.0
    with torch.no_grad():
        for pixels, label in zip(images.test.pixels, images.test.labels.tolist(), strict=True):
            logits = network(((pixels / 255 - images.mean) / images.std)[None])[0]
            loss -= logits.log_softmax(0)[label].item() / len(images.test)
            confusion[label][logits.argmax().item()] += 1
    evaluation = evaluate(network, images.test, images, batch=7)
    assert evaluation.confusion == tuple(map(tuple, confusion))
    assert evaluation.accuracy == sum(confusion[k][k] for k in range(10)) / 60
    assert evaluation.loss == pytest.approx(loss, rel=1e-5)


def test_evaluate_leaves_training_flags_as_they_were() -> None:
    network = small_network().train()
    network[1].eval()
    before = [module.training for module in network.modules()]
    state = weights(network)
    images = digits()
    evaluate(network, images.test, images)
    assert [module.training for module in network.modules()] == before
    assert same_bits(weights(network), state)


def test_evaluate_counts_classes_that_do_not_occur() -> None:
    images = digits(test=1)
    evaluation = evaluate(small_network(), images.test, images)
    assert sum(map(sum, evaluation.confusion)) == 1
    assert len(evaluation.confusion) == len(evaluation.confusion[0]) == 10


def test_evaluate_refuses_nothing_and_nonsense() -> None:
    images = digits(test=0)
    with pytest.raises(ValueError, match="at least one image"):
        evaluate(small_network(), images.test, images)
    with pytest.raises(FloatingPointError, match="not finite"):
        evaluate(BreaksAfter(small_network(), -1), images.train, images)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_cuda_resumes_bit_for_bit(tmp_path: Path) -> None:
    unbroken, resumed = small_network(), small_network()
    whole = train(unbroken, digits(), RECIPE, device="cuda")
    train(resumed, digits(), RECIPE, device="cuda", checkpoint=tmp_path / "c.pt", until=2)
    resumed = small_network(1)
    part = train(resumed, digits(), RECIPE, device="cuda", checkpoint=tmp_path / "c.pt")
    assert history(part) == history(whole)
    assert same_bits(weights(resumed), weights(unbroken))
