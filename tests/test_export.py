"""Exported files work without the library, and give the network's own logits."""

import csv
import errno
import json
import logging
import os
import re
import runpy
import subprocess
import sys
import warnings
from contextlib import ExitStack, chdir, redirect_stderr, redirect_stdout, suppress
from dataclasses import replace
from importlib.metadata import version
from io import StringIO
from pathlib import Path
from types import ModuleType
from typing import Any
from unittest import mock

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from untrained.images import Images, Labelled
from untrained.images.picture import read_picture
from untrained.images.resizing import resize_square
from untrained.locations import Location
from untrained.networks.onnx_graph import missing_packages
from untrained.training import Recipe, evaluate, export
from untrained.training.export import Exported
from untrained.training.graphs import compare
from untrained.training.loader import defined_names, render
from untrained.training.model_card import Origin
from untrained.training.onnx_file import onnx_logits

EXPORT = sys.modules["untrained.training.export"]  # the package has a function of that name
CELLS = Path(__file__).parents[1] / "untrained" / "spaces" / "nasbench201_network.py"
SOURCE = CELLS.read_text(encoding="utf-8")
needs_onnx = pytest.mark.skipif(bool(missing_packages()), reason="needs untrained[onnx]")


def noise_images(channels: int = 3, size: int = 8) -> Images:
    generator = torch.Generator().manual_seed(0)

    def split(count: int) -> Labelled:
        shape = (count, channels, size, size)
        return Labelled(
            torch.randint(256, shape, dtype=torch.uint8, generator=generator),
            torch.randint(3, (count,), generator=generator),
        )

    return Images(
        name="noise",
        classes=("cat", 'a "quoted" dog', "été"),
        train=split(4),
        validation=split(4),
        test=split(4),
        mean=torch.linspace(0.3, 0.6, channels),
        std=torch.linspace(0.2, 0.3, channels),
        fingerprint="noise",
    )


def constructor(channels: int = 3) -> str:
    operations = ("nor_conv_3x3", "skip_connect", "none", "avg_pool_3x3", "none", "nor_conv_1x1")
    edges = tuple((operation,) for operation in operations)
    return f"CellNetwork({edges!r}, inputs={channels}, classes=3, channels=4, cells=1)"


def cell_network(channels: int = 3) -> nn.Module:
    names: dict[str, Any] = {"__name__": "cells"}
    exec(SOURCE, names)
    torch.manual_seed(0)
    network = eval(constructor(channels), names)
    with torch.no_grad():  # running statistics that are not those of a fresh network
        network.train()(torch.randn(32, channels, 8, 8))
    return network


def write(folder: Path, channels: int = 3, **change: Any) -> tuple[nn.Module, Exported]:
    asked = {
        "images": noise_images(channels),
        "source": SOURCE,
        "constructor": constructor(channels),
        "origin": Origin("Noise,\n told apart", "a cell"),
        **change,
    }
    network = asked.pop("network", None) or cell_network(channels)
    return network, export(network, folder, **asked)


def without_onnx(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "onnxruntime", None)


