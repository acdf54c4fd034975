"""Official archives, made small here, read equal to the arrays that they were made of."""

import gzip
import io
import json
import pickle
import tarfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from PIL import Image
from scipy.io import savemat

from untrained.archives.idx import read_idx
from untrained.images import Images, load_images

Arrays = Mapping[str, np.ndarray]
NAMES = {10: [f"class {k}" for k in range(10)], 100: [f"fine {k:02}" for k in range(100)]}


def drawn(classes: int, shape: tuple[int, ...] = (32, 32, 3)) -> dict[str, np.ndarray]:
    """Random images with every class in every split."""
    rng = np.random.default_rng(0)
    counts = {"train": 10 * classes, "test": 2 * classes}
    return {
        f"{kind}_{split}": rng.integers(0, 256, (n, *shape), np.uint8) if kind == "x"
        else rng.permutation(np.arange(n) % classes)
        for split, n in counts.items() for kind in "xy"
    }  # fmt: skip


def assert_equal(images: Images, arrays: Arrays) -> None:
    """The splits hold the arrays' images with their labels, in whatever order."""
    learnt = {"train": (images.train, images.validation), "test": (images.test,)}
    for split, parts in learnt.items():
        x = arrays[f"x_{split}"]
        pixels = x.reshape(*x.shape[:3], -1).transpose(0, 3, 1, 2)
        expected = sorted(zip(map(bytes, pixels), arrays[f"y_{split}"].tolist(), strict=True))
        found = [
            (image.numpy().tobytes(), label)
            for part in parts
            for image, label in zip(part.pixels, part.labels.tolist(), strict=True)
        ]
        assert sorted(found) == expected


# CIFAR


def planes(pixels: np.ndarray) -> np.ndarray:
    """As CIFAR has them."""
    return np.ascontiguousarray(pixels.transpose(0, 3, 1, 2)).reshape(len(pixels), -1)


def python_2(batch: Mapping[str, Any]) -> bytes:
    """The bytes that Python 2's cPickle wrote with protocol 2: text and bytes are one."""
    said = io.BytesIO()
    said.write(b"\x80\x02}(")
    for key, value in batch.items():
        said.write(text_2(key))
        if isinstance(value, np.ndarray):
            n, width = value.shape
            said.write(
                b"cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\x00\x85"
                + text_2("b") + b"\x87R(K\x01J" + n.to_bytes(4, "little")
                + b"J" + width.to_bytes(4, "little") + b"\x86cnumpy\ndtype\n" + text_2("u1")
                + b"K\x00K\x01\x87R(K\x03" + text_2("|") + b"NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xff"
                + b"K\x00tb\x89T" + value.nbytes.to_bytes(4, "little") + value.tobytes() + b"tb"
            )  # fmt: skip
        else:
            each = (text_2(v) if isinstance(v, str) else b"K" + bytes([v]) for v in value)
            said.write(b"](" + b"".join(each) + b"e")
    return said.getvalue() + b"u."


def text_2(text: str) -> bytes:
    return b"U" + bytes([len(text)]) + text.encode()


def cifar_python(
    arrays: Arrays, classes: int, dump: Callable[[Any], bytes] = python_2
) -> dict[str, bytes]:
    """The files of the Python version."""
    key = "labels" if classes == 10 else "fine_labels"

    def batch(pixels: np.ndarray, labels: np.ndarray) -> bytes:
        coarse = {} if classes == 10 else {"coarse_labels": [0] * len(labels)}
        return dump({"data": planes(pixels), key: labels.tolist(), **coarse})

    test = batch(arrays["x_test"], arrays["y_test"])
    names = dump({f"{key[:-1]}_names": NAMES[classes]})
    if classes == 100:
        train = batch(arrays["x_train"], arrays["y_train"])
        return {"meta": names, "train": train, "test": test}
    fifths = np.split(arrays["x_train"], 5), np.split(arrays["y_train"], 5)
    batches = {f"data_batch_{k + 1}": batch(*fifth) for k, fifth in enumerate(zip(*fifths))}  # noqa: B905
    return {"batches.meta": names, **batches, "test_batch": test, "readme.html": b"words"}


