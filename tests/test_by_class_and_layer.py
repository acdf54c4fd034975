"""A kernel by class and by layer, against loops over entries and gradients by autograd."""

import hashlib
import json
from dataclasses import asdict, replace
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

import untrained
from untrained.analysis.label_energy import label_energy
from untrained.estimate import Quantity
from untrained.images import Images
from untrained.kernels import ntk
from untrained.runs.streams import stream
from untrained.tracking.by_class import by_class
from untrained.tracking.by_layer import by_layer, layer_groups
from untrained.tracking.config import TrackConfig, Tracking
from untrained.tracking.snapshots import draw_tracked_images
from untrained.tracking.track import load_track, track
from untrained.tracking.track_one import track_one
from untrained.training import Recipe, TrainingSpec

SPEC = Tracking(probe=24, support=0, held_out=20)
LABELS = torch.tensor([0, 0, 2, 2, 2, 5, 5, 0])


def make_network() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(1, 4, 3), nn.Tanh(), nn.Conv2d(4, 2, 3), nn.Flatten(), nn.Linear(2 * 16, 10)
    )


def pearson(a: Tensor, b: Tensor) -> float:
    return torch.corrcoef(torch.stack([a.flatten().double(), b.flatten().double()]))[0, 1].item()


def naive_kernel(network: nn.Module, x: Tensor, parameter: nn.Parameter) -> Tensor:
    """Of summed logits, with respect to one parameter."""
    rows = [
        torch.autograd.grad(network(x).sum(1)[i], parameter)[0].flatten() for i in range(len(x))
    ]
    return torch.stack(rows) @ torch.stack(rows).T


def test_classes_by_hand() -> None:
    j = torch.randn(8, 5, generator=torch.Generator().manual_seed(0)).double()
    theta = j @ j.T
    found = by_class(theta, LABELS, label_energy(theta, LABELS), 3)
    assert [(each.label, each.images) for each in found] == [(0, 3), (2, 3), (5, 2)]
    _, u = torch.linalg.eigh(theta)
    h = torch.eye(8).double() - 1 / 8
    for each in found:
        y = torch.eq(LABELS, each.label).double()
        one = torch.tensor([[1.0 if a == b else -1.0 for a in y] for b in y])
        assert each.alignment.value == pytest.approx(pearson(theta, one))
        cka = (y @ h @ theta @ h @ y) / ((h @ theta @ h).norm() * (h @ y).square().sum())
        assert each.centred_alignment.value == pytest.approx(cka.item())
        energy = (u[:, -3:].T @ h @ y).square().sum() / (h @ y).square().sum()
        assert each.label_energy.value == pytest.approx(energy.item())


def test_a_probe_of_one_class_has_reasons() -> None:
    labels = torch.zeros(8, dtype=torch.long)
    (found,) = by_class(torch.eye(8), labels, label_energy(torch.eye(8), labels), 1)
    for value, reason in (found.alignment, found.centred_alignment, found.label_energy):
        assert value is None
        assert reason


def test_layers_by_hand(digits: Images) -> None:
    """After an epoch, against gradients of each weight by autograd."""
    network = make_network()
    shown = draw_tracked_images(digits, SPEC, stream(0, "tracking"))
    x, labels = digits.normalise(shown.probe.pixels), shown.probe.labels
    weights = [network.get_parameter(f"{layer}.weight") for layer in (0, 2, 4)]
    first = [naive_kernel(network, x, weight) for weight in weights]
    found = track(network, digits, Recipe(epochs=1), SPEC)
    now = [naive_kernel(network, x, weight) for weight in weights]
    same = 2 * (labels[:, None] == labels).double() - 1
    total = sum(kernel.trace().item() for kernel in now)
    last = found.snapshots[-1].by_layer
    assert [share.layer for share in last] == ["0", "2", "4"]
    for share, before, after in zip(last, first, now, strict=True):
        assert share.trace_share.value == pytest.approx(after.trace().item() / total, rel=1e-4)
        assert share.alignment.value == pytest.approx(pearson(after, same), rel=1e-4)
        assert share.correlation_initial.value == pytest.approx(pearson(before, after), rel=1e-4)
        change = (after - before).norm() / before.norm()
        assert share.change_initial.value == pytest.approx(change.item(), rel=1e-4)
    torch.testing.assert_close(found.kernels[-1], torch.stack(now).sum(0), rtol=1e-4, atol=1e-3)


def test_the_layers_are_one_computation_with_the_kernel(digits: Images) -> None:
    shown = draw_tracked_images(digits, SPEC, stream(0, "tracking"))
    x = digits.normalise(shown.probe.pixels)
    theta = ntk(make_network(), x, parameters="weights").as_subclass(Tensor)
    for layers, names in ((0, []), (1, ["0-4"]), (2, ["0-2", "4"]), (16, ["0", "2", "4"])):
        spec = replace(SPEC, layers=layers)
        found = track(make_network(), digits, Recipe(epochs=1), spec)
        torch.testing.assert_close(found.kernels[0].double(), theta, rtol=1e-5, atol=1e-4)
        for snapshot in found.snapshots:
            assert [share.layer for share in snapshot.by_layer] == names
            if names:
                shares = [share.trace_share.value or 0 for share in snapshot.by_layer]
                assert sum(shares) == pytest.approx(1)


