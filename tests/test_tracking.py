"""Tracking a kernel: against linear networks, kernels by hand, and unbroken trainings."""

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from untrained.analysis import spectrum
from untrained.analysis.regression import RIDGES
from untrained.estimate import Quantity
from untrained.images import Images, Labelled
from untrained.kernels import ntk
from untrained.runs.streams import stream
from untrained.tracking import track as tracking
from untrained.tracking.config import TrackConfig, Tracking
from untrained.tracking.snapshot_files import Recorded, write_recorded
from untrained.tracking.snapshots import (
    Earlier,
    Snapshot,
    draw_tracked_images,
    take_snapshot,
)
from untrained.tracking.track import Track, load_track, track
from untrained.tracking.track_one import track_one
from untrained.training import Recipe, TrainingSpec, evaluate, train
from untrained.training.epoch import Epoch

RECIPE = Recipe(epochs=3, batch=128)
SPEC = Tracking(probe=30, support=40, held_out=50)


def make_network(seed: int = 0) -> nn.Sequential:
    torch.manual_seed(seed)
    return nn.Sequential(
        nn.Conv2d(1, 4, 3, bias=False), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten(),
        nn.Linear(4 * 36, 10),
    )  # fmt: skip


def make_linear() -> nn.Sequential:
    return nn.Sequential(nn.Flatten(), nn.Linear(64, 10))


def plain(snapshot: Snapshot) -> dict[str, object]:
    """Everything but the seconds."""
    return {name: value for name, value in vars(snapshot).items() if name != "seconds"}


def same(one: Track, other: Track) -> bool:
    snapshots = [plain(m) for m in one.snapshots] == [plain(m) for m in other.snapshots]
    assert one.probe is not None
    assert other.probe is not None
    pairs = ((one.kernels, other.kernels), (one.labels, other.labels), (one.probe, other.probe))
    tensors = all(torch.equal(a, b) for a, b in pairs)
    others = ("classes", "support", "held_out", "reason")
    return snapshots and tensors and all(getattr(one, n) == getattr(other, n) for n in others)


@pytest.fixture(scope="module")
def tracked(digits: Images) -> Track:
    return track(make_network(), digits, RECIPE, SPEC)


def test_the_kernel_of_a_linear_network_never_moves(digits: Images) -> None:
    """Theta_ij = K x_i . x_j whatever the weights, for the sum of K logits."""
    found = track(make_linear(), digits, RECIPE, SPEC)
    assert [snapshot.epoch for snapshot in found.snapshots] == [0, 1, 2, 3]
    for snapshot in found.snapshots[1:]:
        for name in ("correlation", "centred"):
            for since in ("initial", "previous"):
                assert getattr(snapshot, f"{name}_{since}").value == pytest.approx(1, abs=1e-12)
        assert snapshot.change_initial.value == snapshot.change_previous.value == 0
        assert snapshot.alignment == found.snapshots[0].alignment
        assert snapshot.regression_accuracy == found.snapshots[0].regression_accuracy
        assert snapshot.advantage == snapshot.advantage_initial
    shown = draw_tracked_images(digits, SPEC, stream(0, "tracking"))
    x = digits.normalise(shown.probe.pixels).flatten(1)
    assert torch.allclose(found.kernels[0], 10 * x @ x.T, rtol=1e-5, atol=1e-3)


