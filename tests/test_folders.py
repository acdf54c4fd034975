"""Folders of pictures as archives, cameras, file servers and people leave them."""

import os
import unicodedata
from pathlib import Path
from typing import Literal

import numpy as np
import pytest
import torch
from PIL import Image

from untrained.images import Images, load_images, picture

Form = Literal["NFC", "NFD", "NFKC", "NFKD"]
NEXT = iter(range(1, 10**6))


def paint(path: Path) -> None:
    """A picture like no other."""
    path.parent.mkdir(parents=True, exist_ok=True)
    values = np.random.default_rng(next(NEXT)).integers(0, 256, (9, 9, 3), dtype=np.uint8)
    Image.fromarray(values).save(path)


def fill(folder: Path, names: tuple[str, ...] = ("cat", "dog"), count: int = 6) -> Path:
    for name in names:
        for i in range(count):
            paint(folder / name / f"{i}.png")
    return folder


def counts(images: Images) -> tuple[int, int, int]:
    return len(images.train), len(images.validation), len(images.test)


def read(folder: Path) -> Images:
    return load_images(folder, size=9)


# Splits


@pytest.mark.parametrize(
    "names",
    [
        ("train", "val", "test"),
        ("Train", "Valid", "Test"),
        ("TRAIN", "DEV", "TEST"),
        ("training", "validation", "testing"),
        ("train_set", "val-set", "test set"),
        ("Training Images", "Validation Images", "Testing Images"),
        ("trainset", "valset", "testset"),
    ],
)
def test_names_of_splits(tmp_path: Path, names: tuple[str, str, str]) -> None:
    for name, count in zip(names, (7, 2, 3), strict=True):
        fill(tmp_path / name, count=count)
    images = read(tmp_path)
    assert images.classes == ("cat", "dog")
    assert counts(images) == (14, 4, 6)


@pytest.mark.parametrize("junk", ["__MACOSX", "@eaDir", "#recycle", "lost+found", "notes"])
def test_splits_beside_folders_without_pictures_of_their_own(tmp_path: Path, junk: str) -> None:
    for split in ("train", "test"):
        fill(tmp_path / split)
    (tmp_path / junk).mkdir()
    if junk != "notes":  # where others leave their thumbnails
        paint(tmp_path / junk / "train" / "cat" / "0.png")
    (tmp_path / junk / "readme.txt").write_text("words")
    assert read(tmp_path).classes == ("cat", "dog")


def test_splits_beside_other_pictures_are_refused(tmp_path: Path) -> None:
    for folder in ("train", "test", "extra"):
        fill(tmp_path / folder)
    with pytest.raises(ValueError, match="got test, train beside extra; move extra elsewhere"):
        read(tmp_path)


@pytest.mark.parametrize("names", [("bus", "train"), ("invalid", "valid"), ("dev", "prod")])
def test_classes_may_be_named_like_splits(tmp_path: Path, names: tuple[str, str]) -> None:
    assert read(fill(tmp_path, names)).classes == names


def test_a_class_named_train_may_have_folders(tmp_path: Path) -> None:
    fill(tmp_path / "train", ("steam", "electric"))
    fill(tmp_path, ("bus",))
    with pytest.raises(ValueError, match="beside bus"):
        read(tmp_path)
    paint(tmp_path / "train" / "one.png")  # pictures of its own: a class
    assert read(tmp_path).classes == ("bus", "train")


@pytest.mark.parametrize("outer", [("fold1", "fold2"), ("cat", "dog")])
def test_the_same_folders_in_each_class_are_noted(tmp_path: Path, outer: tuple[str, str]) -> None:
    for name in outer:
        fill(tmp_path / name, ("train", "test"))
    images = read(tmp_path)
    assert images.classes == outer
    assert any("each of which holds the folders test, train" in note for note in images.notes)


# Depth


@pytest.mark.parametrize("shells", [("archive",), ("archive", "pictures of chests")])
def test_a_folder_around_the_folder(tmp_path: Path, shells: tuple[str, ...]) -> None:
    inner = fill(tmp_path.joinpath(*shells))
    images = read(tmp_path)
    assert images.classes == ("cat", "dog")
    assert images.notes[1] == f"read {inner}, the one folder in {tmp_path}"
    assert images.fingerprint == read(inner).fingerprint


def test_a_folder_around_splits_and_in_them(tmp_path: Path) -> None:
    for split in ("train", "test"):
        fill(tmp_path / "archive" / split / "pictures")
    images = read(tmp_path)
    assert images.classes == ("cat", "dog")
    assert len(images.test) == 12