def run(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Python without the working directory, the user's packages or PYTHON variables."""
    environment = {k: v for k, v in os.environ.items() if not k.startswith("PYTHON")}
    return subprocess.run(
        [sys.executable, "-I", "-W", "error", *arguments],
        cwd=folder,
        env={**environment, "OMP_NUM_THREADS": "1", "PYTHONIOENCODING": "utf-8"},
        capture_output=True,
        text=True,
        encoding="utf-8",
    )


def run_here(folder: Path, loader: Location, *arguments: str) -> subprocess.CompletedProcess[str]:
    """The loader's command in this process, where torch is there already."""
    out, err, code = StringIO(), StringIO(), 0
    with ExitStack() as stack:
        for context in (redirect_stdout(out), redirect_stderr(err), chdir(folder)):
            stack.enter_context(context)
        stack.enter_context(mock.patch.object(sys, "argv", [str(loader), *arguments]))
        try:
            runpy.run_path(str(loader), run_name="__main__")
        except SystemExit as end:
            code = int(end.code or 0)
    return subprocess.CompletedProcess(arguments, code, out.getvalue(), err.getvalue())


# ---- Loader -------------------------------------------------------------------------------------


@pytest.mark.usefixtures("without_graphs")
def test_loader_works_elsewhere_without_the_library(tmp_path: Path) -> None:
    network, _ = write(tmp_path / "exported")
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (tmp_path / "exported").rename(elsewhere / "moved")
    inputs = torch.randn(3, 3, 8, 8)
    torch.save(inputs, elsewhere / "inputs.pt")
    script = (
        "import sys; sys.path.insert(0, 'moved')\n"
        "import network, torch\n"
        "torch.save(network.load()(torch.load('inputs.pt')).detach(), 'logits.pt')\n"
        "assert not network.load().training\n"
        "assert 'untrained' not in sys.modules and 'PIL' not in sys.modules\n"
    )
    done = run(elsewhere, "-c", script)
    assert done.returncode == 0, done.stderr
    with torch.no_grad():
        expected = network.eval()(inputs)
    torch.testing.assert_close(torch.load(elsewhere / "logits.pt"), expected)


@pytest.mark.usefixtures("without_graphs")
def test_loader_classifies_pictures_on_the_command_line(tmp_path: Path) -> None:
    network, exported = write(tmp_path / "exported")
    images = noise_images()
    for k, pixels in enumerate(images.test.pixels):
        Image.fromarray(pixels.permute(1, 2, 0).numpy()).save(tmp_path / f"{k}.png")
    with torch.no_grad():
        inputs = images.normalise(images.test.pixels)
        probability, label = network.eval()(inputs).softmax(1).max(1)
    done = run_here(tmp_path, exported.loader, *(f"{k}.png" for k in range(4)))
    assert done.returncode == 0, done.stderr
    expected = [f"{k}.png: {images.classes[label[k]]} ({probability[k]:.1%})" for k in range(4)]
    assert done.stdout.splitlines() == expected


@pytest.mark.usefixtures("without_graphs")
def test_loader_goes_on_after_a_broken_picture(tmp_path: Path) -> None:
    _, exported = write(tmp_path / "exported")
    (tmp_path / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\n cut")
    Image.new("RGB", (20, 10), "red").save(tmp_path / "red.png")
    done = run_here(tmp_path, exported.loader, "broken.png", "missing.png", "red.png")
    assert done.returncode == 1
    assert done.stdout.startswith("red.png: ")
    assert [line.split(":")[0] for line in done.stderr.splitlines()] == [
        "broken.png",
        "missing.png",
    ]


@pytest.mark.usefixtures("without_graphs")
def test_loader_ranks_the_pictures_of_folders_in_a_table(tmp_path: Path) -> None:
    """In a process of its own, where the library cannot be imported."""
    network, exported = write(tmp_path / "exported")
    images = noise_images()
    files = [tmp_path / "shown" / f"{'deep/' * (k % 2)}{k}.png" for k in range(4)]
    for file, pixels in zip(files, images.test.pixels, strict=True):
        file.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels.permute(1, 2, 0).numpy()).save(file)
    for name in ("deep/broken.png", ".hidden.png", "notes.txt", "__MACOSX/0.png"):
        (tmp_path / "shown" / name).parent.mkdir(exist_ok=True)
        (tmp_path / "shown" / name).write_text("words")
    (tmp_path / "empty").mkdir()
    arguments = ("empty", "shown", "--top-k", "9", "--csv", "out.csv")
    done = run(tmp_path, str(exported.loader), *arguments)
    assert (done.returncode, done.stdout) == (1, "")
    told = [line.split(": ") for line in done.stderr.splitlines()]
    assert [line[:2] for line in told] == [
        ["empty", "cannot be read"],
        ["shown/deep/broken.png", "cannot be read"],
    ]
    with (tmp_path / "out.csv").open(newline="", encoding="utf-8") as table:
        rows = list(csv.DictReader(table))
    assert list(rows[0]) == ["file", "rank", "class", "probability"]
    with torch.no_grad():
        inputs = images.normalise(images.test.pixels)
        probabilities = network.eval()(inputs).softmax(1)
    order = [0, 2, 1, 3]  # files of a folder come before those of the folders in it
    expected = [
        (f"shown/{files[k].relative_to(tmp_path / 'shown')}", str(rank + 1), images.classes[label])
        for k in order
        for rank, label in enumerate(probabilities[k].argsort(descending=True))
    ]
    assert [(row["file"], row["rank"], row["class"]) for row in rows] == expected
    shown = torch.tensor([float(row["probability"]) for row in rows]).view(4, 3)
    torch.testing.assert_close(shown, probabilities[order].sort(1, descending=True).values)


@pytest.mark.usefixtures("without_graphs")
def test_loader_prints_more_than_one_batch_in_order(tmp_path: Path) -> None:
    _, exported = write(tmp_path / "exported")
    Image.new("RGB", (20, 10), "red").save(tmp_path / "red.png")
    names = ["red.png", "gone.png", "red.png"] * 30
    done = run_here(tmp_path, exported.loader, *names, "--top-k", "2")
    assert len(done.stderr.splitlines()) == 30
    lines = done.stdout.splitlines()
    assert len(lines) == 60
    assert re.fullmatch(r"red\.png: .+ \(\d+\.\d%\), .+ \(\d+\.\d%\)", lines[0])
    assert set(lines) == {lines[0]}


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ((), "required: PATH"),
        (("a.png", "--top-k", "0"), "expected a number of 1 or more, got '0'"),
        (("a.png", "--top-k", "x"), "expected a number of 1 or more, got 'x'"),
        (("a.png", "--csv", "no/such/folder.csv"), "--csv: [Errno 2]"),
    ],
)
@pytest.mark.usefixtures("without_graphs")
def test_loader_refuses_wrong_arguments_in_a_line(
    tmp_path: Path, arguments: tuple[str, ...], said: str
) -> None:
    _, exported = write(tmp_path / "exported")
    done = run_here(tmp_path, exported.loader, *arguments)
    assert done.returncode == 2
    assert said in done.stderr.splitlines()[-1]


