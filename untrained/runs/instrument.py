"""An instrument: a score with the network scale, weight draw, training and probe it is shown."""

import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, replace
from types import MappingProxyType
from typing import Any, NamedTuple

from untrained.images import Images
from untrained.images.probe import ProbeSpec, check_spec
from untrained.networks.weights import check_weights
from untrained.runs.config import ResolvedConfig
from untrained.runs.schooling import SCHOOLING, Schooling, take_schooling
from untrained.scores import Score, get_score
from untrained.settings import Setting, changed, check_known, counted, typed
from untrained.spaces import CellScale, Scale, Space


class Look(NamedTuple):
    """What a network must be for an instrument; instruments that agree share it."""

    scale: Scale
    one_channel: bool
    weights: str
    redraw: int
    course: Schooling | None
    "The training that comes first, however long."


@dataclass(frozen=True)
class Instrument:
    """How one score looks at an architecture."""

    name: str
    """The score's name in the registry, or its import path; `@` and a number of epochs after it
    look at the network after so many, such as `label_alignment@2`."""
    score: Score
    scale: Scale
    probe: ProbeSpec
    weights: str
    redraw: int = 1
    """Consecutive draws that share their weights, and differ in the probe alone."""
    schooling: Schooling | None = None
    "Training that comes first; None for a look at initialisation."

    @property
    def look(self) -> Look:
        """What it must be shown."""
        course = self.schooling and self.schooling.course
        return Look(self.scale, self.probe.one_channel, self.weights, self.redraw, course)

    @property
    def epochs(self) -> int:
        """How many come before it looks."""
        return self.schooling.recipe.epochs if self.schooling else 0

    def after(self, epochs: int | None) -> "Instrument":
        """The same after so many epochs, if it looks after any; None leaves them as they are."""
        if epochs is None or self.schooling is None:
            return self
        return replace(self, schooling=self.schooling.lasting(epochs))

    def plain(self) -> dict[str, Any]:
        """Itself as values that JSON holds; part of a measurement's key."""
        return asdict(self)


def make_instruments(space: Space[Any], config: ResolvedConfig) -> tuple[Instrument, ...]:
    """The instruments of every score of a run.

    Settings of `label_alignment` are those of `label_alignment@2` too, whose own come first;
    `epochs` are those of `label_alignment` alone where the run has it.

    Raises:
        ValueError: as `make_instrument`; or settings of a score that the run does not have, or of
            training where no score trains.
    """
    known = {*config.scores, *map(score_name, config.scores)}
    if unused := set(config.instruments) - known:
        raise ValueError(
            f"instruments: expected settings of the scores {', '.join(config.scores)}, got some "
            f"of {', '.join(sorted(unused))}"
        )
    check_known("schooling", config.schooling, list(SCHOOLING))
    made = tuple(
        make_instrument(name, space, _settings_of(name, config), config.schooling)
        for name in config.scores
    )
    if config.schooling and all(instrument.schooling is None for instrument in made):
        raise ValueError(
            f"schooling: expected none, since no score looks after training, got "
            f"{dict(config.schooling)}; ask for one such as {config.scores[0]}@1"
        )
    return made


def _settings_of(name: str, config: ResolvedConfig) -> dict[str, Setting]:
    shared = dict(config.instruments.get(score_name(name), {}))
    if name != score_name(name) and score_name(name) in config.scores:
        shared.pop("epochs", None)
    return {**shared, **config.instruments.get(name, {})}


def score_name(name: str) -> str:
    """The score's own name, without the epochs."""
    return name.partition("@")[0]


def make_instrument(
    name: str,
    space: Space[Any],
    settings: Mapping[str, Setting],
    schooling: Mapping[str, Setting] = MappingProxyType({}),
) -> Instrument:
    """The score of this name as it asks to be applied, with `settings` in place of its own.

    Args:
        name: as of `Instrument`.
        space: gives the scale.
        settings: of score, probe, scale, weights and training.
        schooling: of the training, where it trains; `settings` come before them.

    Raises:
        ValueError: an unknown score or setting, one of the wrong type, or epochs other than those
            in the name.
    """
    kind = get_score(score_name(name))
    if kind.__hash__ is None:
        raise ValueError(
            f"score {name!r}: expected a value that can be hashed, got one with __eq__ alone; "
            f"write @dataclass(frozen=True)"
        )
    left = dict(settings)
    if name != score_name(name):
        left["epochs"] = _epochs_of(name, settings)
    scale = named_scale(space, typed(str, left.pop("scale", kind.network), f"{name}.scale"))
    weights = typed(str, left.pop("weights", kind.weights), f"{name}.weights")
    check_weights(weights)
    redraw = counted(int, left.pop("redraw", 1), f"{name}.redraw")
    taught = take_schooling(name, kind, left, schooling)
    parts: list[Any] = [scale, kind.probe, kind()]
    known = [f.name for part in parts for f in fields(part)]
    known += ["scale", "weights", "redraw", "epochs", *SCHOOLING]
    check_known(f"score {name!r}", left, known)
    scale, probe, score = (changed(part, left, name) for part in parts)
    return Instrument(name, score, scale, probe, weights, redraw, taught)


def _epochs_of(name: str, settings: Mapping[str, Setting]) -> int:
    """The epochs that the name of a score says, such as 2 of `label_alignment@2`."""
    text = name.partition("@")[2]
    if not re.fullmatch("0|[1-9][0-9]{0,8}", text):
        raise ValueError(f"{name}: expected a number of epochs after @, got {text!r}")
    asked = counted(int, settings.get("epochs", int(text)), f"{name}.epochs", least=0)
    if asked != int(text):
        raise ValueError(
            f"{name}.epochs: expected {text}, as the name says, or nothing, got {asked!r}"
        )
    return int(text)


def check_probe(instrument: Instrument, images: Images) -> None:
    """Refuse a probe that these images cannot give, naming the flags that change it."""
    try:
        check_spec(instrument.probe, images)
    except ValueError as error:
        flags = f"--instruments.{instrument.name}"
        raise ValueError(
            f"{instrument.name}: {error}; set {flags}.count or {flags}.patch"
        ) from error


def named_scale(space: Space[Any], name: str) -> Scale:
    """The space's scale of this name.

    Raises:
        ValueError: it has none.
    """
    if name not in space.scales:
        raise ValueError(
            f"unknown scale {name!r} of space {space.name!r}: expected {' or '.join(space.scales)}"
        )
    return space.scales[name]


def training_scale(space: Space[Any], config: ResolvedConfig) -> Scale:
    """The named scale of the space, altered as the configuration and its recipe ask.

    Raises:
        ValueError: a scale that the space does not name, or an auxiliary head that it lacks.
    """
    found = named_scale(space, config.scale)
    changes: dict[str, Any] = {
        name: value
        for name, value in (("channels", config.channels), ("cells", config.cells))
        if value is not None
    }
    if "cells" in changes and not isinstance(found, CellScale):
        raise ValueError(
            f"cells: expected none on the space {space.name!r}, whose networks have no cells, got "
            f"{config.cells!r}; try --channels"
        )
    if config.recipe.auxiliary:
        if not hasattr(found, "auxiliary"):
            raise ValueError(
                f"recipe.auxiliary: expected 0 on the space {space.name!r}, whose networks have "
                f"no auxiliary head, got {config.recipe.auxiliary!r}; try another --training"
            )
        changes["auxiliary"] = True
    return replace(found, **changes)
