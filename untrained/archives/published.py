"""Image sets that can be fetched by name, and where their authors publish them.

The checksums, which tell damage, are those that torchvision compares with.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from untrained.downloads import PublishedFile


@dataclass(frozen=True)
class ImageSet:
    """An image set with a name that results and documentation use."""

    holds: str
    "In a few words."
    source: str
    "The page that publishes it."
    shape: tuple[int, int, int]
    "Height, width and channels of its images."
    classes: int
    "How many there are."
    files: tuple[PublishedFile, ...] = ()
    "Empty where nothing can be fetched."
    bytes: int = 0
    "Of all files, roughly."
    names: tuple[str, ...] = ()
    "Of its classes, where the files have none."


def _files(base: str, checksums: Mapping[str, str]) -> tuple[PublishedFile, ...]:
    return tuple(PublishedFile(f"{base}/{name}", f"md5:{sum}") for name, sum in checksums.items())


def _idx(base: str, *checksums: str) -> tuple[PublishedFile, ...]:
    """The four files of a set in the format of MNIST."""
    parts = ("train-images-idx3", "train-labels-idx1", "t10k-images-idx3", "t10k-labels-idx1")
    names = (f"{part}-ubyte.gz" for part in parts)
    return _files(base, dict(zip(names, checksums, strict=True)))


CIFAR = "https://www.cs.toronto.edu/~kriz"
SVHN = "http://ufldl.stanford.edu/housenumbers"
FASHION = "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com"
PUBLISHED = {
    "cifar10": ImageSet(
        "CIFAR-10",
        f"{CIFAR}/cifar.html",
        (32, 32, 3),
        10,
        _files(CIFAR, {"cifar-10-python.tar.gz": "c58f30108f718f92721af3b95e74349a"}),
        170_000_000,
    ),
    "cifar100": ImageSet(
        "CIFAR-100",
        f"{CIFAR}/cifar.html",
        (32, 32, 3),
        100,
        _files(CIFAR, {"cifar-100-python.tar.gz": "eb9058c3a382ffc7106e4002c42a8d85"}),
        169_000_000,
    ),
    "mnist": ImageSet(
        "MNIST, 28 x 28 handwritten digits",
        "http://yann.lecun.com/exdb/mnist/",
        (28, 28, 1),
        10,
        _idx(
            "https://ossci-datasets.s3.amazonaws.com/mnist",
            "f68b3c2dcbeaaa9fbdd348bbdeb94873",
            "d53e105ee54ea40749a09fcbcd1e9432",
            "9fb629c4189551a2d022fa330f9573f3",
            "ec29112dd5afa0611ce80d1b7f02629c",
        ),
        12_000_000,
    ),
    "fashion-mnist": ImageSet(
        "Fashion-MNIST, 28 x 28 grey articles of clothing",
        "https://github.com/zalandoresearch/fashion-mnist",
        (28, 28, 1),
        10,
        _idx(
            FASHION,
            "8d4fb7e6c68d591d4c3dfef9ec88bf0d",
            "25c81989df183df01b3e8a0aad5dffbe",
            "bef4ecab320f06d8554ea6380940ec79",
            "bb300cfdad3c16e7a12a480ee83cd310",
        ),
        31_000_000,
        ("T-shirt/top", "Trouser", "Pullover", "Dress", "Coat",
         "Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot"),
    ),
    "svhn": ImageSet(
        "SVHN, 32 x 32 house numbers",
        f"{SVHN}/",
        (32, 32, 3),
        10,
        _files(SVHN, {"train_32x32.mat": "e26dedcc434d2e4c54c9b2d4a06d8373",
                      "test_32x32.mat": "eb5a983be6a315427106f1b164d9cef3"}),
        246_000_000,
    ),
    "tinyimagenet32": ImageSet(
        "Tiny-ImageNet, 32 x 32",
        "http://cs231n.stanford.edu/tiny-imagenet-200.zip",
        (32, 32, 3),
        200,
    ),
}  # fmt: skip
"By name."