def pictures() -> dict[str, Image.Image]:
    generator = np.random.default_rng(0)
    colours = generator.integers(256, size=(23, 41, 4), dtype=np.uint8)
    deep = generator.integers(65536, size=(23, 41), dtype=np.uint16)
    turned = Image.fromarray(colours[..., :3])
    turned.getexif()[0x0112] = 6
    return {
        "wide.png": Image.fromarray(colours[..., :3]),
        "tall.png": Image.fromarray(colours[..., :3].transpose(1, 0, 2).copy()),
        "photo.jpg": Image.fromarray(colours[..., :3]).resize((300, 200)),
        "turned.png": turned,
        "transparent.png": Image.fromarray(colours),
        "palette.png": Image.fromarray(colours[..., :3]).quantize(16),
        "grey.png": Image.fromarray(colours[..., 0]),
        "deep.png": Image.fromarray(deep),
        "small.png": Image.fromarray(colours[:3, :5, :3]),
        "exact.png": Image.fromarray(colours[:8, :8, :3]),
    }


@pytest.mark.parametrize("channels", [1, 2, 3, 4, 5, 6, 13])
@pytest.mark.usefixtures("without_graphs")
def test_loader_reads_arrays_of_every_number_of_channels(tmp_path: Path, channels: int) -> None:
    """Of the size that the network was trained on they are as they are, larger ones resized."""
    network, exported = write(tmp_path / "exported", channels)
    images = noise_images(channels)
    large = torch.randint(256, (1, channels, 20, 31), dtype=torch.uint8)
    preprocess = runpy.run_path(str(exported.loader))["preprocess"]
    for pixels in (images.test.pixels[:1], large):
        np.save(tmp_path / "array.npy", pixels[0].permute(1, 2, 0).numpy())
        expected = images.normalise(resize_square(pixels, 8))
        torch.testing.assert_close(preprocess(tmp_path / "array.npy"), expected)
    with torch.no_grad():
        label = network.eval()(expected).argmax(1)
    if channels in (1, 6):
        done = run_here(tmp_path, exported.loader, "array.npy")
        assert done.stdout.startswith(f"array.npy: {images.classes[label]} ("), done.stderr


