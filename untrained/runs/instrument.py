"""An instrument: a score with the network scale, probe and weight draw it is applied to."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, replace
from typing import Any

from untrained.images import Images
from untrained.images.probe import ProbeSpec, check_spec
from untrained.kernels.weights import check_weights
from untrained.scores import Score, get_score
from untrained.settings import Setting, changed, check_known
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
    check_weights(weights)
    parts: list[Any] = [scale, kind.probe, kind()]
    known = [f.name for part in parts for f in fields(part)]
    check_known(f"score {name!r}", left, [*known, "scale", "weights"])
    scale, probe, score = (changed(part, left, name) for part in parts)
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
