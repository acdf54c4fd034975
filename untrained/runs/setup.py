"""A setup: a score with the network scale, weight draw, training and probe it is shown."""

import random
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from functools import partial
from typing import Any, NamedTuple

import torch

from untrained.images import Images
from untrained.images.probe import ProbeSpec, check_spec
from untrained.networks.weights import check_weights
from untrained.runs.config import Shrink
from untrained.runs.resolved import ResolvedConfig
from untrained.runs.short_training import SHORT_TRAINING, ShortTraining, take_short_training
from untrained.scores import Score, get_score
from untrained.searchers import Goal
from untrained.settings import Setting, changed, check_known, counted, typed
from untrained.spaces import CellScale, Scale, Shape, Space
from untrained.training import TrainingSpec


class NetworkSpec(NamedTuple):
    """What a network must be for a setup; setups that agree share it."""

    scale: Scale
    one_channel: bool
    patch: int | None
    "Side in pixels of the patches it is shown instead of images, if any."
    weights: str | None
    redraw: int
    training: ShortTraining | None
    "The training that comes first, however long."

    def shape(self, images: Shape) -> Shape:
        """Of what it is shown, of images of this shape."""
        channels, *sides = images
        return (1 if self.one_channel else channels, *([self.patch] * 2 if self.patch else sides))


@dataclass(frozen=True)
class ScoreSetup:
    """A score with what it is applied to: scale, weights, short training and probe."""

    name: str
    """The score's name in the registry, or its import path; `@` and a number of epochs after it
    are those of short training, such as `label_alignment@2`."""
    score: Score
    scale: Scale
    probe: ProbeSpec
    weights: str | None
    "The weight draw; None where none is needed, and all draws are one."
    redraw: int = 1
    """Consecutive draws that share their weights, and differ in the probe alone."""
    short_training: ShortTraining | None = None
    "Training that comes first; None for a score at initialisation."

    @property
    def network_spec(self) -> NetworkSpec:
        """What it must be shown."""
        shared = self.short_training and self.short_training.shared
        return NetworkSpec(
            self.scale, self.probe.one_channel, self.probe.patch, self.weights, self.redraw, shared
        )

    @property
    def epochs(self) -> int:
        """How many come before the score."""
        return self.short_training.recipe.epochs if self.short_training else 0

    def after(self, epochs: int | None) -> "ScoreSetup":
        """The same after so many epochs, if it trains at all; None leaves them as they are."""
        if epochs is None or self.short_training is None:
            return self
        return replace(self, short_training=self.short_training.lasting(epochs))


def make_setups(space: Space[Any], config: ResolvedConfig) -> tuple[ScoreSetup, ...]:
    """The setups of `every_score` of a run: first those that are ranked by.

    Settings of `label_alignment` are those of `label_alignment@2` too, whose own come first;
    `epochs` are those of `label_alignment` alone where the run has it.

    Raises:
        ValueError: as `make_setup`; or settings of a score that the run does not have, or of
            training where no score trains.
    """
    names = config.every_score
    known = {*names, *map(score_name, names)}
    if config.shrink is not None:
        known.add(Shrink.parse(config.shrink).score)
    if unused := set(config.score_settings) - known:
        raise ValueError(
            f"score_settings: expected settings of the scores {', '.join(names)}, got "
            f"some of {', '.join(sorted(unused))}"
        )
    made = tuple(
        make_setup(name, space, _settings_of(name, config), config.short_training)
        for name in names
    )
    asked = {k: v for k, v in vars(config.short_training).items() if v is not None}
    if asked and all(setup.short_training is None for setup in made):
        raise ValueError(
            f"short_training: expected none, since no score is taken after training, got {asked}; "
            f"ask for one such as {config.scores[0]}@1"
        )
    return made


def _settings_of(name: str, config: ResolvedConfig) -> dict[str, Setting]:
    shared = dict(config.score_settings.get(score_name(name), {}))
    if name != score_name(name) and score_name(name) in config.every_score:
        shared.pop("epochs", None)
    return {**shared, **config.score_settings.get(name, {})}


def score_name(name: str) -> str:
    """The score's own name, without the epochs."""
    return name.partition("@")[0]