@pytest.mark.parametrize(("channels", "mode"), [(2, "LA"), (4, "RGBA")])
@pytest.mark.usefixtures("without_graphs")
def test_loader_takes_pictures_of_two_and_four_channels(
    tmp_path: Path, channels: int, mode: str
) -> None:
    _, exported = write(tmp_path / "exported", channels)
    images = noise_images(channels)
    bands = [Image.fromarray(band.numpy()) for band in images.test.pixels[0]]
    Image.merge(mode, bands).save(tmp_path / "same.png")
    preprocess = runpy.run_path(str(exported.loader))["preprocess"]
    expected = images.normalise(images.test.pixels[:1])
    torch.testing.assert_close(preprocess(tmp_path / "same.png"), expected)
    Image.new("RGB", (30, 20), "red").save(tmp_path / "red.png")
    assert preprocess(tmp_path / "red.png").shape == (1, channels, 8, 8)


WRONG_ARRAYS: dict[str, np.ndarray] = {
    "floats": np.zeros((8, 8, 3), np.float32),
    "grey": np.zeros((8, 8), np.uint8),
    "channels first": np.zeros((3, 8, 8), np.uint8),
    "empty": np.zeros((0, 8, 3), np.uint8),
    "pickled": np.array([{"an": "object"}]),
}


@pytest.mark.usefixtures("without_graphs")
def test_loader_says_which_arrays_it_takes(tmp_path: Path) -> None:
    _, exported = write(tmp_path / "exported")
    files = [f"{name}.npy" for name in WRONG_ARRAYS]
    for name, array in WRONG_ARRAYS.items():
        np.save(tmp_path / f"{name}.npy", array, allow_pickle=True)
    done = run_here(tmp_path, exported.loader, *files)
    assert done.returncode == 1
    lines = done.stderr.splitlines()
    assert [line.partition(": cannot be read: ")[0] for line in lines] == files


@pytest.mark.usefixtures("without_graphs")
def test_loader_of_many_channels_refuses_pictures_in_a_line(tmp_path: Path) -> None:
    _, exported = write(tmp_path / "exported", 6)
    Image.new("RGB", (8, 8)).save(tmp_path / "red.png")
    done = run_here(tmp_path, exported.loader, "red.png")
    assert done.returncode == 1
    assert "expected a .npy file with 6 channels, got red.png" in done.stderr


@pytest.mark.parametrize("channels", [1, 6])
@pytest.mark.usefixtures("without_graphs")
def test_loader_helps(tmp_path: Path, channels: int) -> None:
    _, exported = write(tmp_path / "exported", channels)
    done = run_here(tmp_path, exported.loader, "--help")
    assert done.returncode == 0
    assert "tells 3 classes of images apart" in done.stdout
    assert f"(height, width, {channels})" in done.stdout


NAMES = (
    "it's", 'a "b"', "back\\slash", "two\nlines", "\x1b[31mred", "tab\t", "nul\x00",
    "\u202egnp.exe", "\udcff\udcfe", "{{ braces }}", "# coding: utf-16", "", "日本", "'" * 3,
    '"' * 3, "\\N{BULLET}", "%s {0}",
)  # fmt: skip


@pytest.mark.usefixtures("without_graphs")
def test_names_of_any_text_survive(tmp_path: Path) -> None:
    """Quotes, control characters, bytes that are not UTF-8, templates: as they are in CLASSES,
    and without control characters on the terminal."""
    images = replace(noise_images(), classes=NAMES)
    text = constructor().replace("classes=3", f"classes={len(NAMES)}")
    names: dict[str, Any] = {"__name__": "cells"}
    exec(SOURCE, names)
    network = eval(text, names)
    origin = Origin("coding: utf-16 \x00 \udcff {{ title }}", "\udcff | `\n")
    _, exported = write(
        tmp_path / "exported", network=network, images=images, constructor=text, origin=origin
    )
    loaded = runpy.run_path(str(exported.loader))
    assert loaded["CLASSES"] == NAMES
    assert all(loaded["printable"](name).isprintable() for name in NAMES)
    Image.new("RGB", (8, 8)).save(tmp_path / "red.png")
    done = run(tmp_path, str(exported.loader), "red.png", "\udcff.png")
    assert done.stdout.startswith("red.png: "), done.stderr
    assert done.stderr.startswith("\\udcff.png: cannot be read: ")


