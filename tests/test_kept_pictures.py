"""Decoded pictures that are kept: mapped again, or noticed to be others or damaged."""

import errno
import hashlib
import os
import shutil
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from test_cli import Command, command
from torch import nn

from untrained.images import Images, Labelled, ProbeSpec, decoding, draw_probe, kept, load_images
from untrained.images.kept import clear, kept_pictures
from untrained.runs.workers import _mapped, images_files
from untrained.training import Recipe, evaluate, train_short

__all__ = ["command"]  # a fixture
SPLITS = ("train", "validation", "test")


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache folder for each test."""
    monkeypatch.setenv("UNTRAINED_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache" / "pictures"


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    rng = np.random.default_rng(0)
    for name in ("cat", "dog"):
        for i in range(8):
            path = tmp_path / "pets" / name / f"{i}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(rng.integers(0, 256, (9, 11, 3), dtype=np.uint8)).save(path)
    (tmp_path / "pets" / "cat" / "broken.png").write_text("words")
    return tmp_path / "pets"


def in_memory(pictures: Path, seed: int = 0) -> Images:
    """Read where nothing is kept, with plain tensors for splits."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("UNTRAINED_CACHE", "")
        images = load_images(pictures, size=9, seed=seed)
    train, validation, test = (
        Labelled(split.pixels, split.labels)
        for split in (images.train, images.validation, images.test)
    )
    return replace(images, train=train, validation=validation, test=test)


def same(one: Images, other: Images) -> bool:
    """Whether all is equal but where it lies."""
    plain = ("name", "classes", "fingerprint", "notes", "grey_bits", "shape")
    assert [getattr(one, name) for name in plain] == [getattr(other, name) for name in plain]
    tensors = [(one.mean, other.mean), (one.std, other.std)]
    for name in SPLITS:
        ours, theirs = getattr(one, name), getattr(other, name)
        tensors += [(ours.pixels, theirs.pixels), (ours.labels, theirs.labels)]
    return all(torch.equal(*pair) for pair in tensors)


def refuse(*_: object, **__: object) -> Any:
    raise AssertionError("a picture was decoded")


# As before


def test_fingerprints_are_those_that_results_were_made_with(digits: Images) -> None:
    """Of the version that held every split in memory."""
    assert digits.fingerprint == "fae5ffc695692319"
    assert digits.std.tolist() == [float.fromhex("0x1.80277a0000000p-2")]


def test_fingerprint_and_statistics_are_those_of_all_pixels(pictures: Path) -> None:
    images = load_images(pictures, size=9)
    shapes = [tuple(getattr(images, name).pixels.shape) for name in SPLITS]
    content = b"".join(
        part.numpy().tobytes()
        for name in SPLITS
        for part in (getattr(images, name).pixels, getattr(images, name).labels)
    )
    head = repr((shapes, images.classes)).encode()
    assert images.fingerprint == hashlib.sha256(head + content).hexdigest()[:16]
    scaled = images.train.pixels.double() / 255
    torch.testing.assert_close(images.mean, scaled.mean((0, 2, 3)).float())
    torch.testing.assert_close(images.std, scaled.std((0, 2, 3), correction=0).float())


# Later starts


