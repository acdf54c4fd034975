"""Settings of a published search or training, by name; and what they leave of a configuration."""

from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace

from untrained.images import Images
from untrained.runs.config import (
    CALIBRATION,
    ORDINARY,
    RunConfig,
    chosen,
    concrete_device,
    resolve_training,
)
from untrained.runs.resolved import ResolvedConfig
from untrained.runs.setup import score_name
from untrained.runs.tasks import training_images
from untrained.settings import Setting, checked
from untrained.spaces import PrunableSpace, get_space
from untrained.training import TrainingSpec, auto_recipe
from untrained.training.recipe import AUTO, check_precision, check_recipe

Settings = Mapping[str, Setting]
CANDIDATES = ("naswot", "synflow", "zico", "nngp_leave_one_out")
"""Scores that a calibration compares with those of the preset, where none are named: cheap ones of
other kinds. The more there are, the larger a tau must be to be told from chance."""
NOTHING = TrainingSpec()
"Asks for nothing beside what is usual."
AUTOMATIC = TrainingSpec(recipe=AUTO)
"How networks are trained to the end, where nothing is said."


@dataclass(frozen=True)
class Preset:
    """What a name stands for on one space; the pages in `docs` explain them.

    The defaults are those of a configuration that names none.
    """

    options: Settings = field(default_factory=dict)
    "Of the searcher."
    score_settings: Mapping[str, Settings] = field(default_factory=dict)
    searcher: str = ""
    "Empty for that of the space: `pruning` where it has supernets, else `surrogate`."
    draws: int = 3
    scores: tuple[str, ...] = ()
    "Empty for those of the space: see `usual_scores`."
    short_training: TrainingSpec = NOTHING
    "Before its scores."


def _paper(prune: int) -> Preset:
    """As the text of the paper has it; where it is silent, as by default here."""
    return Preset(
        {"prune": prune, "gain": "absolute", "digits": 12},
        {"condition_number": {"count": 32}, "linear_regions": {"count": 5000}},
    )


def _released(prune: int, count: int) -> Preset:
    """As the authors' code computes, with what it does unnoticed.

    PyTorch's default weights are never redrawn within a round (kappa) or for an operation (R),
    since the name of the intended draw is not recognised; examples are coupled by their batch's
    statistics; eigenvalues are in float32, and NaN becomes 1e5.
    """
    kappa: dict[str, Setting] = {
        "count": count,
        "batchnorm": "batch",
        "weights": "torch_default",
        "redraw": 3000,
        "eigenvalues": "released",
    }
    regions: dict[str, Setting] = {"weights": "torch_default", "redraw": 3, "batches": 3}
    return Preset(
        {"prune": prune, "common": False},
        {"condition_number": kappa, "linear_regions": regions},
    )


def _deep(count: int) -> Preset:
    """Better networks from the same two scores, in less than a minute on two cores.

    Discrete networks instead of supernets, as deep as they will be trained: in shallow ones a skip
    connection scores nothing. Noise is removed by regression instead of by more draws.
    """
    return Preset(
        {},
        {
            "condition_number": {"count": count, "cells": 5},
            "linear_regions": {"cells": 5, "stages": 3},
        },
        searcher="surrogate",
        draws=1,
    )


def _nngp(score: str, ensemble: int) -> Preset:
    """Random architectures, ranked by kernel regression before training.

    Statistic and draws were chosen on a hundred or two of the benchmark's architectures.
    """
    shown: Settings = {"count": 1000, "ensemble": ensemble}
    return Preset({"evaluations": 100}, {score: shown}, "random", draws=1, scores=(score,))


def _lga() -> Preset:
    """Random architectures, ranked after an epoch by LGA of the normalised kernel.

    No other searcher ended higher, and on CIFAR-100 the published LGA ranks far worse.
    """
    return Preset(
        {"evaluations": 50},
        searcher="random",
        draws=1,
        scores=("label_alignment_normalised",),
        short_training=TrainingSpec(images=2000),
    )


ANY = ""
"Every space that is not named."

PRESETS: dict[str, dict[str, Preset]] = {
    "deep": {"nasbench201": _deep(32), ANY: Preset(searcher="surrogate", draws=1)},
    "lga": {"nasbench201": _lga()},
    "nngp": {
        "nasbench101": _nngp("nngp_leave_one_out", 2),
        "nasbench201": _nngp("nngp_squared_error", 8),
    },
    "paper": {"nasbench201": _paper(1), "darts": _paper(3)},
    "paper_imagenet": {"darts": _paper(2)},
    "released": {"nasbench201": _released(1, 72), "darts": _released(3, 14)},
    "released_imagenet": {"darts": _released(2, 24)},
}