@pytest.mark.parametrize("bits", [9, 16])
@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.usefixtures("without_graphs")
def test_loader_prepares_pictures_as_the_folder_source_does(
    tmp_path: Path, channels: int, bits: int
) -> None:
    images = replace(noise_images(channels), grey_bits=bits)
    _, exported = write(tmp_path / "exported", channels, images=images)
    preprocess = runpy.run_path(str(exported.loader))["preprocess"]
    for name, picture in pictures().items():
        picture.save(tmp_path / name, exif=picture.getexif())
        pixels = read_picture(tmp_path / name, 8, bits).square
        if channels == 1:
            pixels = np.asarray(Image.fromarray(pixels).convert("L"))[..., None]
        expected = images.normalise(torch.from_numpy(pixels.copy()).permute(2, 0, 1)[None])
        assert torch.equal(preprocess(tmp_path / name), expected), name


def test_loader_is_readable_and_holds_the_data(tmp_path: Path) -> None:
    images = noise_images()
    text = render(images, SOURCE, constructor(), 'A """title""" \\ in\ntwo lines\x00\x1b')
    names: dict[str, Any] = {"__name__": "loader", "__file__": str(tmp_path / "network.py")}
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        exec(compile(text, "network.py", "exec"), names)
    assert '\n# A """title""" \\ in two lines\\x00\\x1b\n' in text
    assert names["CLASSES"] == images.classes
    assert torch.equal(torch.tensor(names["MEAN"]), images.mean)
    assert torch.equal(torch.tensor(names["STD"]), images.std)
    assert names["SHAPE"] == (3, 8, 8)
    ours = text.replace(SOURCE.strip(), "").splitlines()
    assert max(map(len, ours)) <= max(99, len(f"    network = {constructor()}"))


@pytest.mark.parametrize(
    ("message", "change"),
    [
        ("source: expected Python", {"source": "def f(:"}),
        ("constructor: expected Python", {"constructor": "a = 3"}),
        (
            "source: .* own names, .* defines CLASSES, load;",
            {"source": "def load(): 1\nCLASSES=2"},
        ),
    ],
    ids=lambda x: x if isinstance(x, str) else "",
)
def test_wrong_sources_are_explained_before_anything_is_written(
    tmp_path: Path, message: str, change: dict[str, Any]
) -> None:
    with pytest.raises(ValueError, match=message):
        write(tmp_path / "exported", **change)
    assert not (tmp_path / "exported").exists()


@pytest.mark.usefixtures("without_graphs")
def test_a_constructor_of_another_network_is_noticed(tmp_path: Path) -> None:
    other = constructor().replace("avg_pool_3x3", "skip_connect")  # has the same weights
    with pytest.raises(RuntimeError, match="must build the same network"):
        write(tmp_path, constructor=other)


def test_names_of_a_source() -> None:
    assert defined_names("x: int = 1\n(a, b) = 1, 2\nclass C: y = 3\nimport os") == {
        *("x", "a", "b", "C")
    }
    assert "CellNetwork" in defined_names(SOURCE)


# ---- Whole or not at all ------------------------------------------------------------------------


class Cut(Exception):
    """Stands for whatever interrupts."""


STEPS = [
    *(
        (EXPORT, name, 1)
        for name in ("_write_weights", "check_loader", "evaluate", "write_graphs")
    ),
    *((os, name, call) for name in ("fsync", "rename") for call in (1, 2, 3)),
]