def test_a_snapshot_by_hand(digits: Images, tracked: Track) -> None:
    """The third snapshot, of a network trained without tracking."""
    network = make_network()
    epochs: list[Epoch] = []
    weights: list[dict[str, Tensor]] = []

    def keep(epoch: Epoch) -> None:
        epochs.append(epoch)
        weights.append({n: t.clone() for n, t in network.state_dict().items()})

    train(network, digits, RECIPE, on_epoch=keep)
    network.load_state_dict(weights[1])
    shown = draw_tracked_images(digits, SPEC, stream(0, "tracking"))
    snapshot = tracked.snapshots[2]
    x = digits.normalise(shown.probe.pixels)
    theta = torch.Tensor(ntk(network, x, parameters="weights", batchnorm="frozen").numpy())
    first, now, before = (tracked.kernels[k].double() for k in (0, 2, 1))
    assert torch.allclose(theta, tracked.kernels[2], rtol=1e-5)
    entries = torch.stack([first.flatten(), now.flatten()])
    assert snapshot.correlation_initial.value == pytest.approx(
        torch.corrcoef(entries)[0, 1].item()
    )
    change = (now - before).norm() / before.norm()
    assert snapshot.change_previous.value == pytest.approx(change.item())
    labels = 2 * (shown.probe.labels[:, None] == shown.probe.labels).double() - 1
    lga = torch.corrcoef(torch.stack([now.flatten(), labels.flatten()]))[0, 1].item()
    assert snapshot.alignment.value == pytest.approx(lga, rel=1e-5)
    assert snapshot.largest_eigenvalue.value == pytest.approx(
        torch.linalg.eigvalsh(now)[-1].item()
    )
    assert snapshot.trace.value == pytest.approx(now.trace().item())
    assert snapshot.norm.value == pytest.approx(now.norm().item())
    assert snapshot.effective_rank.value == pytest.approx((now.trace() / now.norm()).item() ** 2)
    assert snapshot.validation_loss.value == epochs[1].validation_loss
    accuracy = evaluate(network, shown.held_out, digits).accuracy
    assert snapshot.network_accuracy.value == accuracy
    assert snapshot.advantage_initial.value == pytest.approx(
        accuracy - (tracked.snapshots[0].regression_accuracy.value or 0)
    )


def test_regression_by_hand(digits: Images) -> None:
    """Each ridge tried by leaving out each support image in turn."""
    network = make_linear()
    spec = replace(SPEC, support=25)
    shown = draw_tracked_images(digits, spec, stream(0, "tracking"))
    snapshot = take_snapshot(network, digits, shown, spec, None, None).snapshot
    x, v = (
        digits.normalise(s.pixels).flatten(1).double() for s in (shown.support, shown.held_out)
    )
    k, y = x @ x.T, nn.functional.one_hot(shown.support.labels, 10).double() - 0.1
    errors = []
    for ridge in RIDGES:
        noise = ridge * k.trace() / 25
        error = 0.0
        for i in range(25):
            rest = torch.arange(25) != i
            a = k[rest][:, rest] + noise * torch.eye(24).double()
            error += (k[i, rest] @ torch.linalg.solve(a, y[rest]) - y[i]).square().sum().item()
        errors.append(error)
    best = RIDGES[errors.index(min(errors))]
    a = k + best * k.trace() / 25 * torch.eye(25).double()
    predicted = (v @ x.T @ torch.linalg.solve(a, y)).argmax(1)
    expected = (predicted == shown.held_out.labels).double().mean().item()
    assert snapshot.regression_accuracy.value == pytest.approx(expected)


def test_tracking_leaves_training_as_it_is(digits: Images) -> None:
    one, other = make_network(), make_network()
    state = torch.random.get_rng_state()
    track(one, digits, RECIPE, SPEC)
    assert torch.equal(state, torch.random.get_rng_state())
    train(other, digits, RECIPE)
    for a, b in zip(one.state_dict().values(), other.state_dict().values(), strict=True):
        assert torch.equal(a, b)


class Cut(Exception):
    """Stands for a kill."""


def cut_at(epoch: int) -> Callable[[Snapshot], None]:
    def on_snapshot(snapshot: Snapshot) -> None:
        if snapshot.epoch == epoch:
            raise Cut

    return on_snapshot