def test_pictures_deeper_below_their_class(tmp_path: Path) -> None:
    fill(tmp_path)
    paint(tmp_path / "cat" / "indoors" / "old" / "x.png")
    assert sum(counts(read(tmp_path))) == 13


@pytest.mark.parametrize("junk", ["@eaDir", "@EADIR", ".thumbnails", "__MACOSX", "$RECYCLE.BIN"])
def test_thumbnails_and_the_like(tmp_path: Path, junk: str) -> None:
    fill(tmp_path)
    paint(tmp_path / "cat" / junk / "0.png")
    paint(tmp_path / "dog" / "old" / junk / "SYNOPHOTO" / "0.png")
    paint(tmp_path / junk / "1.png")
    assert sum(counts(read(tmp_path))) == 12


# Links


def test_links(tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    for i in range(6):
        paint(elsewhere / f"{i}.png")
    home = fill(tmp_path / "home")
    (home / "cow").symlink_to(elsewhere)  # a class folder: read
    (home / "cat" / "more").symlink_to(elsewhere)  # deeper: not read
    (home / "cat" / "loop").symlink_to(home)
    (home / "dog" / "one.png").symlink_to(elsewhere / "0.png")  # a file: read
    (home / "dog" / "gone.png").symlink_to(elsewhere / "none.png")
    images = read(home)
    assert images.classes == ("cat", "cow", "dog")
    assert sum(counts(images)) == 12 + 6 + 1
    for note in (
        "did not follow links to folders: loop, more; copy the pictures",
        "skipped links that lead nowhere: gone.png",
        "followed 2 links that lead out of the folder: cow, one.png",
    ):
        assert note in images.notes


# Names


def test_a_name_composed_in_one_split_and_decomposed_in_another(tmp_path: Path) -> None:
    names = ("café", "thé", "Ångström")
    forms: dict[str, Form] = {"train": "NFC", "val": "NFKD", "test": "NFD"}
    for split, form in forms.items():
        fill(tmp_path / split, tuple(unicodedata.normalize(form, name) for name in names))
    images = read(tmp_path)
    assert images.classes == tuple(sorted(names))
    assert len(images.test) == 18


def test_a_name_both_composed_and_decomposed_in_one_folder(tmp_path: Path) -> None:
    fill(tmp_path, tuple(unicodedata.normalize(form, "café") for form in ("NFC", "NFD")))
    fill(tmp_path, ("thé",))
    images = read(tmp_path)
    assert images.classes == ("café", "thé")
    assert sum(counts(images)) == 18
    assert any(note.startswith("read 2 folders as one class 'café'") for note in images.notes)


def test_names_that_are_no_utf_8_can_be_written(tmp_path: Path) -> None:
    fill(tmp_path)
    raw = os.fsencode(tmp_path)
    os.rename(raw + b"/dog", raw + b"/d\xf6g")
    with open(raw + b"/cat/caf\xe9.png", "wb") as file:
        file.write(b"broken")
    with open(raw + b"/cat/caf\xe9.txt", "wb") as file:
        file.write(b"words")
    with open(raw + b"/caf\xe9.png", "wb") as file:
        file.write(b"loose")
    images = read(tmp_path)
    assert images.classes == ("cat", "d\\xf6g")
    "\n".join((*images.notes, images.name)).encode()  # lone surrogates would raise
    assert sum("caf\\xe9" in note for note in images.notes) == 3


# Pixels


@pytest.mark.parametrize("bits", [8, 9, 10, 12, 14, 15, 16])
@pytest.mark.parametrize("mode", ["I;16", "I;16B"])
def test_16_bit_pictures_keep_the_bits_that_they_fill(
    tmp_path: Path, bits: int, mode: str
) -> None:
    rng = np.random.default_rng(0)
    shown = []
    for name in ("cat", "dog"):
        for i in range(5):
            values = rng.integers(0, 2**bits, (32, 32)).astype("<u2")
            values[0, 0] = 2**bits - 1
            (tmp_path / name).mkdir(exist_ok=True)
            order = ">u2" if mode == "I;16B" else "<u2"
            raw = Image.frombytes(mode, (32, 32), values.astype(order).tobytes())
            raw.save(tmp_path / name / f"{i}.tiff")
            shown.append(values >> (bits - 8))
    images = load_images(tmp_path, size=32)
    found = torch.cat([s.pixels for s in (images.train, images.validation, images.test)])
    rows = {pixels.numpy().tobytes() for pixels in found}
    assert rows == {values.astype(np.uint8).tobytes() for values in shown}
    noted = f"16-bit grey pictures fill {bits} bits: the upper 8 of these were kept"
    assert (noted in images.notes) == (bits < 16)


def test_dark_16_bit_pictures_are_scaled_with_the_others(tmp_path: Path) -> None:
    for name, value in (("cat", 4095), ("dog", 255)):
        for i in range(5):
            (tmp_path / name).mkdir(exist_ok=True)
            Image.fromarray(np.full((9, 9), value - i, np.uint16)).save(
                tmp_path / name / f"{i}.png"
            )
    images = read(tmp_path)
    values = torch.cat([s.pixels for s in (images.train, images.validation, images.test)])
    assert set(values.unique().tolist()) == {255, 15}


def test_16_bit_colour_is_noted(tmp_path: Path) -> None:
    fill(tmp_path)
    values = np.random.default_rng(0).integers(0, 2**16, (9, 9, 3)).astype(">u2")
    rows = b"".join(b"\0" + row.tobytes() for row in values)
    (tmp_path / "cat" / "deep.png").write_bytes(png(9, 9, bits=16, colour=2, rows=rows))
    assert "of 1 pictures in 16-bit colour the upper 8 bits were kept" in read(tmp_path).notes


def png(width: int, height: int, bits: int, colour: int, rows: bytes) -> bytes:
    """A PNG, by the standard: Pillow writes no 16-bit colour."""
    import struct
    import zlib

    def chunk(kind: bytes, data: bytes) -> bytes:
        check = zlib.crc32(kind + data)
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", check)

    header = struct.pack(">IIBBBBB", width, height, bits, colour, 0, 0, 0)
    body = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + body


def test_huge_pictures_are_read_one_at_a_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(tmp_path)
    before = read(tmp_path)
    monkeypatch.setenv("UNTRAINED_CACHE", "")  # decode again
    monkeypatch.setattr(picture, "HUGE", 80)

    class Watched:
        inside = most = 0

        def __enter__(self) -> None:
            self.inside += 1
            self.most = max(self.most, self.inside)
            lock.acquire()

        def __exit__(self, *_: object) -> None:
            lock.release()
            self.inside -= 1

    lock, watched = picture.ALONE, Watched()
    monkeypatch.setattr(picture, "ALONE", watched)
    assert read(tmp_path).fingerprint == before.fingerprint
    assert watched.most >= 1


def test_a_picture_larger_than_pillow_takes_is_left_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(tmp_path)
    Image.new("RGB", (90, 90)).save(tmp_path / "cat" / "large.png")
    Image.new("RGB", (60, 60)).save(tmp_path / "cat" / "warned.png")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 3000)
    images = read(tmp_path)
    assert sum(counts(images)) == 13
    assert any("large.png" in note and "8100 pixels" in note for note in images.notes)