@pytest.mark.parametrize(("module", "name", "call"), STEPS)
@pytest.mark.usefixtures("without_graphs")
def test_an_export_cut_anywhere_leaves_the_old_or_the_new_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, module: ModuleType, name: str, call: int
) -> None:
    """A kill between two renames leaves the old one beside, for the next export to put back."""
    folder = tmp_path / "network"
    write(folder)
    (folder / "notes.txt").write_text("mine")
    (folder / "network.onnx").write_bytes(b"of the old one")
    before = {p.name: p.read_bytes() for p in folder.iterdir()}
    new = cell_network()
    with torch.no_grad():
        new.get_parameter("classifier.weight").mul_(2)
    whole, called = getattr(module, name), list[str]()

    def cut(*arguments: Any, **options: Any) -> Any:
        called.append(name)
        if len(called) == call:
            raise Cut
        return whole(*arguments, **options)

    with monkeypatch.context() as patch, suppress(Cut):
        patch.setattr(module, name, cut)
        write(folder, network=new)
    kept = folder if folder.exists() else tmp_path / ".network.old"
    found = {p.name: p.read_bytes() for p in kept.iterdir()}
    if found != before:
        assert found["weights.safetensors"] != before["weights.safetensors"]
        assert {"network.py", "weights.safetensors"} <= set(found)
        assert "network.onnx" not in found
    write(folder, network=new)
    assert [p.name for p in tmp_path.iterdir()] == ["network"]
    assert (folder / "notes.txt").read_text() == "mine"
    loaded = load_file(folder / "weights.safetensors")
    assert all(torch.equal(loaded[name], tensor) for name, tensor in new.state_dict().items())


@pytest.mark.usefixtures("without_graphs")
def test_a_full_disk_is_said_as_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise SafetensorError("I/O error: No space left on device (os error 28)")

    monkeypatch.setattr(EXPORT, "save_model", full)
    with pytest.raises(OSError, match="No space left") as caught:
        write(tmp_path / "network")
    assert caught.value.errno == errno.ENOSPC
    assert list(tmp_path.iterdir()) == []


@pytest.mark.usefixtures("without_graphs")
def test_the_working_folder_is_not_replaced(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ValueError, match="replaced as a whole"):
        write(Path())
    (tmp_path / "file").touch()
    with pytest.raises(FileExistsError, match="got a file"):
        write(tmp_path / "file")


@pytest.mark.usefixtures("without_graphs")
def test_an_export_must_reach_the_accuracy_that_is_known(tmp_path: Path) -> None:
    generator = torch.Generator().manual_seed(1)
    pixels = torch.randint(256, (200, 3, 8, 8), dtype=torch.uint8, generator=generator)
    labels = torch.randint(3, (200,), generator=generator)
    images = replace(noise_images(), test=Labelled(pixels, labels))
    network, exported = write(tmp_path / "network", images=images)
    reached = evaluate(network, images.test, images)
    assert exported.evaluation == reached
    write(tmp_path / "near", images=images, accuracy=reached.accuracy + 1 / 200)
    for known in (reached.accuracy + 0.05, reached.accuracy - 0.05):
        with pytest.raises(RuntimeError, match="nothing is exported"):
            write(tmp_path / "far", images=images, accuracy=known)
    assert not (tmp_path / "far").exists()


# ---- Weights ------------------------------------------------------------------------------------


@pytest.mark.usefixtures("without_graphs")
def test_weights_are_those_of_the_network(tmp_path: Path) -> None:
    network, exported = write(tmp_path)
    kept = load_file(exported.weights)
    assert kept.keys() == network.state_dict().keys()
    assert all(torch.equal(kept[name], tensor) for name, tensor in network.state_dict().items())
    assert os.stat(exported.weights).st_mode == os.stat(exported.loader).st_mode


TIED = """
import torch
from torch import nn

class Tied(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Linear(192, 192)
        self.second = nn.Linear(192, 192)
        self.second.weight = self.first.weight
        self.last = nn.Linear(192, 3)

    def forward(self, x):
        return self.last(self.second(self.first(x.flatten(1))))
"""