def cifar_binary(arrays: Arrays, classes: int) -> dict[str, bytes]:
    """The files of the binary version."""

    def records(pixels: np.ndarray, labels: np.ndarray) -> bytes:
        coarse = [] if classes == 10 else [np.zeros_like(labels)]
        columns = [*(c[:, None] for c in (*coarse, labels)), planes(pixels)]
        return np.concatenate(columns, axis=1).astype(np.uint8).tobytes()

    test = records(arrays["x_test"], arrays["y_test"])
    names = "".join(f"{name.replace(' ', '_')}\n" for name in NAMES[classes]).encode()
    if classes == 100:
        train = records(arrays["x_train"], arrays["y_train"])
        return {"fine_label_names.txt": names, "train.bin": train, "test.bin": test}
    fifths = np.split(arrays["x_train"], 5), np.split(arrays["y_train"], 5)
    batches = {
        f"data_batch_{k + 1}.bin": records(*fifth)
        for k, fifth in enumerate(zip(*fifths))  # noqa: B905
    }
    return {"batches.meta.txt": names, **batches, "test_batch.bin": test}


def packed(path: Path, files: Mapping[str, bytes], folder: str = "") -> Path:
    """A tar archive, compressed as its ending says."""
    kind = "w:gz" if path.name.endswith("gz") else "w"
    with tarfile.open(path, kind) as archive:  # type: ignore[call-overload]
        for name, content in files.items():
            member = tarfile.TarInfo(f"{folder}{name}")
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return path


def unpacked(folder: Path, files: Mapping[str, bytes]) -> Path:
    """The same as files of a folder."""
    folder.mkdir(parents=True)
    for name, content in files.items():
        (folder / name).write_bytes(content)
    return folder


@pytest.mark.parametrize("classes", [10, 100])
@pytest.mark.parametrize("version", [cifar_python, cifar_binary])
def test_cifar_as_archive_and_unpacked(
    version: Callable[[Arrays, int], dict[str, bytes]], classes: int, tmp_path: Path
) -> None:
    arrays = drawn(classes)
    files = version(arrays, classes)
    archive = packed(tmp_path / "cifar-python.tar.gz", files, "cifar-batches-py/")
    folder = unpacked(tmp_path / "data" / "cifar-batches-py", files)
    for source in (archive, folder, folder.parent):
        images = load_images(source)
        assert_equal(images, arrays)
        assert images.name == f"cifar{classes}"
        assert [name.replace("_", " ") for name in images.classes] == NAMES[classes]


def test_cifar_as_python_3_pickles_it(tmp_path: Path) -> None:
    arrays = drawn(10)
    files = cifar_python(arrays, 10, lambda batch: pickle.dumps(batch, 2))
    assert_equal(load_images(unpacked(tmp_path / "py", files)), arrays)


def test_cifar_without_class_names(tmp_path: Path) -> None:
    arrays = drawn(10)
    for version, names in ((cifar_binary, "batches.meta.txt"), (cifar_python, "batches.meta")):
        files = version(arrays, 10)
        del files[names]
        images = load_images(unpacked(tmp_path / names, files))
        assert_equal(images, arrays)
        assert images.classes == tuple("0123456789")


# IDX


def idx(values: np.ndarray) -> bytes:
    """As MNIST's files are."""
    lengths = b"".join(n.to_bytes(4, "big") for n in values.shape)
    return bytes((0, 0, 8, values.ndim)) + lengths + values.astype(np.uint8).tobytes()


def mnist(arrays: Arrays) -> dict[str, bytes]:
    """The four files."""
    return {
        "train-images-idx3-ubyte": idx(arrays["x_train"]),
        "train-labels-idx1-ubyte": idx(arrays["y_train"]),
        "t10k-images-idx3-ubyte": idx(arrays["x_test"]),
        "t10k-labels-idx1-ubyte": idx(arrays["y_test"]),
    }


