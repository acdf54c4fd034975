"""Images given as objects: arrays, tensors, data sets of torch and of Hugging Face, by splits."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from test_archives import assert_equal, drawn
from test_images import complain
from torch.utils.data import ConcatDataset, DataLoader, Dataset, Subset, TensorDataset

from untrained.images import load_images

ARRAYS = drawn(4, (9, 9, 3))


class Pictures(Dataset[tuple[Any, Any]]):
    """As torchvision's data sets: an image and a label by index, and class names."""

    classes = ("ant", "bee", "cow", "dog")

    def __init__(self, split: str, transform: Any = Image.fromarray, label: Any = int):
        self.x, self.y = ARRAYS[f"x_{split}"], ARRAYS[f"y_{split}"]
        self.transform, self.label = transform, label

    def __len__(self) -> int:
        return len(self.y)

    def __getitem__(self, place: int) -> tuple[Any, Any]:
        return self.transform(self.x[place]), self.label(self.y[place])


class Feature:
    """Of a column of Hugging Face: its class is asked for by name."""

    def __init__(self, dtype: str = "", names: list[str] | None = None):
        self.dtype = dtype
        if names is not None:
            self.names = names


Picture = type("Image", (Feature,), {})
ClassLabel = type("ClassLabel", (Feature,), {})


class Rows:
    """As a data set of Hugging Face: rows by index, and what each column is."""

    def __init__(self, split: str, features: dict[str, Feature]):
        self.split, self.features = split, features

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns."""
        return len(self), len(self.features)

    def __len__(self) -> int:
        return len(ARRAYS[f"y_{self.split}"])

    def __getitem__(self, place: int) -> dict[str, Any]:
        image = Image.fromarray(ARRAYS[f"x_{self.split}"][place])
        label = int(ARRAYS[f"y_{self.split}"][place])
        return {name: image if type(each).__name__ == "Image" else label
                for name, each in self.features.items()}  # fmt: skip


FEATURES = {"image": Picture(), "label": ClassLabel("int64", [*Pictures.classes])}


def chw(image: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(image.copy()).permute(2, 0, 1)


@pytest.mark.parametrize(
    "transform",
    [Image.fromarray, np.asarray, chw, lambda x: chw(x).float() / 255, lambda x: x / 255],
    ids=["picture", "array", "tensor", "floats", "float array"],
)
@pytest.mark.parametrize("label", [int, torch.tensor, np.int64], ids=["int", "tensor", "numpy"])
def test_data_sets_of_torch(transform: Any, label: Any) -> None:
    given = {split: Pictures(split, transform, label) for split in ("train", "test")}
    images = load_images(given)
    assert_equal(images, ARRAYS)
    assert images.classes == Pictures.classes
    scaled = "values from 0 to 1 became 0 to 255"
    pixel = transform(ARRAYS["x_test"][0])
    assert images.notes == ((scaled,) if "float" in str(getattr(pixel, "dtype", "")) else ())


def test_subsets_tensors_lists_and_pairs() -> None:
    whole = Pictures("train")
    some = Subset(whole, range(35))
    assert load_images({"train": some, "test": whole, "dev": whole}).classes == whole.classes
    x, y = (
        torch.stack([chw(image) for image in ARRAYS["x_train"]]),
        torch.tensor(ARRAYS["y_train"]),
    )
    alone = [
        whole,
        [whole[k] for k in range(40)],
        ConcatDataset([Subset(whole, range(20)), Subset(whole, range(20, 40))]),
        TensorDataset(x, y),
        (x, y),
        (ARRAYS["x_train"], ARRAYS["y_train"]),
        [ARRAYS["x_train"], ARRAYS["y_train"].tolist()],
    ]
    found = [load_images(given) for given in alone]
    pixels = [sorted(map(bytes, images.train.pixels.numpy())) for images in found]
    assert all(each == pixels[0] for each in pixels)
    assert {len(images.test) for images in found} == {8}


def test_data_sets_of_hugging_face() -> None:
    images = load_images({"train": Rows("train", FEATURES), "test": Rows("test", FEATURES)})
    assert_equal(images, ARRAYS)
    assert images.classes == Pictures.classes
    fine = FEATURES | {"fine_label": ClassLabel("int64", [*"abcd"]), "coarse": Feature("int64")}
    del fine["label"]
    assert load_images(Rows("train", fine)).classes == (*"abcd",)


def test_splits_by_their_names() -> None:
    arrays = {"train": Pictures("train"), "val": Pictures("test"), "testing": Pictures("test")}
    images = load_images(arrays)
    assert [*map(len, (images.train, images.validation, images.test))] == [40, 8, 8]
    splits = {"train": "train", "validation": "test", "test": "test"}
    given = {f"{kind}_{a}": ARRAYS[f"{kind}_{b}"] for kind in "xy" for a, b in splits.items()}
    assert load_images(given).fingerprint != images.fingerprint  # these have no class names
    assert len(load_images(given).validation) == 8


def test_pictures_of_many_sizes_and_kinds() -> None:
    rng = np.random.default_rng(0)
    colours = rng.integers(0, 256, (12, 30, 40, 3), np.uint8)
    given: list[Any] = [(Image.fromarray(each), "ab"[k % 2]) for k, each in enumerate(colours)]
    given[3] = (Image.new("L", (50, 33), 7), "b")
    assert "got 30 x 40 x 3 and 33 x 50 x 3; give size=32" in complain(given)
    images = load_images(given, size=16)
    assert (images.shape, images.classes) == ((3, 16, 16), ("a", "b"))
    assert images.notes == ("centre square of each image resized to 16 x 16",)


class Streamed:
    """As Hugging Face's streamed data sets."""

    features = FEATURES

    def __iter__(self) -> Iterator[dict[str, Any]]:
        return iter(())