@pytest.mark.usefixtures("without_graphs")
def test_tied_weights_are_exported_once(tmp_path: Path) -> None:
    names: dict[str, Any] = {"__name__": "tied"}
    exec(TIED, names)
    _, exported = write(tmp_path, network=names["Tied"](), source=TIED, constructor="Tied()")
    assert len(load_file(exported.weights)) == 5


def test_network_and_global_state_are_left_as_they_were(tmp_path: Path) -> None:
    network = cell_network().train()
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    torch.manual_seed(3)
    state = torch.get_rng_state()
    write(tmp_path, network=network)
    assert torch.equal(torch.get_rng_state(), state)
    assert all(module.training for module in network.modules())
    assert all(torch.equal(before[name], t) for name, t in network.state_dict().items())
    assert not {"network", "exported_network"} & set(sys.modules)
    assert {p.name for p in tmp_path.iterdir()} <= {
        *("network.py", "network.onnx", "network.pt2", "weights.safetensors", "MODEL_CARD.md")
    }


# ---- Graphs -------------------------------------------------------------------------------------


def program_logits(path: Path, inputs: Tensor) -> Tensor:
    return torch.export.load(path).module()(inputs)


@needs_onnx
def test_graphs_agree_with_torch_for_any_batch(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING):
        network, exported = write(tmp_path)
    assert capfd.readouterr() == ("", "")
    assert not caplog.records
    assert exported.notes == ()
    assert exported.program == tmp_path / "network.pt2"
    assert exported.onnx == tmp_path / "network.onnx"
    assert exported.program_difference is not None
    assert exported.onnx_difference is not None
    assert max(exported.program_difference, exported.onnx_difference) < 1e-5
    of_onnx = onnx_logits(exported.onnx)
    for count in (1, 2, 7):
        inputs = torch.randn(count, 3, 8, 8)
        with torch.no_grad():
            expected = network.eval()(inputs)
        torch.testing.assert_close(of_onnx(inputs), expected)
        torch.testing.assert_close(program_logits(exported.program, inputs), expected)
        with pytest.raises(RuntimeError, match=r"network.onnx: expected the logits of the netw"):
            compare(of_onnx, nn.Sequential(network, nn.Softplus()), [inputs], "network.onnx")
    check_metadata(exported)


def check_metadata(exported: Exported) -> None:
    """What both files tell is enough to use them."""
    import onnxruntime

    session = onnxruntime.InferenceSession(exported.onnx, providers=["CPUExecutionProvider"])
    told = session.get_modelmeta().custom_metadata_map
    files = {"metadata.json": ""}
    assert exported.program is not None
    torch.export.load(exported.program, extra_files=files)
    assert json.loads(files["metadata.json"]) == told
    images = noise_images()
    assert tuple(json.loads(told["classes"])) == images.classes
    assert (json.loads(told["channels"]), json.loads(told["size"])) == (3, [8, 8])
    pixels = images.test.pixels.double()
    mean, std = (torch.tensor(json.loads(told[k]))[:, None, None] for k in ("mean", "std"))
    by_formula = eval(told["normalisation"].split(",")[0], {}, locals())
    torch.testing.assert_close(by_formula.float(), images.normalise(images.test.pixels))
    assert told["architecture"] == "a cell"
    assert told["library"] == f"untrained {version('untrained')}"