@pytest.mark.parametrize("most", [1, 2, 3, 5, 8, 16, 40, 1000])
def test_groups_are_few_connected_and_of_one_level(most: int) -> None:
    blocks = [
        f"layer{stage}.{block}.{part}.weight"
        for stage, blocks in ((1, 3), (2, 4), (3, 6), (4, 3))
        for block in range(blocks)
        for part in ("conv1", "bn1", "conv2", "bn2", "shortcut.0")
    ]
    names = ["token", "conv1.weight", *blocks, "fc.weight", "fc.bias"]
    groups = layer_groups(names, most)
    assert list(groups) == names
    order = list(dict.fromkeys(groups.values()))
    assert len(order) <= most
    assert len(order) >= min(most, 82) / 4
    assert sorted(map(order.index, groups.values())) == [*map(order.index, groups.values())]
    assert groups["fc.weight"] == groups["fc.bias"]
    assert all(order)


def test_a_layer_that_was_frozen_at_first_has_a_reason() -> None:
    now = {"a": torch.eye(3), "b": torch.ones(3, 3) + torch.eye(3)}
    found = by_layer(now, {"a": torch.eye(3)}, torch.tensor([0, 1, 1]))
    assert found[0].change_initial == Quantity(0.0)
    assert found[1].change_initial.value is None
    assert "not trained at initialisation" in found[1].correlation_initial.reason


def test_frames_and_figures(digits: Images) -> None:
    images = replace(digits, train=digits.train.some(200, torch.Generator().manual_seed(0)))
    found = untrained.Tracked(track(make_network(), images, Recipe(epochs=1), SPEC))
    classes, layers = found.by_class, found.by_layer
    assert classes.columns == ["epoch", "class", "images", "alignment", "centred_alignment",
                               "label_energy"]  # fmt: skip
    assert classes.filter(epoch=1)["images"].sum() == 24
    assert layers.columns == ["epoch", "layer", "alignment", "trace_share",
                              "correlation_initial", "change_initial"]  # fmt: skip
    assert layers["layer"].to_list() == ["0", "2", "4"] * 2
    assert layers.filter(epoch=0)["change_initial"].to_list() == [0.0] * 3
    figure = found.plot("trace_share", by="layer")
    assert [*figure.layout.yaxis.ticktext] == ["0", "2", "4"]
    shown = layers.filter(layer="2")["trace_share"].to_list()
    assert [*figure.data[0].z[1]] == pytest.approx(shown, rel=1e-3)
    found.plot("alignment", by="class")
    with pytest.raises(ValueError, match="quantity: expected one of trace_share, "):
        found.plot("label_energy", by="layer")
    none = track(make_network(), images, Recipe(epochs=1), replace(SPEC, layers=0))
    assert untrained.Tracked(none).by_layer.is_empty()
    assert untrained.Tracked(none).by_layer.schema == layers.schema
    with pytest.raises(ValueError, match="by: expected a tracking with numbers by layer"):
        untrained.Tracked(none).plot("alignment", by="layer")


def test_a_tracking_of_an_older_version_opens(tmp_path: Path) -> None:
    """One without classes, layers and pictures, whose lines have a digest of what they say."""
    config = TrackConfig(
        training=TrainingSpec(epochs=1, images=64), probe=8, support=0, scale="small", out=tmp_path
    )
    cell = "|nor_conv_3x3~0|+|none~0|none~1|+|skip_connect~0|none~1|none~2|"
    folder, whole = track_one(config, cell)
    path = tmp_path / folder.name
    lines = []
    for snapshot, kernel in zip(whole.snapshots, whole.kernels, strict=True):
        said = asdict(snapshot)
        del said["by_class"], said["by_layer"]
        known = hashlib.blake2b(json.dumps(said).encode(), digest_size=8)
        known.update(kernel.numpy().tobytes())
        lines.append(json.dumps({**said, "digest": known.hexdigest()}) + "\n")
    (path / "snapshots.jsonl").write_text("".join(lines))
    (path / "probe.png").unlink()
    asked = json.loads((path / "asked.json").read_bytes())
    del asked[1]["layers"]
    (path / "asked.json").write_text(json.dumps(asked))
    found = load_track(path)
    assert torch.equal(found.kernels, whole.kernels)
    assert [s.alignment for s in found.snapshots] == [s.alignment for s in whole.snapshots]
    assert found.probe is None
    opened = untrained.open_track(path)
    assert opened.by_class.is_empty()
    assert opened.by_layer.is_empty()
    page = Path(str(opened.report())).read_text(encoding="utf-8")
    assert "Which layers move?" not in page
    assert "--layers 0" in page
