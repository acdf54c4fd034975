"""Sources, splits, statistics and errors of the images subpackage."""

import itertools
import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from untrained.data import data_folder
from untrained.images import Images, Labelled, load_images
from untrained.images.description import channel_statistics

CIFAR10 = data_folder() / "images" / "cifar10.npz"


def rows_of(split: Labelled) -> list[bytes]:
    return [image.numpy().tobytes() for image in split.pixels]


def random_arrays(count: int = 60, classes: int = 3, **changes: Any) -> dict[str, Any]:
    """Arrays of a valid .npz, of distinct colour images, with some replaced or left out."""
    rng = np.random.default_rng(0)
    arrays = {
        "x_train": rng.integers(0, 256, (count, 8, 8, 3), dtype=np.uint8),
        "y_train": np.arange(count) % classes,
    }
    merged = {**arrays, **changes}
    return {key: value for key, value in merged.items() if value is not None}


def save(folder: Path, **changes: Any) -> Path:
    np.savez(folder / "set.npz", **random_arrays(**changes))
    return folder / "set.npz"


def complain(source: Any, kind: type[Exception] = ValueError, **options: int) -> str:
    """Return the error of a load that must fail, which is one line."""
    with pytest.raises(kind) as caught:
        load_images(source, **options)
    assert type(caught.value) is kind
    assert "\n" not in str(caught.value)
    return str(caught.value)


# Digits, splits, statistics


def test_digits_are_the_default() -> None:
    images = load_images()
    assert images.name == "digits"
    assert images.shape == (1, 8, 8)
    assert images.classes == tuple("0123456789")
    assert len(images.train) + len(images.validation) + len(images.test) == 1797
    assert images.train.pixels.dtype == torch.uint8
    assert (images.train.pixels.min().item(), images.train.pixels.max().item()) == (0, 255)


def test_digits_resize() -> None:
    images = load_images("digits", size=12)
    assert images.shape == (1, 12, 12)
    assert images.notes == ("centre square of 8 x 8 images resized to 12 x 12",)


@pytest.mark.parametrize("options", [{"size": 0}, {"seed": -1}])
def test_options_out_of_range(options: dict[str, Any]) -> None:
    assert "got " in complain("digits", **options)


def test_splits_are_disjoint_complete_and_stratified(tmp_path: Path) -> None:
    path = save(tmp_path, count=210, y_train=np.repeat([0, 1, 2], [10, 50, 150]))
    images = load_images(path)
    splits = (images.train, images.validation, images.test)
    rows = list(itertools.chain.from_iterable(map(rows_of, splits)))
    assert len(set(rows)) == len(rows) == 210
    assert images.test.labels.bincount().tolist() == [2, 10, 30]
    assert images.validation.labels.bincount().tolist() == [1, 8, 24]


def test_every_class_is_in_every_split_of_five_images(tmp_path: Path) -> None:
    images = load_images(save(tmp_path, count=15))
    for split in (images.train, images.validation, images.test):
        assert set(split.labels.tolist()) == {0, 1, 2}


def test_images_keep_their_labels(tmp_path: Path) -> None:
    arrays = random_arrays()
    images = load_images(save(tmp_path))
    rows = [image.transpose(2, 0, 1).tobytes() for image in arrays["x_train"]]
    known = dict(zip(rows, arrays["y_train"], strict=True))
    for split in (images.train, images.validation, images.test):
        assert [known[row] for row in rows_of(split)] == split.labels.tolist()


def test_seed_decides_splits_and_fingerprint(tmp_path: Path) -> None:
    path = save(tmp_path)
    first, same, other = (load_images(path, seed=seed) for seed in (0, 0, 1))
    assert torch.equal(first.train.pixels, same.train.pixels)
    assert first.fingerprint == same.fingerprint != other.fingerprint
    assert len(first.fingerprint) == 16
    assert not torch.equal(first.test.pixels, other.test.pixels)


def test_fingerprint_sees_pixels_labels_and_names(tmp_path: Path) -> None:
    pixels, labels = random_arrays()["x_train"].copy(), np.arange(60) % 3
    pixels[7, 0, 0, 0] ^= 1
    changes: tuple[dict[str, Any], ...] = (
        {},
        {"x_train": pixels},
        {"y_train": np.roll(labels, 1)},
        {"class_names": ["a", "b", "c"]},
    )
    assert len({load_images(save(tmp_path, **change)).fingerprint for change in changes}) == 4