def goals_of(setups: Sequence[ScoreSetup], *, sizes_are_costs: bool) -> tuple[Goal, ...]:
    """What is ranked by; sizes are to be small where they are costs, else as baselines large."""
    return tuple(
        Goal(setup.name, score.higher_is_better and not (sizes_are_costs and score.is_size))
        for setup in setups
        for score in [setup.score]
    )


def make_setup(
    name: str,
    space: Space[Any],
    settings: Mapping[str, Setting],
    short_training: TrainingSpec | None = None,
) -> ScoreSetup:
    """The score of this name as it asks to be applied, with `settings` in place of its own.

    Args:
        name: as of `ScoreSetup`.
        space: gives the scale.
        settings: of score, probe, scale, weights and training.
        short_training: of the training, where it trains; `settings` take precedence.

    Raises:
        ValueError: an unknown score or setting, one of the wrong type, or epochs other than those
            in the name.
    """
    return setup_of(get_score(score_name(name)), name, space, settings, short_training)


def setup_of(
    kind: type[Score],
    name: str,
    space: Space[Any],
    settings: Mapping[str, Setting],
    short_training: TrainingSpec | None = None,
) -> ScoreSetup:
    """`make_setup` of a class, whatever its name.

    Raises:
        ValueError: as `make_setup`.
    """
    if kind.__hash__ is None:
        raise ValueError(
            f"score {name!r}: expected a value that can be hashed, got one with only __eq__; "
            f"write @dataclass(frozen=True)"
        )
    left = dict(settings)
    if name != score_name(name):
        left["epochs"] = _epochs_of(name, settings)
    scale = named_scale(space, typed(str, left.pop("scale", kind.network), f"{name}.scale"))
    redraw = counted(int, left.pop("redraw", 1), f"{name}.redraw")
    before = take_short_training(name, kind, left, short_training or TrainingSpec())
    weights = kind.weights if before is None else kind.weights or Score.weights
    if "weights" in left:
        weights = typed(str, left.pop("weights"), f"{name}.weights")
    if weights is not None:
        check_weights(weights)
    parts: list[Any] = [scale, kind.probe, kind()]
    known = [f.name for part in parts for f in fields(part)]
    known += ["scale", "weights", "redraw", "epochs", *SHORT_TRAINING]
    check_known(f"score {name!r}", left, known)
    scale, probe, score = (changed(part, left, name) for part in parts)
    score = score.aiming(partial(largest_parameters, space, scale))
    return ScoreSetup(name, score, scale, probe, weights, redraw, before)


def largest_parameters(space: Space[Any], scale: Scale) -> float:
    """The number of trainable parameters of the largest of 25 random architectures of a space.

    Of networks for images of three channels, with ten classes; always the same.
    """
    rng, counts = random.Random(0), []
    for _ in range(25):
        with torch.device("meta"):  # no memory for weights, and none drawn
            network = space.build(space.sample(rng), scale, inputs=(3, 32, 32), classes=10)
        counts.append(sum(p.numel() for p in network.parameters() if p.requires_grad))
    return float(max(counts))


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


def check_probe(setup: ScoreSetup, images: Images) -> None:
    """Refuse a probe that these images cannot give, naming the flags that change it."""
    try:
        check_spec(setup.probe, images)
    except ValueError as error:
        flags = f"--score-settings.{setup.name}"
        raise ValueError(f"{setup.name}: {error}; set {flags}.count or {flags}.patch") from error


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
    if "channels" in changes and not hasattr(found, "channels"):
        raise ValueError(
            f"channels: expected none on the space {space.name!r}, whose networks say theirs "
            f"themselves, got {config.channels!r}"
        )
    if "cells" in changes and not isinstance(found, CellScale):
        raise ValueError(
            f"cells: expected none on the space {space.name!r}, whose networks have no cells, got "
            f"{config.cells!r}; try --channels"
        )
    if config.recipe.auxiliary:
        if not hasattr(found, "auxiliary"):
            raise ValueError(
                f"training.auxiliary: expected 0 on the space {space.name!r}, whose networks have "
                f"no auxiliary head, got {config.recipe.auxiliary!r}; try another recipe"
            )
        changes["auxiliary"] = True
    return replace(found, **changes)
