"""An instrument: a score with the network scale, probe and weight draw it is applied to."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, replace
from difflib import get_close_matches
from typing import Any, get_args, get_type_hints

from untrained.images import Images
from untrained.images.probe import ProbeSpec, check_spec
from untrained.scores import Score, get_score
from untrained.search import Setting
from untrained.spaces import Scale, Space


@dataclass(frozen=True)
class Instrument:
    """How one score looks at an architecture."""

    name: str
    "The score's name in the registry, or its import path."
    score: Score
    scale: Scale
    probe: ProbeSpec
    weights: str

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
    parts: list[Any] = [scale, kind.probe, kind()]
    known = [f.name for part in parts for f in fields(part)]
    for setting in left:
        if setting not in known:
            near = get_close_matches(setting, [*known, "scale", "weights"], n=3, cutoff=0)
            raise ValueError(
                f"unknown setting {setting!r} of score {name!r}: expected {' or '.join(near)}"
            )
    scale, probe, score = (_with(part, left, name) for part in parts)
    return Instrument(name, score, scale, probe, weights)


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


def training_scale(
    space: Space[Any], scale: str, channels: int | None, cells: int | None
) -> Scale:
    """A named scale of the space, with other channels and cells where given."""
    found = space.scales[_named_scale(space, scale)]
    return replace(
        found,
        channels=found.channels if channels is None else channels,
        cells=found.cells if cells is None else cells,
    )


def _with(part: Any, settings: Mapping[str, Setting], name: str) -> Any:
    """The frozen value `part` with those settings that are fields of it."""
    hints = get_type_hints(type(part))
    changes = {
        f.name: _typed(hints[f.name], settings[f.name], f"{name}.{f.name}")
        for f in fields(part)
        if f.name in settings
    }
    return replace(part, **changes)


def _typed(hint: Any, value: Setting, where: str) -> Any:
    """The value as its field's type: a command line cannot tell 3 from 3.0."""
    kinds = get_args(hint) or (hint,)
    if isinstance(value, float) and value.is_integer() and int in kinds:
        return int(value)
    if value in kinds or type(value) in kinds or (float in kinds and type(value) is int):
        return value
    expected = " or ".join(k.__name__ if isinstance(k, type) else repr(k) for k in kinds)
    raise ValueError(f"{where}: expected {expected}, got {value!r}")