# Pictures that occur more than once


def test_a_picture_in_two_classes_is_reported(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    fill(tmp_path)
    (tmp_path / "dog" / "copy.png").write_bytes((tmp_path / "cat" / "3.png").read_bytes())
    images = read(tmp_path)
    said = "1 picture occurs in two classes or more (cat and dog): cat/3.png = dog/copy.png"
    assert any(note.startswith(said) for note in images.notes)
    assert said in caplog.text


def test_a_picture_in_two_splits_is_reported(tmp_path: Path) -> None:
    for split in ("train", "test"):
        fill(tmp_path / split)
    Image.open(tmp_path / "train" / "cat" / "3.png").save(tmp_path / "test" / "cat" / "x.bmp")
    images = read(tmp_path)
    for part in ("1 picture occurs in two splits or more", "train/cat/3.png = test/cat/x.bmp"):
        assert any(part in note for note in images.notes)


def test_an_image_of_an_array_in_two_classes_and_splits(tmp_path: Path) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (40, 8, 8, 3), dtype=np.uint8)
    pixels[1] = pixels[0]
    np.savez(
        tmp_path / "set.npz",
        x_train=pixels,
        y_train=np.arange(40) % 2,
        x_test=pixels[:3],
        y_test=np.arange(3) % 2,
        class_names=["a", "b"],
    )
    notes = load_images(tmp_path / "set.npz").notes
    assert notes[0].startswith("1 picture occurs in two classes or more (a and b): one of a; ")
    assert notes[1].startswith("2 pictures occur in two splits or more")


def test_nothing_is_reported_where_nothing_repeats() -> None:
    assert load_images("digits").notes == ()
