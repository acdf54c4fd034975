"""Models as somebody might write them, some of which cannot be ranked."""

from typing import Any

import torch
from torch import Tensor, nn


def convolutional(classes: int, inputs: int, width: int = 4) -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(inputs, width, 3, padding=1), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(),
        nn.Linear(width, classes),
    )  # fmt: skip


def wide(classes: int, inputs: int) -> nn.Module:
    return convolutional(classes, inputs, 12)


class Perceptron(nn.Module):
    def __init__(self, num_classes: int, in_chans: int, img_size: int):
        super().__init__()
        self.body = nn.Sequential(nn.Flatten(), nn.Linear(in_chans * img_size**2, 16), nn.ReLU())
        self.head = nn.Linear(16, num_classes)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.body(x))


READY = nn.Sequential(nn.Flatten(), nn.Linear(64, 10))
NETS = {"small": convolutional, "wide.one": wide, "two words": READY}
LISTED = [convolutional, Perceptron]
EMPTY: dict[str, Any] = {}
NUMBER = 3


def lazy(classes: int) -> nn.Module:
    return nn.Sequential(nn.Flatten(), nn.LazyLinear(classes))


def any_keyword(**others: Any) -> nn.Module:
    return nn.Sequential(nn.Flatten(), nn.Linear(64, others["num_classes"]))


def asks_for_depth(depth: int, classes: int) -> nn.Module:
    return nn.Identity()


def raises(classes: int) -> nn.Module:
    raise KeyError("stem")


def gives_none(classes: int) -> None:
    return None


def of_other_classes() -> nn.Module:
    return nn.Sequential(nn.Flatten(), nn.Linear(64, 7))


def of_another_size(classes: int) -> nn.Module:
    return nn.Sequential(nn.Flatten(), nn.Linear(100, classes))


class _OfTwo(nn.Module):
    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        return x * mask


def of_two_inputs() -> nn.Module:
    return _OfTwo()


class _Pair(nn.Module):
    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        return x, x


class _Asserts(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        torch._assert(len(x) == 3, "")
        return x


def asserts() -> nn.Module:
    return _Asserts()


def gives_pairs() -> nn.Module:
    return _Pair()


def huge(classes: int) -> nn.Module:
    return nn.Sequential(nn.Flatten(), nn.Linear(64, 10**9), nn.Linear(10**9, 10**3))


def overflows(classes: int) -> nn.Module:
    class Overflows(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.head = nn.Linear(64, classes)

        def forward(self, x: Tensor) -> Tensor:
            return self.head(x.flatten(1)) * torch.tensor(float("inf"))

    return Overflows()