def test_idx_files_compressed_or_not(tmp_path: Path) -> None:
    arrays = drawn(10, (28, 28))
    files = mnist(arrays)
    zipped = {f"{name}.gz": gzip.compress(content) for name, content in files.items()}
    unpacked(tmp_path / "MNIST" / "raw", files | zipped)  # as torchvision leaves them
    for source in (
        unpacked(tmp_path / "plain", files),
        unpacked(tmp_path / "zipped", zipped),
        tmp_path / "MNIST",
    ):
        images = load_images(source)
        assert_equal(images, arrays)
        assert images.shape == (1, 28, 28)
    assert images.name == "MNIST"


def test_idx_without_a_test_split(tmp_path: Path) -> None:
    train = {name: each for name, each in mnist(drawn(10, (9, 9))).items() if "train" in name}
    assert len(load_images(unpacked(tmp_path / "a", train)).test) == 20


# SVHN


def test_svhn(tmp_path: Path) -> None:
    arrays = drawn(10)
    for split in ("train", "test"):
        y = arrays[f"y_{split}"][:, None]
        content = {"X": arrays[f"x_{split}"].transpose(1, 2, 3, 0), "y": np.where(y == 0, 10, y)}
        savemat(tmp_path / f"{split}_32x32.mat", content, do_compression=split == "train")
    images = load_images(tmp_path)
    assert_equal(images, arrays)
    assert (images.name, images.classes) == ("svhn", tuple("0123456789"))
    assert len(load_images(tmp_path / "train_32x32.mat").test) == 20
    (tmp_path / "extra_32x32.mat").touch()
    assert load_images(tmp_path).notes == ("left out extra_32x32.mat, easier images",)


# Parquet


def png(pixels: np.ndarray) -> bytes:
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    return file.getvalue()