@pytest.mark.parametrize(
    ("given", "part"),
    [
        (None, "got one of type NoneType"),
        (7, "got one of type int"),
        (b"bytes", "got one of type bytes"),
        (ARRAYS["x_train"], "got one of type ndarray"),
        (torch.zeros(4, 3, 9, 9), "got one of type Tensor"),
        (Streamed(), "got one of type Streamed"),
        (DataLoader(Pictures("train")), "got one of type DataLoader; give its .dataset"),
        ([], "got none"),
        ([1, 2, 3], "got item 0 of type int"),
        ([(chw(ARRAYS["x_train"][0]), 1.5)], "whole number or text as label, got 1.5 of item 0"),
        ([(chw(ARRAYS["x_train"][0]).float(), 1)], "got item 0 of float32 from 0 to 255"),
        ([(torch.randn(3, 9, 9), 1)], "leave a normalisation out"),
        ([(np.full((9, 9), np.nan), 1)], "of float64 from nan to nan"),
        ([("cat.png", 1)], "got item 0 of <U7 and shape ()"),
        ([(Image.new("I;16", (9, 9)), 1)], "pictures of 8 bits, got item 0 of mode I;16"),
        ([(np.zeros((9, 9), np.uint8), 1), (np.zeros((9, 9), np.uint8), "a")], "got both"),
        ({"test": Pictures("test")}, "a data set for training in what was given, got test alone"),
        ({"train": Pictures("train"), "extra": Pictures("test")}, "lacks x_train and y_train"),
        ({"train": Pictures("train"), "test": None}, "got one of type NoneType"),
        ({}, "lacks x_train and y_train"),
        (Rows("train", {"image": Picture()}), "one column of labels, got image"),
        (Rows("train", {"label": Feature("int64")}), "one column of Image, got label"),
        (Rows("train", {"a": Picture(), "b": Picture(), "label": Feature("int64")}), "got a, b"),
    ],
)  # fmt: skip
def test_what_is_something_else(given: Any, part: str) -> None:
    said = complain(given)
    assert said.startswith("expected ")
    assert part in said, said