def resolve(config: RunConfig) -> ResolvedConfig:
    """The configuration with everything that it leaves open, in the one place where that is said.

    What is given takes precedence, whatever its value; then what `preset` stands for; then the
    defaults, which are those of `Preset`. Options, score settings and both trainings are put
    together by key.

    Raises:
        ValueError: a value of the wrong type or out of range, or a name that stands for nothing.
    """
    config = checked(config)
    preset = preset_of(config)
    usual = preset.searcher or usual_searcher(config.space)
    if config.time_budget is not None and config.preset is None:
        usual = "surrogate"  # which may be stopped at any time
    searcher = usual if config.searcher is None else config.searcher
    usually = preset.scores or usual_scores(config.space)
    scores = usually if config.scores is None else config.scores
    compared = _compared(config, scores)
    given = {f.name: getattr(config, f.name) for f in fields(RunConfig)}
    resolved = {
        "searcher": searcher,
        "scores": scores,
        "compare": config.compare if isinstance(config.compare, tuple) else (config.compare,),
        "draws": preset.draws if config.draws is None else config.draws,
        "options": {**(preset.options if searcher == usual else {}), **config.options},
        "score_settings": {
            **config.score_settings,
            **{
                score: {**settings, **config.score_settings.get(score, {})}
                for score, settings in preset.score_settings.items()
                if score in map(score_name, (*scores, *(compared or ())))
            },
        },
        "short_training": config.short_training.over(
            preset.short_training if scores == usually else NOTHING
        ),
        "training": resolve_training(config.training.over(AUTOMATIC if config.train else NOTHING)),
        "calibrate_scores": compared,
        "calibration": _calibration(config),
        "device": concrete_device(config.device),
    }
    return ResolvedConfig(**{**given, **resolved}).check()


def _compared(config: RunConfig, scores: tuple[str, ...]) -> tuple[str, ...] | None:
    """The scores from which a calibration chooses, if there is one."""
    if config.calibrate is None or config.calibrate_scores is not None:
        return config.calibrate_scores
    return scores if config.scores is not None else tuple(dict.fromkeys((*scores, *CANDIDATES)))


def _calibration(config: RunConfig) -> TrainingSpec:
    if config.calibrate is None:
        return config.calibration
    return resolve_training(config.calibration.over(CALIBRATION), "calibration")


def fit(config: ResolvedConfig, images: Images) -> ResolvedConfig:
    """The configuration with every choice of its trainings, which images decide where it is
    `auto`.

    Raises:
        ValueError: a choice that was asked for beside `auto` and cannot be trained with.
    """
    return replace(
        config,
        training=fitted_training(config.training, config, images),
        calibration=fitted_training(config.calibration, config, images),
    )


def fitted_training(spec: TrainingSpec, config: ResolvedConfig, images: Images) -> TrainingSpec:
    """A training of the configuration with every choice, which images decide where it is `auto`.

    Raises:
        ValueError: as `fit`.
    """
    if spec.recipe != AUTO:
        return spec
    trained_on = training_images(images, spec.images, config.seed)
    recipe = auto_recipe(trained_on, epochs=spec.epochs, device=config.device)
    fitted = chosen(AUTO, spec, recipe)
    check_recipe(fitted.altered(recipe))
    check_precision(fitted.altered(recipe), config.device)
    return fitted


def usual_searcher(space: str) -> str:
    """The searcher that is taken where none is named."""
    return "pruning" if isinstance(get_space(space), PrunableSpace) else "surrogate"


def usual_scores(space: str) -> tuple[str, ...]:
    """The scores that are taken where none is named.

    Supernets are pruned by the two of TE-NAS. Of networks that differ in normalisation,
    activations and skip connections as well as in size, those rank worse than what follows: see
    `docs/scores.md`.
    """
    supernets = isinstance(get_space(space), PrunableSpace)
    return ("condition_number", "linear_regions") if supernets else (ORDINARY,)


def preset_of(config: RunConfig) -> Preset:
    """What the configuration's `preset` stands for.

    Raises:
        ValueError: a name that stands for nothing, or not on this space.
    """
    if config.preset is None:
        return Preset()
    known = PRESETS.get(config.preset, {})
    if config.space not in known and ANY not in known:
        here = [name for name, spaces in PRESETS.items() if {config.space, ANY} & {*spaces}]
        raise ValueError(
            f"preset: expected {' or '.join(here) or 'none'} on the space {config.space!r}, "
            f"got {config.preset!r}"
        )
    return known[config.space if config.space in known else ANY]
