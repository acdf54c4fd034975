"""The contract of a score."""

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from math import isfinite
from typing import Any, ClassVar, Literal, NamedTuple

import torch
from torch import nn

from untrained.images.probe import Probe, ProbeSpec


class Bound(NamedTuple):
    """What a measurement ran out of, and how much of it there was; with more it is asked again."""

    kind: Literal["memory", "seconds"]
    "Bytes of the machine or device, or seconds of the time limit."
    amount: float


class Reading(NamedTuple):
    """One number that one score gave on one draw, or the reason why it gave none."""

    value: float | None
    "None if the score failed; never NaN, never a stand-in such as 1e5."
    reason: str = ""
    "Why there is no value; empty if there is one."
    bound: Bound | None = None
    "Set by a run, not by a score, where the reason is this machine or the time limit."


def finite(value: float) -> Reading:
    """The value as a reading; NaN and infinity become a reason.

    Example:
        >>> finite(2.5), finite(float("nan"))  # doctest: +ELLIPSIS
        (Reading(value=2.5, reason='', bound=None), Reading(value=None, reason='the score is nan...
    """
    if isfinite(value):
        return Reading(value)
    return Reading(None, f"the score is {value}: a pass through the network overflowed")


@dataclass(frozen=True)
class Score(ABC):
    """A frozen value, called on a network, a probe and a generator.

    The network arrives in training mode, as it was built, or in evaluation mode after short
    training; with gradients required and none computed. A score that needs a mode sets it.

    What a score computes must not depend on which scores came before it, so a run puts back what
    a call has changed: buffers (those that BatchNorm moves in training mode too), `training`
    flags, gradients, hooks and other attributes of the network; random state, settings of torch,
    NumPy and Python, working folder, environment and standard streams, of which the output goes
    to the error stream. The global random state is seeded before each call, by the draw.

    Parameters and submodules are not a score's to change: a call that leaves them with other
    values or replaced is a failure, even if it gave a number; work on `copy.deepcopy(network)`.
    So is one that raises, gives anything but a `Reading`, ends its process or exceeds the run's
    time limit. The search continues, and the reason is kept.
    """

    higher_is_better: ClassVar[bool]
    meaning: ClassVar[str] = ""
    "What it measures, in a sentence for people; reports say the direction beside it."
    unit: ClassVar[str] = ""
    "Of its value; empty for a plain number."
    network: ClassVar[Literal["full", "narrow", "small", "thin"]] = "full"
    """The named scale of a space at which an architecture is scored unless a run says otherwise
    (`scale`). `full` is the network that is trained; the others are cheaper, and may rank
    otherwise."""
    probe: ClassVar[ProbeSpec] = ProbeSpec()
    "The probe it is shown unless a run says otherwise."
    of_function: ClassVar[bool] = True
    """Whether a run measures the canonical cell for all that compute the same function. Called on
    another of these, a score may still give another number: operations that lead nowhere have
    weights, units and feature maps too."""
    weights: ClassVar[str | None] = "torch_default"
    """The weight draw it is shown unless a run says otherwise. None where weights and images do
    not matter but by their sizes: none are drawn, and one measurement stands for every draw."""
    is_sum: ClassVar[bool] = False
    """Whether it is a sum over the network's modules, each of which counts by itself. If so, and
    `weights` is None, a run may add it up from other networks; see `Space.terms`."""
    epochs: ClassVar[int] = 0
    "Epochs of training that the network has had when it is shown, unless a run says otherwise."
    recipe: ClassVar[str] = "short"
    "The named recipe of that training."
    of_machine: ClassVar[bool] = False
    "Whether it measures the machine, such as seconds, so that equal calls give other values."
    is_count: ClassVar[bool] = False
    "Whether it counts something, so that a value is shown as a whole number."

    is_size: ClassVar[bool] = False
    """Whether it measures what a network costs, such as parameters or bytes: a limit, an axis that
    a Pareto front keeps low, and a baseline that other scores must beat, of which more is better
    by itself only in that last part."""

    def aiming(self, largest: Callable[[], float]) -> "Score":
        """Itself as a run asks it: at which size it aims, where it does and nothing was said.

        Args:
            largest: gives the number of trainable parameters of the largest of some random
                architectures of the space, at the scale that the score is shown.
        """
        return self

    @abstractmethod
    def __call__(self, network: nn.Module, probe: Probe, generator: torch.Generator) -> Reading:
        """The score of `network` on `probe`; `generator` feeds any randomness of its own."""


@dataclass(frozen=True)
class View(ABC):
    """Something costly to compute, such as a kernel, which several scores read a number off."""

    @abstractmethod
    def __call__(self, network: nn.Module, probe: Probe, generator: torch.Generator) -> Any:
        """What is seen; equal views of equal arguments see equal things."""


@dataclass(frozen=True)
class ViewScore(Score):
    """A score that is read off a view; scores with equal views of a network share what is seen."""

    @property
    @abstractmethod
    def view(self) -> View:
        """What it is read off."""

    @abstractmethod
    def of(self, seen: Any, probe: Probe) -> Reading:
        """The number that is read off what the view saw."""

    def __call__(self, network: nn.Module, probe: Probe, generator: torch.Generator) -> Reading:
        return self.of(self.view(network, probe, generator), probe)