def parquet(
    path: Path, pixels: np.ndarray, labels: Any, names: list[str] | None = None,
    image: str = "image", label: str = "label",
) -> None:  # fmt: skip
    """A shard as Hugging Face writes it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    pictures = [{"bytes": png(each), "path": f"{k}.png"} for k, each in enumerate(pixels)]
    told = (
        {"names": names, "_type": "ClassLabel"} if names else {"dtype": "int64", "_type": "Value"}
    )
    features = {image: {"_type": "Image"}, label: told}
    metadata = {"huggingface": json.dumps({"info": {"features": features}})}
    pl.DataFrame({image: pictures, label: labels}).write_parquet(
        path, metadata=metadata, row_group_size=30
    )


def test_parquet_shards_with_splits_and_names(tmp_path: Path) -> None:
    arrays = drawn(10, (20, 20, 3))
    x, y = arrays["x_train"], arrays["y_train"].tolist()
    parquet(tmp_path / "data" / "train-00000-of-00002.parquet", x[:70], y[:70], NAMES[10])
    parquet(tmp_path / "data" / "train-00001-of-00002.parquet", x[70:], y[70:], NAMES[10])
    parquet(tmp_path / "data" / "test-00000-of-00001.parquet", arrays["x_test"],
            arrays["y_test"].tolist(), NAMES[10])  # fmt: skip
    (tmp_path / "README.md").write_text("words")
    images = load_images(tmp_path)
    assert_equal(images, arrays)
    assert images.classes == tuple(NAMES[10])
    assert images.pixel_file is not None  # mapped, whatever their number
    assert load_images(tmp_path, size=8).shape == (3, 8, 8)


def test_parquet_in_folders_of_splits(tmp_path: Path) -> None:
    """As Hugging Face converts other formats; with a validation split, and names as labels."""
    arrays = drawn(3, (12, 12))
    for split in ("train", "test"):
        names = [NAMES[10][label] for label in arrays[f"y_{split}"]]
        parquet(tmp_path / split / "0000.parquet", arrays[f"x_{split}"], names, image="img")
    parquet(
        tmp_path / "validation" / "0000.parquet", arrays["x_test"][::-1], names[::-1], image="img"
    )
    images = load_images(tmp_path)
    assert (images.classes, images.shape) == (tuple(NAMES[10][:3]), (1, 12, 12))
    assert [*map(len, (images.train, images.validation, images.test))] == [30, 6, 6]
    assert sorted(images.validation.labels.tolist()) == [0, 0, 1, 1, 2, 2]


def test_a_parquet_file_alone_is_for_training(tmp_path: Path) -> None:
    arrays = drawn(3, (12, 12))
    parquet(tmp_path / "all.parquet", arrays["x_train"], arrays["y_train"].tolist(), label="kind")
    images = load_images(tmp_path / "all.parquet")
    assert [*map(len, (images.train, images.validation, images.test))] == [21, 3, 6]


def test_broken_pictures_of_a_shard_are_left_out(tmp_path: Path) -> None:
    arrays = drawn(3, (12, 12))
    pictures: list[dict[str, Any]] = [{"bytes": png(x), "path": None} for x in arrays["x_train"]]
    pictures[4], pictures[7] = {"bytes": b"no picture", "path": None}, {"bytes": None, "path": "x"}
    pl.DataFrame({"image": pictures, "label": arrays["y_train"]}).write_parquet(
        tmp_path / "a.parquet"
    )
    images = load_images(tmp_path / "a.parquet")
    assert sum(map(len, (images.train, images.validation, images.test))) == 28
    told = [note for note in images.notes if note.startswith("left out")]
    assert sorted(told) == [
        "left out a.parquet row 4: cannot identify image file",
        "left out a.parquet row 7: there is no picture",
    ]


# WebDataset


def samples(
    pixels: np.ndarray, labels: np.ndarray, label: Callable[[int], Any]
) -> dict[str, bytes]:
    """The files of a shard."""
    files = {}
    for k, (image, y) in enumerate(zip(pixels, labels.tolist(), strict=True)):
        found = label(y)
        plain = not isinstance(found, dict)
        files[f"{k:04}.{'cls' if plain else 'json'}"] = (
            str(found) if plain else json.dumps(found)
        ).encode()
        files[f"{k:04}.seg.png"] = png(255 - image)  # another picture of the same sample
        files[f"{k:04}.png"] = png(image)
    return files


@pytest.mark.parametrize(
    "label",
    [str, lambda y: f"{y}\n", lambda y: {"label": y, "caption": "x"}, lambda y: {"cls": f"c{y}"}],
    ids=["cls", "line", "json", "name"],
)
def test_webdataset_shards(label: Callable[[int], Any], tmp_path: Path) -> None:
    arrays = drawn(4, (12, 12, 3))
    for split in ("train", "test"):
        halves = [slice(None, None, 2), slice(1, None, 2)]
        for k, half in enumerate(halves):
            x, y = arrays[f"x_{split}"][half], arrays[f"y_{split}"][half]
            packed(tmp_path / f"pets-{split}-{k:06}.tar", samples(x, y, label), "./")
    images = load_images(tmp_path)
    assert_equal(images, arrays)
    assert images.classes in (tuple("0123"), ("c0", "c1", "c2", "c3"))


def test_a_tar_shard_alone_is_for_training(tmp_path: Path) -> None:
    arrays = drawn(4, (12, 12, 3))
    packed(tmp_path / "pets.tar", samples(arrays["x_train"], arrays["y_train"], str))
    assert len(load_images(tmp_path / "pets.tar").test) == 8


def test_archives_among_pictures_are_no_shards(tmp_path: Path) -> None:
    for name in ("cat", "dog"):
        for k in range(5):
            (tmp_path / name).mkdir(exist_ok=True)
            Image.new("RGB", (40, 40), (k, 0, len(name))).save(tmp_path / name / f"{k}.png")
    for place in (tmp_path, tmp_path / "cat"):
        (place / "backup.tar").touch()
        (place / "index.parquet").touch()
    assert load_images(tmp_path).classes == ("cat", "dog")


# What is damaged, foreign or malicious: tests/test_archive_damage.py


def test_an_idx_file_is_read_as_it_is(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(bytes((0, 0, 8, 1, 0, 0, 0, 2, 7, 9)))
    assert read_idx(tmp_path / "a", 1).tolist() == [7, 9]
