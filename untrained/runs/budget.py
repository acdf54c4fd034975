"""A time budget: the clock, what was planned for it, and what was decided by it."""

import math
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from untrained.runs.duration import written

RESERVE, EXPORTING = 0.1, 10.0
"""Share of a budget that is left for the report and for what takes longer than estimated, and
seconds for the export of a trained network."""
SLOWER = 1.25
"How many times as long a training takes beside others, and with its checkpoints, as when timed."


@dataclass(frozen=True)
class Budget:
    """The clock of a command that has so much time, over all its sessions."""

    seconds: float
    "In all."
    began: float
    "When the clock showed 0, as of `time.perf_counter`; earlier sessions moved it back."

    def spent(self) -> float:
        """Seconds up to now."""
        return time.perf_counter() - self.began


@dataclass(frozen=True)
class Budgeted:
    """What was planned for a time budget before the start, and then decided by the clock.

    Decisions stay, so that a run that is resumed, on a faster or slower machine, repeats them.
    """

    seconds: float
    "The budget."
    evaluation: float
    "Seconds to measure an architecture, the slower of two random ones."
    epoch: float
    "Seconds of an epoch of a training, of the same two; 0 where nothing is trained."
    networks: int
    "Trainings to the end: of the selected architecture, and of what it is compared with."
    lanes: int
    "Networks that are measured or trained at a time."
    most_epochs: int
    "That a training has where the time is enough."
    search_until: float
    "Seconds since the start, from which on the search proposes no more."
    calibration: Mapping[str, Any] | None = None
    "How networks are trained to compare scores, as a `TrainingSpec`; None for no calibration."
    evaluations: int | None = None
    "Architectures that were tried when the search ended; None before."
    stopped: bool = False
    "Whether the search ended for want of time."
    training: Mapping[str, Any] | None = None
    "How networks are trained to the end, as a `TrainingSpec`; None before the search ended."
    paced: bool = False
    "Whether the first epochs of those trainings have confirmed, or corrected, how many fit."
    spent: float | None = None
    "Seconds that the command took, from its first start to the export; None before."

    @property
    def usable(self) -> float:
        """Seconds from the start to the end of the last training."""
        return usable(self.seconds, self.networks)

    @property
    def epochs(self) -> int | None:
        """Of each training to the end; None before the search ended."""
        return None if self.training is None else int(self.training["epochs"])

    def decided(self, config: Mapping[str, Any]) -> dict[str, Any]:
        """A configuration as plain values, with the epochs that were decided on."""
        known = {"training": self.training, "calibration": self.calibration}
        return {**config, **{name: spec for name, spec in known.items() if spec is not None}}

    @property
    def least_epochs(self) -> int:
        """Of each training to the end, by the estimate, if the search takes all of its time."""
        once = SLOWER * self.epoch * math.ceil(self.networks / self.lanes)
        return epochs_within(self.usable - self.search_until, once, self.most_epochs)


def usable(seconds: float, networks: int) -> float:
    """Seconds of a budget without its reserve, if so many networks are trained.

    Example:
        >>> usable(600.0, 0), usable(600.0, 6)
        (540.0, 530.0)
    """
    return (1 - RESERVE) * seconds - (EXPORTING if networks else 0.0)


def budget_for(seconds: float, networks: int) -> float:
    """The budget of which so much is usable.

    Example:
        >>> round(budget_for(530.0, 6), 9)
        600.0
    """
    return (seconds + (EXPORTING if networks else 0.0)) / (1 - RESERVE)


def epochs_within(seconds: float, once: float, most: int) -> int:
    """How many epochs fit into the seconds, where one takes `once`: from 1 to `most`.

    Example:
        >>> [epochs_within(seconds, 25.0, 50) for seconds in (60.0, 10.0, 1e6)]
        [2, 1, 50]
    """
    return min(max(1, int(seconds / once)), most) if once else most


def plan_in_words(plan: Budgeted) -> str:
    """What fits, by the estimate, in a line or two.

    Example:
        >>> plan = Budgeted(900.0, 0.4, 6.0, 6, 2, 50, 270.0)
        >>> print(plan_in_words(plan))  # doctest: +NORMALIZE_WHITESPACE
        Time budget 15m, 2 networks at a time: search until 5m (about 0.4 s an architecture, so
        that some 1,350 fit); then 6 networks, those to compare with among them, are trained for
        some 23 epochs or more, at most 50 (about 6 s an epoch); 100s are kept in reserve.
    """
    parts = []
    if plan.calibration is not None:
        parts.append(f"calibration with {_epochs(int(plan.calibration['epochs']))}")
    count = max(1, math.floor(plan.lanes * plan.search_until / max(plan.evaluation, 1e-6)))
    parts.append(
        f"search until {written(plan.search_until)} (about {plan.evaluation:.2g} s an "
        f"architecture, so that some {count:,} fit)"
    )
    if plan.networks:
        some = "1 network is"
        if plan.networks > 1:
            some = f"{plan.networks} networks, those to compare with among them, are"
        parts.append(
            f"then {some} trained for some {_epochs(plan.least_epochs)} or more, at most "
            f"{plan.most_epochs} (about {plan.epoch:.2g} s an epoch)"
        )
    at_a_time = f", {plan.lanes} networks at a time" if plan.lanes > 1 else ""
    parts.append(f"{written(plan.seconds - plan.usable)} are kept in reserve")
    return f"Time budget {written(plan.seconds)}{at_a_time}: {'; '.join(parts)}."


def _epochs(count: int) -> str:
    return f"{count} epoch{'' if count == 1 else 's'}"
