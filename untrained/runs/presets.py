"""Settings of a published search or training, by name; and what they leave of a configuration."""

from collections.abc import Mapping
from dataclasses import dataclass, field, fields

from untrained.runs.config import ResolvedConfig, RunConfig, concrete_device, resolve_training
from untrained.runs.setup import score_name
from untrained.settings import Setting, checked
from untrained.training import TrainingSpec

Settings = Mapping[str, Setting]
NOTHING = TrainingSpec()
"Asks for nothing beside what is usual."


@dataclass(frozen=True)
class Preset:
    """What a name stands for on one space; the pages in `docs` explain them.

    The defaults are those of a configuration that names none.
    """

    options: Settings = field(default_factory=dict)
    "Of the searcher."
    score_settings: Mapping[str, Settings] = field(default_factory=dict)
    searcher: str = "pruning"
    draws: int = 3
    scores: tuple[str, ...] = ("condition_number", "linear_regions")
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


PRESETS: dict[str, dict[str, Preset]] = {
    "deep": {"nasbench201": _deep(32)},
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
    searcher = preset.searcher if config.searcher is None else config.searcher
    scores = preset.scores if config.scores is None else config.scores
    given = {f.name: getattr(config, f.name) for f in fields(RunConfig)}
    chosen = {
        "searcher": searcher,
        "scores": scores,
        "draws": preset.draws if config.draws is None else config.draws,
        "options": {**(preset.options if searcher == preset.searcher else {}), **config.options},
        "score_settings": {
            **config.score_settings,
            **{
                score: {**settings, **config.score_settings.get(score, {})}
                for score, settings in preset.score_settings.items()
                if score in map(score_name, scores)
            },
        },
        "short_training": config.short_training.over(
            preset.short_training if scores == preset.scores else NOTHING
        ),
        "training": resolve_training(config.training),
        "device": concrete_device(config.device),
    }
    return ResolvedConfig(**{**given, **chosen}).check()


def preset_of(config: RunConfig) -> Preset:
    """What the configuration's `preset` stands for.

    Raises:
        ValueError: a name that stands for nothing, or not on this space.
    """
    if config.preset is None:
        return Preset()
    known = PRESETS.get(config.preset, {})
    if config.space not in known:
        here = [name for name, spaces in PRESETS.items() if config.space in spaces]
        raise ValueError(
            f"preset: expected {' or '.join(here) or 'none'} on the space {config.space!r}, "
            f"got {config.preset!r}"
        )
    return known[config.space]
