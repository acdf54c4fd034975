"""An instrument: a score with the network scale, weight draw, training and probe it is shown."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, replace
from typing import Any, NamedTuple

from untrained.images import Images
from untrained.images.probe import ProbeSpec, check_spec
from untrained.kernels.weights import check_weights
from untrained.runs.config import RunConfig
from untrained.runs.schooling import SCHOOLING, Schooling, take_schooling
from untrained.scores import Score, get_score
from untrained.settings import Setting, changed, check_known, typed
from untrained.spaces import Scale, Space


class Look(NamedTuple):
    """What a network must be for an instrument; instruments that agree share it."""

    scale: Scale
    one_channel: bool
    weights: str
    redraw: int
    schooling: Schooling | None


@dataclass(frozen=True)
class Instrument:
    """How one score looks at an architecture."""

    name: str
    "The score's name in the registry, or its import path."
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
        return Look(self.scale, self.probe.one_channel, self.weights, self.redraw, self.schooling)

    def plain(self) -> dict[str, Any]:
        """Itself as values that JSON holds; part of a measurement's key."""
        return asdict(self)


def make_instrument(name: str, space: Space[Any], settings: Mapping[str, Setting]) -> Instrument:
    """The score of this name as it asks to be applied, with `settings` in place of its own.

    Raises:
        ValueError: an unknown score or setting, or one of the wrong type.
    """
    kind = get_score(name)
    left = dict(settings)
    scale = space.scales[_named_scale(space, str(left.pop("scale", kind.network)))]
    weights = str(left.pop("weights", kind.weights))
    check_weights(weights)
    redraw = typed(int, left.pop("redraw", 1), f"{name}.redraw")
    assert isinstance(redraw, int)
    schooling = take_schooling(name, kind.epochs, left)
    parts: list[Any] = [scale, kind.probe, kind()]
    known = [f.name for part in parts for f in fields(part)]
    known += ["scale", "weights", "redraw", "epochs", *SCHOOLING]
    check_known(f"score {name!r}", left, known)
    scale, probe, score = (changed(part, left, name) for part in parts)
    return Instrument(name, score, scale, probe, weights, redraw, schooling)


def check_probe(instrument: Instrument, images: Images) -> None:
    """Refuse a probe that these images cannot give, naming the flags that change it."""
    try:
        check_spec(instrument.probe, images)
    except ValueError as error:
        flags = f"--instruments.{instrument.name}"
        raise ValueError(
            f"{instrument.name}: {error}; set {flags}.count or {flags}.patch"
        ) from error


def _named_scale(space: Space[Any], scale: str) -> str:
    if scale not in space.scales:
        raise ValueError(
            f"unknown scale {scale!r} of space {space.name!r}: expected "
            f"{' or '.join(space.scales)}"
        )
    return scale


def training_scale(space: Space[Any], config: RunConfig) -> Scale:
    """The named scale of the space, altered as the configuration and its recipe ask.

    Raises:
        ValueError: a scale that the space does not name, or an auxiliary head that it lacks.
    """
    found = space.scales[_named_scale(space, config.scale)]
    changes: dict[str, Any] = {
        name: value
        for name, value in (("channels", config.channels), ("cells", config.cells))
        if value is not None
    }
    if "cells" in changes and not hasattr(found, "cells"):
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