def test_given_test_split_is_kept(tmp_path: Path) -> None:
    extra = random_arrays(count=9)
    images = load_images(save(tmp_path, x_test=extra["x_train"] // 2, y_test=extra["y_train"]))
    assert len(images.test) == 9
    assert (images.test.pixels.permute(0, 2, 3, 1).numpy() == extra["x_train"] // 2).all()
    assert (len(images.train), len(images.validation)) == (48, 12)


def test_validation_is_at_most_5000(tmp_path: Path) -> None:
    pixels = np.zeros((30_000, 1, 1), dtype=np.uint8)
    test = {"x_test": pixels[:10], "y_test": np.arange(10) % 3}
    images = load_images(save(tmp_path, count=30_000, x_train=pixels, **test))
    assert len(images.train) + len(images.validation) == 30_000
    assert images.validation.labels.bincount().tolist() == [5_000 // 3] * 3


def test_statistics_are_numpys(tmp_path: Path) -> None:
    images = load_images(save(tmp_path))
    scaled = images.train.pixels.numpy().astype(np.float64) / 255
    np.testing.assert_allclose(images.mean, scaled.mean((0, 2, 3)), rtol=1e-6)
    np.testing.assert_allclose(images.std, scaled.std((0, 2, 3)), rtol=1e-6)
    shown = images.normalise(images.train.pixels)
    assert shown.mean().abs() < 1e-5
    assert (shown.std() - 1).abs() < 1e-3


def test_constant_channel_is_not_divided_by_zero() -> None:
    pixels = torch.full((4, 1, 2, 2), 9, dtype=torch.uint8)
    assert channel_statistics([pixels])[1].item() == pytest.approx(1 / 255)


def test_loading_leaves_the_global_random_states(tmp_path: Path) -> None:
    before = torch.get_rng_state(), np.random.get_state(legacy=False)["state"]["key"].copy()  # noqa: NPY002
    load_images(save(tmp_path), size=5)
    assert torch.equal(before[0], torch.get_rng_state())
    assert (before[1] == np.random.get_state(legacy=False)["state"]["key"]).all()  # noqa: NPY002


# Files


def test_npz_without_channels_is_grey(tmp_path: Path) -> None:
    images = load_images(save(tmp_path, x_train=random_arrays()["x_train"][..., 0]))
    assert images.shape == (1, 8, 8)
    assert images.name == "set"


def test_npz_resizes_like_pillow(tmp_path: Path) -> None:
    smooth = np.linspace(0, 255, 24 * 20 * 3).reshape(1, 24, 20, 3).astype(np.uint8)
    pixels = np.concatenate([np.roll(smooth, i, 1) for i in range(15)])
    images = load_images(save(tmp_path, count=15, x_train=pixels), size=10)
    assert images.shape == (3, 10, 10)
    assert images.notes == ("centre square of 24 x 20 images resized to 10 x 10",)
    by_pillow = [
        np.asarray(Image.fromarray(x[2:22]).resize((10, 10), Image.Resampling.BILINEAR))
        for x in pixels
    ]
    for image in images.train.pixels.permute(0, 2, 3, 1).numpy().astype(int):
        assert min(np.abs(image - theirs).max() for theirs in by_pillow) <= 1


def test_npz_without_names_maps_any_labels(tmp_path: Path) -> None:
    images = load_images(save(tmp_path, y_train=np.array([7, 3, 900] * 20)))
    assert images.classes == ("3", "7", "900")
    assert set(images.test.labels.tolist()) == {0, 1, 2}


@pytest.mark.parametrize("names", [np.array(["a", "b", "ç"]), np.array([b"a", b"b", b"\xc3\xa7"])])
def test_npz_names(tmp_path: Path, names: np.ndarray) -> None:
    assert load_images(save(tmp_path, class_names=names)).classes == ("a", "b", "ç")


LABELS = np.arange(60) % 3
PIXELS = random_arrays()["x_train"]
BAD_ARRAYS: dict[str, tuple[dict[str, Any], str]] = {
    "no labels": ({"y_train": None}, "lacks y_train, got x_train"),
    "other keys": ({"x_train": None, "y_train": None, "images": LABELS}, "got images"),
    "half a test": ({"x_test": PIXELS}, "lacks y_test"),
    "flat": ({"x_train": PIXELS.reshape(60, -1)}, r"got shape (60, 192)"),
    "empty": ({"x_train": PIXELS[:0], "y_train": LABELS[:0]}, "no axis empty"),
    "channels first": ({"x_train": PIXELS.transpose(0, 3, 1, 2)}, "x.transpose(0, 2, 3, 1)"),
    "test size": ({"x_test": PIXELS[:, :4], "y_test": LABELS}, "(3, 8, 8) and (3, 4, 8)"),
    "float": ({"x_train": PIXELS / 255}, "got float64; convert them: if they are 0..1, (x * 255)"),
    "int": ({"x_train": PIXELS.astype(int)}, "got int64; convert them: x.astype(np.uint8)"),
    "fewer labels": ({"y_train": LABELS[:50]}, "shape (60,), got shape (50,)"),
    "one-hot": ({"y_train": np.eye(3, dtype=int)[LABELS]}, "got shape (60, 3)"),
    "float labels": ({"y_train": LABELS / 1}, "expected integer labels"),
    "text labels": ({"y_train": LABELS.astype(str)}, "expected integer labels"),
    "negative": ({"y_train": LABELS - 1}, "expected labels of 0 or more"),
    "beyond": ({"class_names": ["a", "b"]}, "2 known classes (0..1), got 2"),
    "unknown in test": ({"x_test": PIXELS, "y_test": LABELS + 1}, "y_test"),
    "names": ({"class_names": [1, 2, 3]}, "expected class_names"),
    "unused name": ({"class_names": list("abcd")}, "'d' has 0"),
    "objects": ({"class_names": np.array(["a", None, 3], dtype=object)}, "pickled"),
    "one class": ({"y_train": LABELS * 0}, "at least two classes, got 1: '0'"),
    "tiny class": ({"y_train": np.repeat([0, 1, 2], [4, 28, 28])}, "5 or more"),
}


@pytest.mark.parametrize("case", BAD_ARRAYS)
def test_bad_arrays(tmp_path: Path, case: str) -> None:
    changes, hint = BAD_ARRAYS[case]
    assert hint in complain(save(tmp_path, **changes))


@pytest.mark.parametrize("case", [case for case in BAD_ARRAYS if case != "objects"])
def test_bad_arrays_in_memory(case: str) -> None:
    changes, hint = BAD_ARRAYS[case]
    assert hint in complain(random_arrays(**changes))


def test_arrays_and_tensors_in_memory_are_those_of_a_file(tmp_path: Path) -> None:
    arrays = random_arrays(x_test=PIXELS, y_test=LABELS, class_names=np.array(["a", "b", "c"]))
    tensors = {
        key: torch.from_numpy(value).permute(0, 3, 1, 2) if key[0] == "x" else value
        for key, value in arrays.items()
    }
    kept = load_images(save(tmp_path, **arrays), size=4, seed=1)
    for given in (arrays, tensors):
        found = load_images(given, size=4, seed=1)
        assert (found.fingerprint, found.classes) == (kept.fingerprint, kept.classes)
    found = load_images(arrays)
    before = found.train.pixels.clone()
    arrays["x_train"][:] = 0  # which are the caller's
    assert torch.equal(found.train.pixels, before)
    assert "unknown setting 'x_val' of images" in complain({**arrays, "x_val": PIXELS})


def test_bad_files(tmp_path: Path) -> None:
    good = save(tmp_path).read_bytes()
    path = tmp_path / "bad.npz"
    damaged = good[:3000] + bytes(100) + good[3100:]
    for content in (b"", b"x,y\n1,2\n", random.Random(0).randbytes(500), good[:9000], damaged):
        path.write_bytes(content)
        assert "bad.npz is unreadable" in complain(path)
    with path.open("wb") as file:
        np.save(file, PIXELS)
    assert "one array only" in complain(path)
    path.with_suffix(".csv").write_text("1,2")
    assert "ending '.csv'" in complain(path.with_suffix(".csv"))


def test_missing_paths(tmp_path: Path) -> None:
    for source in (tmp_path / "cifar10", str(tmp_path / "set.npz"), "nowhere.npz"):
        assert "got nothing at" in complain(source, FileNotFoundError)


def test_names_come_from_the_data_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("UNTRAINED_DATA", str(tmp_path))
    (tmp_path / "images").mkdir()
    save(tmp_path / "images")
    assert load_images("set").name == "set"
    message = complain("sets", FileNotFoundError)
    for part in (
        "did you mean set or shapes?",
        "UNTRAINED_DATA",
        "`digits`",
        "one subfolder",
        ".npz",
    ):
        assert part in message


@pytest.mark.skipif(not CIFAR10.exists(), reason=f"{CIFAR10} is absent")
def test_cifar10() -> None:
    images = load_images("cifar10")
    assert images.shape == (3, 32, 32)
    assert len(images.train) + len(images.validation) == 20_000
    assert (len(images.test), images.classes[:2]) == (5_000, ("airplane", "automobile"))
    np.testing.assert_allclose(images.mean, [0.4914, 0.4822, 0.4465], atol=0.005)
    np.testing.assert_allclose(images.std, [0.2470, 0.2435, 0.2616], atol=0.005)


# Folders


def paint(path: Path, size: tuple[int, int], mode: str, colour: Any, **options: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new(mode, size, colour).save(path, **options)


def fill(folder: Path, names: tuple[str, ...] = ("cat", "dog"), count: int = 6) -> Path:
    """Write `count` colour pictures a class."""
    for level, name in enumerate(names):
        for i in range(count):
            paint(folder / name / f"{i}.png", (40 + i, 50), "RGB", (200, 40 * level, 10 * i))
    return folder


def everything(images: Images) -> torch.Tensor:
    return torch.cat([s.pixels for s in (images.train, images.validation, images.test)])


def test_folder_of_mixed_pictures(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    folder = fill(tmp_path / "my pets")
    paint(folder / "cat" / "deep" / "er" / "x.jpg", (300, 200), "RGB", (0, 0, 250))
    paint(folder / "cat" / "grey.jpeg", (100, 60), "L", 30)
    paint(folder / "dog" / "clear.png", (70, 70), "RGBA", (9, 9, 9, 0))
    paint(folder / "dog" / "clear.gif", (70, 70), "P", 0, transparency=0)
    paint(folder / "dog" / "deep.png", (70, 70), "I;16", 40 * 256 + 7)
    paint(folder / "dog" / "white.png", (70, 70), "I;16", 65535)
    paint(folder / "dog" / ".hidden.png", (70, 70), "RGB", (1, 1, 1))
    noise = np.random.default_rng(0).integers(0, 256, (90, 90, 3), dtype=np.uint8)
    Image.fromarray(noise).save(folder / "dog" / "whole.jpg")
    cut = (folder / "dog" / "whole.jpg").read_bytes()[:2000]
    (folder / "dog" / "cut.jpg").write_bytes(cut)
    (folder / "dog" / "fake.png").write_text("no picture")
    paint(folder / "dog" / "float.tiff", (70, 70), "F", 0.5)
    (folder / "dog" / "readme.txt").write_text("words")

    images = load_images(folder)

    assert (images.name, images.shape) == ("my-pets", (3, 32, 32))
    assert images.classes == ("cat", "dog")
    colours = {tuple(p) for p in everything(images)[:, :, 5, 5].tolist()}
    assert {(255, 255, 255), (30, 30, 30), (40, 40, 40)} <= colours
    assert any(b > 240 and r < 10 for r, g, b in colours)
    assert (1, 1, 1) not in colours
    assert len(everything(images)) == 12 + 2 + 5
    left_out = [note for note in images.notes if note.startswith("left out")]
    names = [Path(note.split(":")[0]).name for note in left_out]
    assert names == ["cut.jpg", "fake.png", "float.tiff"]
    told = [record.getMessage() for record in caplog.records]
    assert [line for line in told if line.startswith("left out")] == left_out
    assert "skipped files of 'dog' that are no pictures: readme.txt" in images.notes
    assert load_images(folder).fingerprint == images.fingerprint


def test_folder_of_grey_pictures_has_one_channel(tmp_path: Path) -> None:
    for name, i in itertools.product(("a", "b"), range(5)):
        paint(tmp_path / name / f"{i}.jpg", (40, 300), "RGB", (9 * i, 9 * i, 9 * i))
        paint(tmp_path / name / f"{i}.png", (40, 40), "LA", (200, 255))
    images = load_images(tmp_path, size=20)
    assert images.shape == (1, 20, 20)
    assert "all pictures are grey: one channel" in images.notes


def test_folder_applies_exif_orientation(tmp_path: Path) -> None:
    fill(tmp_path)
    sideways = Image.new("RGB", (64, 64), "white")
    sideways.paste((0, 0, 0), (0, 0, 32, 64))  # left half black; turned: upper half black
    exif = Image.Exif()
    exif[0x0112] = 6
    sideways.save(tmp_path / "cat" / "a.png", exif=exif)
    pixels = everything(load_images(tmp_path)).float().mean(1)
    upper, lower = pixels[:, :15].amax((1, 2)), pixels[:, 17:].amin((1, 2))  # smooth between
    assert ((upper < 2) & (lower > 253)).sum() == 1


def test_folder_cuts_the_centre_square(tmp_path: Path) -> None:
    fill(tmp_path)
    wide = Image.new("RGB", (300, 100), "red")
    wide.paste((0, 0, 255), (100, 0, 200, 100))
    wide.save(tmp_path / "cat" / "wide.png")
    blue = torch.tensor([0, 0, 255], dtype=torch.uint8)[:, None, None]
    inner = everything(load_images(tmp_path))[..., 1:-1]  # red smoothes into the outermost
    assert (inner == blue).flatten(1).all(1).sum() == 1


def test_photographs_shrink_like_other_pictures(tmp_path: Path) -> None:
    ramp = np.linspace(0, 255, 256).astype(np.uint8)
    picture = Image.fromarray(np.stack(np.broadcast_arrays(ramp, ramp[:, None], ramp[9]), axis=2))
    for ending in ("png", "jpg"):
        fill(tmp_path / ending)
        picture.save(tmp_path / ending / "cat" / f"ramp.{ending}")
    png, jpg = (everything(load_images(tmp_path / ending)).int() for ending in ("png", "jpg"))
    assert (png[:, None] - jpg[None]).abs().amax((2, 3, 4)).min(1).values.max() <= 8


def test_folder_with_splits(tmp_path: Path) -> None:
    fill(tmp_path / "train")
    fill(tmp_path / "val", count=3)
    fill(tmp_path / "test", names=("dog",), count=2)
    images = load_images(tmp_path)
    assert (len(images.train), len(images.validation), len(images.test)) == (12, 6, 2)
    assert images.test.labels.tolist() == [1, 1]


def test_folder_with_train_and_validation_draws_the_test(tmp_path: Path) -> None:
    fill(tmp_path / "train", count=10)
    fill(tmp_path / "validation", count=3)
    images = load_images(tmp_path)
    assert (len(images.train), len(images.validation), len(images.test)) == (16, 6, 4)


def test_a_class_may_be_named_train(tmp_path: Path) -> None:
    assert load_images(fill(tmp_path, ("bus", "train"))).classes == ("bus", "train")


def test_bad_split_folders(tmp_path: Path) -> None:
    fill(tmp_path / "val")
    assert "got val" in complain(tmp_path)
    fill(tmp_path / "train")
    fill(tmp_path / "valid")
    assert "got train, val, valid" in complain(tmp_path)


def test_test_folder_with_a_new_class(tmp_path: Path) -> None:
    fill(tmp_path / "train")
    fill(tmp_path / "test", names=("cow", "dog"))
    assert "got cow" in complain(tmp_path)


def test_class_folder_without_pictures_is_left_out(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    fill(tmp_path)
    (tmp_path / "cow").mkdir()
    (tmp_path / ".git").mkdir()
    paint(tmp_path / "loose.png", (40, 40), "L", 0)
    images = load_images(tmp_path)
    assert images.classes == ("cat", "dog")
    assert "left out class 'cow'" in caplog.text
    assert any("left out class 'cow'" in note for note in images.notes)
    assert "skipped pictures outside class folders: loose.png" in images.notes


def test_bad_folders(tmp_path: Path) -> None:
    assert "got none" in complain(tmp_path)
    paint(tmp_path / "loose.png", (40, 40), "L", 0)
    assert "got pictures lying in it" in complain(tmp_path)
    (tmp_path / "cat").mkdir()
    assert "expected pictures in the class folders" in complain(tmp_path)
    fill(tmp_path, ("cat",))
    assert "at least two classes, got 1: 'cat'" in complain(tmp_path)
    fill(tmp_path, ("dog",), count=4)
    assert "'dog' has 4" in complain(tmp_path)