@pytest.mark.parametrize("epoch", [0, 1, 3])
def test_a_cut_tracking_resumes(
    digits: Images, tracked: Track, tmp_path: Path, epoch: int
) -> None:
    with pytest.raises(Cut):
        track(make_network(), digits, RECIPE, SPEC, folder=tmp_path, on_snapshot=cut_at(epoch))
    assert same(
        load_track(tmp_path),
        replace(
            tracked, snapshots=tracked.snapshots[: epoch + 1], kernels=tracked.kernels[: epoch + 1]
        ),
    )
    seen: list[int] = []
    found = track(
        make_network(), digits, RECIPE, SPEC, folder=tmp_path,
        on_snapshot=lambda snapshot: seen.append(snapshot.epoch),
    )  # fmt: skip
    assert seen == list(range(epoch + 1, 4))
    assert same(found, tracked)
    assert same(load_track(tmp_path), tracked)


@pytest.mark.parametrize("epoch", [0, 1, 3])
def test_a_cut_before_a_snapshot_is_written(
    digits: Images,
    tracked: Track,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    epoch: int,
) -> None:
    """The checkpoint is an epoch ahead of the snapshots, and after the last one finished."""
    write = write_recorded

    def cut(folder: Path, snapshots: Sequence[Recorded], new: Recorded) -> None:
        if new.snapshot.epoch == epoch:
            raise Cut
        write(folder, snapshots, new)

    with monkeypatch.context() as patch:
        patch.setattr(tracking, "write_recorded", cut)
        with pytest.raises(Cut):
            track(make_network(), digits, RECIPE, SPEC, folder=tmp_path)
    network = make_network()
    assert same(track(network, digits, RECIPE, SPEC, folder=tmp_path), tracked)
    whole = make_network()
    train(whole, digits, RECIPE)
    assert torch.equal(network.get_parameter("4.weight"), whole.get_parameter("4.weight"))


def test_snapshots_are_as_far_apart_as_asked(digits: Images, tracked: Track) -> None:
    found = track(make_network(), digits, RECIPE, replace(SPEC, every=2))
    assert [snapshot.epoch for snapshot in found.snapshots] == [0, 2, 3]
    assert torch.equal(found.kernels, tracked.kernels[[0, 2, 3]])


def test_divergence_is_named_and_what_was_seen_is_kept(digits: Images, tmp_path: Path) -> None:
    recipe = replace(RECIPE, learning_rate=1e30, warm_up=0)
    for _ in range(2):  # the second reads it from the folder
        found = track(make_network(), digits, recipe, SPEC, folder=tmp_path)
        assert "epoch 1" in found.reason
        assert "try a learning rate below 1e+30" in found.reason
        assert [snapshot.epoch for snapshot in found.snapshots] == [0]
        assert found.kernels.shape == (1, 30, 30)
        assert same(load_track(tmp_path), found)


def test_a_probe_of_one_class_has_no_alignment(digits: Images) -> None:
    rows = digits.validation.labels == 3
    validation = Labelled(digits.validation.pixels[rows], digits.validation.labels[rows])
    spec = replace(SPEC, probe=20, held_out=20)
    found = track(make_network(), replace(digits, validation=validation), RECIPE, spec)
    for snapshot in found.snapshots:
        assert snapshot.alignment.value is None
        assert "one class" in snapshot.alignment.reason
        assert "one class" in snapshot.label_energy.reason
        assert snapshot.correlation_initial.value is not None
        assert snapshot.regression_accuracy.value is not None


def test_every_quantity_is_finite_or_has_a_reason(digits: Images) -> None:
    """Even of a network whose weights are not finite, or whose kernel is zero."""
    shown = draw_tracked_images(digits, SPEC, stream(0, "tracking"))
    for weight in (float("nan"), 1e30, 0.0):
        network = make_network()
        with torch.no_grad():
            network.get_parameter("4.weight").fill_(weight)
        first = take_snapshot(make_network(), digits, shown, SPEC, None, None)
        earlier = Earlier(
            torch.eye(30), torch.eye(30), first.snapshot.regression_accuracy, first.layers
        )
        snapshot = take_snapshot(network, digits, shown, SPEC, None, earlier).snapshot
        parts = [*snapshot.by_class, *snapshot.by_layer]
        assert len(parts) == 10 + 3
        for holder in (snapshot, *parts):
            for name, found in vars(holder).items():
                if isinstance(found, Quantity):
                    value, reason = found
                    assert (value is None) == bool(reason), name
                    assert value is None or abs(value) < float("inf"), name
        json.dumps(asdict(snapshot), allow_nan=False)