def test_a_later_start_decodes_nothing(pictures: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first, memory = load_images(pictures, size=9), in_memory(pictures)
    monkeypatch.setattr(decoding, "read_picture", refuse)
    later = load_images(pictures, size=9)
    assert same(first, memory)
    assert same(later, memory)
    assert later.pixel_file is not None
    assert memory.pixel_file is None
    places = {getattr(later, name).source.data_ptr() for name in SPLITS}
    assert len(places) == 1  # one mapping, of which splits are rows
    assert any(note.startswith("left out") for note in later.notes)


def test_other_seeds_share_the_pixels(pictures: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    others = [in_memory(pictures, seed) for seed in (1, 2)]
    load_images(pictures, size=9)
    monkeypatch.setattr(decoding, "read_picture", refuse)
    for seed, memory in zip((1, 2, 1), (*others, others[0]), strict=True):
        assert same(load_images(pictures, size=9, seed=seed), memory)


def test_sizes_and_folders_are_kept_apart(pictures: Path, tmp_path: Path) -> None:
    shutil.copytree(pictures, tmp_path / "copy" / "pets")
    shapes = [
        load_images(folder, size=size).shape
        for folder in (pictures, tmp_path / "copy" / "pets")
        for size in (9, 12)
    ]
    assert shapes == [(3, 9, 9), (3, 12, 12)] * 2
    assert len(kept_pictures()) == 4


def test_grey_pictures_take_one_channel(tmp_path: Path) -> None:
    for k in range(12):
        path = tmp_path / "grey" / f"class {k % 2}" / f"{k}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("L", (9, 9), 20 * k).save(path)
    for _ in range(2):
        images = load_images(tmp_path / "grey", size=9)
        assert images.shape == (1, 9, 9)
        levels = torch.cat([getattr(images, name).pixels for name in SPLITS]).unique().tolist()
        assert levels == [20 * k for k in range(12)]
    assert images.pixel_file is not None
    assert images.pixel_file.stat().st_size == 12 * 81


def test_what_reads_rows_reads_the_same(pictures: Path) -> None:
    """Probes, trainings and evaluations, bit for bit."""
    mapped, memory = load_images(pictures, size=9), in_memory(pictures)
    for spec in (
        ProbeSpec(count=5),
        ProbeSpec(count=5, split="validation", at_most=True),
        ProbeSpec(count=5, augment=True),
        ProbeSpec(count=40, patch=3),
        ProbeSpec(count=5, augment=True, patch=4, one_channel=True),
    ):
        one, other = (
            draw_probe(images, spec, torch.Generator().manual_seed(3))
            for images in (mapped, memory)
        )
        assert torch.equal(one.inputs, other.inputs)
        assert torch.equal(one.labels, other.labels)
    ended: list[tuple[Any, ...]] = []
    for images in (mapped, memory):
        few = images.training_on(7, torch.Generator().manual_seed(1))
        torch.manual_seed(0)
        network = nn.Sequential(nn.Flatten(), nn.Linear(243, 2, bias=False))
        train_short(network, few, Recipe(epochs=2, batch=3), seed=5)
        ended.append((*network.parameters(), evaluate(network, images.test, images)))
    assert torch.equal(ended[0][0], ended[1][0])
    assert ended[0][1] == ended[1][1]


# Changes and damage


CHANGES = {
    "a picture": lambda folder: Image.new("RGB", (9, 9), "red").save(folder / "cat" / "3.png"),
    "its time": lambda folder: os.utime(folder / "cat" / "3.png", (1, 1)),
    "a name": lambda folder: (folder / "cat" / "3.png").rename(folder / "cat" / "9.png"),
    "one more": lambda folder: Image.new("RGB", (9, 9)).save(folder / "dog" / "more.png"),
    "one less": lambda folder: (folder / "dog" / "2.png").unlink(),
    "another class": lambda folder: (folder / "dog").rename(folder / "wolf"),
    "a file that is none": lambda folder: (folder / "dog" / "words.txt").write_text("more"),
}


@pytest.mark.parametrize("change", CHANGES)
def test_changed_pictures_are_noticed(
    pictures: Path, caplog: pytest.LogCaptureFixture, change: str
) -> None:
    load_images(pictures, size=9)
    CHANGES[change](pictures)
    caplog.clear()
    again = load_images(pictures, size=9)
    said = f"{pictures}: pictures changed since they were decoded: decoding them again"
    assert [r.getMessage() for r in caplog.records].count(said) == 1
    assert same(again, in_memory(pictures))
    assert len(kept_pictures()) == 1
    caplog.clear()
    load_images(pictures, size=9)
    assert said not in caplog.text


def cut(file: Path) -> None:
    file.write_bytes(file.read_bytes()[:-7])


def flip(file: Path) -> None:
    content = bytearray(file.read_bytes())
    content[100] ^= 1
    file.write_bytes(content)


@pytest.mark.parametrize("damage", [cut, flip, Path.unlink])
@pytest.mark.parametrize("name", ["*.pixels", "index.json", "seed-0.json"])
def test_damage_is_noticed(
    pictures: Path, cache: Path, caplog: pytest.LogCaptureFixture, name: str, damage: Any
) -> None:
    memory = in_memory(pictures)
    load_images(pictures, size=9)
    [file] = cache.glob(f"*/{name}")
    damage(file)
    caplog.clear()
    assert same(load_images(pictures, size=9), memory)
    damaged = f"{file.parent}: decoded pictures are damaged: decoding them again"
    assert (damaged in caplog.text) == (name != "seed-0.json")
    assert same(load_images(pictures, size=9), memory)


def test_other_code_decodes_again(pictures: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    load_images(pictures, size=9)
    monkeypatch.setattr("untrained.images.pictures.reader", lambda: "other")
    monkeypatch.setattr(decoding, "read_picture", refuse)
    with pytest.raises(ValueError, match="got none"):  # each could not be read
        load_images(pictures, size=9)


# Where nothing can be kept


def test_a_folder_that_cannot_be_written_is_a_note(
    pictures: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "cache").write_text("a file where the folder should be")
    images = load_images(pictures, size=9)
    memory = in_memory(pictures)
    [note] = [note for note in images.notes if note not in memory.notes]
    assert note.startswith("decoded pictures stay in memory, since they cannot be kept in")
    assert note in caplog.text
    assert images.pixel_file is None
    assert same(replace(images, notes=memory.notes), memory)


@pytest.mark.parametrize("call", ["fsync", "rename"])
def test_a_full_disk_is_a_note(
    pictures: Path, cache: Path, monkeypatch: pytest.MonkeyPatch, call: str
) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, call, full)
    images = load_images(pictures, size=9)
    assert any("No space left on device" in note for note in images.notes)
    assert images.pixel_file is None
    assert list(cache.iterdir()) == []


def test_kept_pictures_that_cannot_be_written_are_read(
    pictures: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = load_images(pictures, size=9)

    def refused(*_: object) -> None:
        raise PermissionError(errno.EACCES, "Permission denied")

    for name in ("utime", "rename", "mkdir", "replace"):
        monkeypatch.setattr(os, name, refused)
    assert same(load_images(pictures, size=9), first)
    assert load_images(pictures, size=9, seed=1).pixel_file == first.pixel_file


def test_starts_at_once(pictures: Path, cache: Path) -> None:
    with ThreadPoolExecutor(6) as pool:
        found = list(pool.map(lambda _: load_images(pictures, size=9), range(6)))
    assert all(same(found[0], other) for other in found[1:])
    assert len(list(cache.iterdir())) == 1
    assert load_images(pictures, size=9).pixel_file is not None


# Listed, limited, cleared


def test_old_entries_make_way(pictures: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sizes = (9, 10, 11)
    found = {}
    for k, size in enumerate(sizes):
        found[size] = load_images(pictures, size=size)
        os.utime(kept_pictures()[0].folder, (k, k))
    before = found[9].train.pixels.clone()
    monkeypatch.setattr(kept, "MOST_BYTES", sum(k.bytes for k in kept_pictures()[:2]))
    load_images(pictures, size=9)  # used again
    os.utime(kept_pictures()[0].folder, (9, 9))
    load_images(pictures, size=8)
    assert [k.shape for k in kept_pictures()] == [(3, 8, 8), (3, 9, 9)]
    assert torch.equal(found[10].train.pixels, load_images(pictures, size=10).train.pixels)
    assert torch.equal(found[9].train.pixels, before)


def test_kept_pictures_are_listed_and_cleared(
    pictures: Path, cache: Path, command: Command
) -> None:
    images = load_images(pictures, size=9)
    [entry] = kept_pictures()
    assert (entry.of, entry.pictures, entry.shape) == (str(pictures), 16, (3, 9, 9))
    assert entry.bytes == sum(file.stat().st_size for file in entry.folder.iterdir())
    (cache / "other").mkdir()
    (cache / ".unfinished-old").mkdir()
    assert sorted(k.of for k in kept_pictures()) == ["", str(pictures)]
    code, out, _ = command("data")
    assert code == 0
    assert f"pictures/{entry.folder.name}\n" in out
    assert f"decoded pictures of {pictures} at 9 x 9\n" in out
    assert "16 images, cache folder, 0.0 MB; untrained data clear removes them\n" in out
    assert "unreadable (cache folder, 0.0 MB; untrained data clear removes them): damaged" in out
    code, out, _ = command("data", "clear")
    assert (code, out) == (0, "Removed 0.0 MB of decoded pictures.\n")
    assert list(cache.iterdir()) == []
    assert same(images, in_memory(pictures))  # they stay mapped
    assert (clear(), kept_pictures()) == (0, [])


# Workers


def test_workers_map_the_same_file(pictures: Path) -> None:
    images = load_images(pictures, size=9)
    with images_files(images) as files:
        described, pixels = files
        assert images.pixel_file is not None
        assert os.path.samefile(pixels.fileno(), images.pixel_file)
        clear()  # whoever holds the file may go on
        mapped = _mapped(*(f"/dev/fd/{file.fileno()}" for file in files))
        described.seek(0)
        assert images.train.pixels.numpy().tobytes()[:100] not in described.read()
    assert same(mapped, images)


def test_workers_get_a_copy_of_what_is_no_longer_there(pictures: Path) -> None:
    images = load_images(pictures, size=9)
    clear()
    with images_files(images) as files:
        [file] = files
        assert same(_mapped(f"/dev/fd/{file.fileno()}"), images)