@needs_onnx
def test_a_network_that_cannot_be_traced_is_a_note(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    source = (
        "from torch import nn\n"
        "class Odd(nn.Module):\n"
        "    def __init__(self):\n"
        "        super().__init__()\n"
        "        self.last = nn.Linear(192, 3)\n"
        "    def forward(self, x):\n"
        "        x = x.flatten(1)\n"
        "        return self.last(x if x.sum().item() > 0 else -x)\n"
    )
    names: dict[str, Any] = {"__name__": "odd"}
    exec(source, names)
    (tmp_path / "network.onnx").write_bytes(b"of another network")
    _, exported = write(tmp_path, network=names["Odd"](), source=source, constructor="Odd()")
    assert (exported.program, exported.onnx) == (None, None)
    for kind, note in zip(("torch.export", "ONNX"), exported.notes, strict=True):
        assert note.startswith(f"no {kind} file: the network cannot be expressed: ")
        assert "\n" not in note
        assert "\x1b" not in note
    assert capfd.readouterr() == ("", "")
    assert {p.name for p in tmp_path.iterdir()} == {
        *("network.py", "weights.safetensors", "MODEL_CARD.md")
    }
    assert "network.onnx" not in exported.card.read_text(encoding="utf-8")


def test_without_onnx_there_is_a_note(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    without_onnx(monkeypatch)
    _, exported = write(tmp_path, images=replace(noise_images(), test=noise_images().train))
    assert (exported.onnx, exported.onnx_difference) == (None, None)
    assert exported.program is not None
    [note] = exported.notes
    missing = "(onnx, onnxscript, )?onnxruntime"
    assert re.fullmatch(
        rf"no ONNX file: {missing} not installed; pip install 'untrained\[onnx\]'", note
    )


# ---- Model card ---------------------------------------------------------------------------------


@pytest.mark.usefixtures("without_graphs")
def test_model_card_tells_what_the_network_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    generator = torch.Generator().manual_seed(1)
    pixels = torch.randint(256, (200, 3, 8, 8), dtype=torch.uint8, generator=generator)
    labels = torch.randint(3, (200,), generator=generator)
    images = replace(noise_images(), test=Labelled(pixels, labels))
    recipe = Recipe(epochs=7, learning_rate=0.05)
    origin = Origin("run|1", "|a~0|+`b`", recipe, trained_on=4, best_epoch=3)
    network, exported = write(tmp_path / "network", images=images, origin=origin)
    text = exported.card.read_text(encoding="utf-8")
    found = evaluate(network, images.test, images)
    interval = proportion_confint(round(found.accuracy * 200), 200)
    for said in (
        f"**{100 * found.accuracy:.1f} % of 200 test images are classified correctly**",
        "interval {:.1f} to {:.1f} %".format(*(100 * end for end in interval)),
        f"would give {100 * int(labels.bincount().max()) / 200:.1f} %",
        "# run\\|1\n",
        "    |a~0|+`b`\n",
        "The weights of epoch 3 were kept",
        "| epochs | 7 |\n",
        "| learning rate | 0.05 |\n",
        'Classes: cat, a "quoted" dog, été.',
        "4 to train on, 4 to choose the epoch, 200 to test",
        f"  - {{type: accuracy, value: {found.accuracy:.4f}}}".strip(),
    ):
        assert said in text, said
    for k, name in enumerate(images.classes):
        row = found.confusion[k]
        assert f"| {name} | {sum(row)} | {100 * row[k] / sum(row):.1f} % |" in text
    [program] = re.findall("```python\n(.*?)```", text, re.DOTALL)
    Image.new("RGB", (9, 9), "red").save(tmp_path / "network" / "picture.png")
    with chdir(tmp_path / "network"), redirect_stdout(StringIO()) as out:
        monkeypatch.syspath_prepend(".")
        exec(program, {})
    del sys.modules["network"]
    assert out.getvalue().startswith(images.classes)


def proportion_confint(hits: int, count: int) -> tuple[float, float]:
    """Every p that a score test does not reject."""
    p = np.linspace(0, 1, 1_000_001)
    kept = p[abs(hits / count - p) <= 1.959964 * np.sqrt(p * (1 - p) / count)]
    return float(kept[0]), float(kept[-1])


@pytest.mark.usefixtures("without_graphs")
def test_model_card_without_test_images_or_recipe(tmp_path: Path) -> None:
    images = noise_images(6)
    empty = Labelled(images.test.pixels[:0], images.test.labels[:0])
    _, exported = write(tmp_path, 6, images=replace(images, test=empty, classes=NAMES[:3]))
    text = exported.card.read_text(encoding="utf-8")
    assert "It was not tested" in text
    assert "| setting |" not in text
    assert "accuracy, value" not in text
    assert "two\\\\nlines" not in text
    assert "python network.py array.npy" in text
