"""The contract of a score."""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, NamedTuple

import torch
from torch import nn

from untrained.images.probe import Probe, ProbeSpec


class Reading(NamedTuple):
    """One number that one score gave on one draw, or the reason why it gave none."""

    value: float | None
    "None if the score failed; never NaN, never a stand-in such as 1e5."
    reason: str = ""
    "Why there is no value; empty if there is one."


@dataclass(frozen=True)
class Score(ABC):
    """A frozen value, called on a network, a probe and a generator.

    A score leaves the network as it was: parameters, buffers, `training` flags, hooks, and the
    global random state.
    """

    higher_is_better: ClassVar[bool]
    network: ClassVar[Literal["full", "narrow", "small", "thin"]] = "full"
    "At which of a space's named scales the score looks at an architecture."
    probe: ClassVar[ProbeSpec] = ProbeSpec()
    "The probe it is shown unless a run says otherwise."
    of_function: ClassVar[bool] = True
    "Whether cells that compute the same function score equal, so that one is measured for all."
    weights: ClassVar[str] = "torch_default"
    "The weight draw it is shown unless a run says otherwise."
    epochs: ClassVar[int] = 0
    "Epochs of training that the network has had when it is shown, unless a run says otherwise."
    recipe: ClassVar[str] = "brief"
    "The named recipe of that training."
    is_count: ClassVar[bool] = False
    "Whether it counts something, so that a value is shown as a whole number."

    @abstractmethod
    def __call__(self, network: nn.Module, probe: Probe, generator: torch.Generator) -> Reading:
        """The score of `network` on `probe`; `generator` feeds any randomness of its own."""


@dataclass(frozen=True)
class View(ABC):
    """Something costly to look at, such as a kernel, which several scores read a number off."""

    @abstractmethod
    def __call__(self, network: nn.Module, probe: Probe, generator: torch.Generator) -> Any:
        """What is seen; equal views of equal arguments see equal things."""


@dataclass(frozen=True)
class ViewScore(Score):
    """A score that is read off a view; scores with equal views of a network share what is seen."""

    @property
    @abstractmethod
    def view(self) -> View:
        """What it looks at."""

    @abstractmethod
    def of(self, seen: Any, probe: Probe) -> Reading:
        """The number that is read off what the view saw."""

    def __call__(self, network: nn.Module, probe: Probe, generator: torch.Generator) -> Reading:
        return self.of(self.view(network, probe, generator), probe)