def test_no_support_leaves_regression_out(digits: Images) -> None:
    found = track(make_linear(), digits, replace(RECIPE, epochs=1), replace(SPEC, support=0))
    assert found.snapshots[1].advantage.reason == "no support was asked for"
    assert found.snapshots[1].network_accuracy.value is not None


def test_views_are_fixed_sorted_and_never_of_the_test_split(digits: Images) -> None:
    spec = Tracking(probe=1000)
    one, other = (draw_tracked_images(digits, spec, stream(4, "tracking")) for _ in range(2))
    assert torch.equal(one.support.pixels, other.support.pixels)
    assert len(one.probe) == len(digits.validation)
    assert one.probe.labels.diff().min() >= 0
    pool = {image.numpy().tobytes() for image in digits.validation.pixels}
    assert all(image.numpy().tobytes() in pool for image in one.held_out.pixels)


def test_eigenvalues_are_those_of_the_kept_kernel(tracked: Track) -> None:
    for snapshot, kernel in zip(tracked.snapshots, tracked.kernels, strict=True):
        expected = spectrum(kernel.double()).eigenvalues.flip(0)[: len(snapshot.eigenvalues)]
        assert snapshot.eigenvalues == pytest.approx(expected.tolist(), rel=1e-3, abs=1e-3)


@pytest.mark.parametrize(
    ("change", "message"),
    [({"every": 0}, "every: expected"), ({"probe": 1}, "probe: expected"),
     ({"held_out": 0}, "held_out: expected"), ({"support": -1}, "support: expected"),
     ({"layers": -1}, "layers: expected")],
)  # fmt: skip
def test_wrong_use(digits: Images, change: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        track(make_network(), digits, RECIPE, replace(SPEC, **change))


def test_a_folder_holds_one_tracking(digits: Images, tmp_path: Path) -> None:
    recipe = replace(RECIPE, epochs=1)
    track(make_network(), digits, recipe, SPEC, folder=tmp_path)
    with pytest.raises(ValueError, match=r"another tracking: initial weights"):
        track(make_network(1), digits, recipe, SPEC, folder=tmp_path)


OWN = """
from torch import nn

def make(inputs, classes):
    return nn.Sequential(nn.Flatten(), nn.Linear(64 * inputs, classes))

def broken(inputs, classes):
    raise RuntimeError("out of order")
"""


def test_a_network_of_ones_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "own_tracked.py").write_text(OWN)
    config = TrackConfig(
        network="own_tracked:make",
        training=TrainingSpec(epochs=1, images=100),
        probe=20,
        support=20,
    )
    folder, found = track_one(config)
    assert found.snapshots[-1].change_initial.value == 0
    again, same_track = track_one(config)
    assert again == folder
    assert same(found, same_track)
    others: list[dict[str, Any]] = [
        {"seed": 1},
        {"training": replace(config.training, images=101)},
        {"training": replace(config.training, batch=32)},
        {"support": 21},
    ]
    for other in others:
        assert track_one(replace(config, **other))[0] != folder
    with pytest.raises(ValueError, match=r"own_tracked:broken.*RuntimeError: out of order"):
        track_one(replace(config, network="own_tracked:broken"))
    with pytest.raises(ValueError, match="got both"):
        track_one(config, "|none~0|")
    with pytest.raises(ValueError, match=r"expected package\.module:name"):
        track_one(replace(config, network="make"))


def test_a_tracking_that_is_held(tmp_path: Path) -> None:
    config = TrackConfig(
        training=TrainingSpec(epochs=1, images=64),
        probe=10,
        support=0,
        scale="small",
        out=tmp_path,
    )
    cell = "|nor_conv_3x3~0|+|none~0|none~1|+|skip_connect~0|none~1|none~2|"
    folder, _ = track_one(config, cell)
    with folder.held(), pytest.raises(OSError, match="in use by another process"):
        track_one(config, cell)
