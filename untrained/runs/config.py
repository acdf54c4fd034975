"""What a run is asked: one frozen value, from flags or TOML."""

import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from untrained.locations import Location
from untrained.runs.beside import Compare
from untrained.runs.ray_config import RayConfig
from untrained.settings import Setting
from untrained.training.recipe import (
    AUTO,
    Recipe,
    TrainingSpec,
)
from untrained.training.recipes import get_recipe

ORDINARY = "nngp_leave_one_out"
"""The score that ranks ordinary networks where none is named: of seventeen, the one that agreed
most with short trainings of 384 ResNets, perceptrons, transformers and MobileNets."""


@dataclass(frozen=True)
class MachineConfig:
    """What is asked of everything that measures networks: on which images, and where."""

    images: str = "digits"
    """`digits` or `shapes` (built in), a folder with one subfolder per class, a .npz file,
    official files of CIFAR, MNIST or SVHN, shards of Parquet or tar, or a name in the data folder
    such as `cifar10`, for which see `untrained data add`."""
    size: int | None = None
    "Side in pixels to which images are resized; by default their own, or 32 for a folder."
    seed: int = 0
    "Seed of the run: other seeds, other draws, splits and choices."
    device: str = "cpu"
    "`cpu`, `cuda`, `cuda:1`, or `auto`: `cuda` where there is one, otherwise `cpu`."
    workers: int = os.cpu_count() or 1
    """Worker processes, one torch thread each; how many there are changes no result. With 0,
    a network that crashes ends the command; with workers, only that network fails. On several
    GPUs, they take them in turn."""
    engine: Literal["processes", "ray"] = "processes"
    """Where measurements and trainings are done: in `processes` of this machine, or on a `ray`
    cluster, for which see `untrained[ray]`. The results are the same."""
    ray: RayConfig = field(default_factory=RayConfig)
    "With --engine ray: which cluster, and what each task is given there."
    time_limit: float | None = None
    """Seconds that each step of a measurement may take: building a network, short training, a
    score of one draw. What takes longer fails, and is measured again under a longer limit. With 0
    workers, only Python code can be stopped."""
    out: Location = Path("untrained-runs")
    """Folder of the store and of one folder for each run; its name is taken literally, `~` too.
    Or a URL that machines share, such as s3://bucket/runs, beside a --store."""
    store: str | None = field(default=None, repr=False)
    """Where numbers are kept, by default in the file store.db of `out`: another file, or a
    PostgreSQL database that machines share, such as postgresql+psycopg://me@host/runs. Its
    password is best left to PGPASSWORD or ~/.pgpass, and is kept nowhere."""


@dataclass(frozen=True)
class CommonConfig(MachineConfig):
    """What every run is asked."""

    space: str = "nasbench201"
    """Search space: a name, or package.module:name of a function make(choose, inputs, classes)
    that makes a network."""


@dataclass(frozen=True)
class ScoreConfig(CommonConfig):
    """What is scored, and how. Where `preset` may say what is not given, None stands for that."""

    preset: str | None = None
    """Searcher, scores, draws, options, score settings and short training by name: `deep` (finds
    better networks than the default; on every space), `lga`, `nngp`, `paper`, `released` (the
    authors' code), on DARTS also `paper_imagenet` and `released_imagenet`. Flags and files take
    precedence."""
    scores: tuple[str, ...] | None = None
    """Scores whose ranks are summed; names, or package.module:name. `label_alignment@2` is that
    score after two epochs of short training. By default `condition_number` and
    `linear_regions`."""
    draws: int | None = None
    "Draws of weights and probe for each score of each architecture; by default 3."
    score_settings: dict[str, dict[str, Setting]] = field(default_factory=dict)
    """Settings of one score, such as `--score-settings.condition_number.count 32`: of its probe,
    `count`, `split`, `augment`, `patch`, `one_channel`; of the network, `scale`, `channels`,
    `cells`, `stages`, `stem`; of its initial weights, `weights` (the name of their distribution)
    and `redraw` (how many draws share them); of short training, `epochs` (0 for none) and those
    of `short_training`; and of the score itself, such as `batchnorm`."""
    short_training: TrainingSpec = field(default_factory=TrainingSpec)
    """A few epochs before all scores that ask for them, such as `--short-training.images 2000`.
    Per-score settings take precedence."""


@dataclass(frozen=True)
class TrainConfig(CommonConfig):
    """How networks are trained to the end, and beside which others."""

    training: TrainingSpec = field(default_factory=TrainingSpec)
    "Training to the end, such as `--training.epochs 100`."
    compare: Compare = 5
    """What is trained beside it: a number of random architectures of the space, and networks by
    name: `resnet` (a residual network with about as many parameters), or package.module:name of a
    function that, called with `inputs` (channels) and `classes`, returns a network."""
    weights: Path | None = None
    """Weights that the training of the selected architecture begins with, where they fit: a
    .safetensors file, such as another run's export, or what torch.save wrote of a state_dict."""
    repeats: int = 1
    "Trainings of each network, from other weights and in other orders; means are compared."
    scale: str = "full"
    "Scale of the trained networks: `full` (as published), `narrow` or `small`."
    channels: int | None = None
    "Channels of the first stage of trained networks; by default the scale's."
    cells: int | None = None
    "Cells per stage of trained networks; by default the scale's."
    time_budget: str | None = None
    """Time for the whole command, such as `90s`, `15m` or `2h`: the search stops when its share is
    spent, and networks train for as many epochs as fit, at most `training.epochs`. An estimate
    comes first; --dry-run shows it."""


@dataclass(frozen=True)
class RunConfig(ScoreConfig, TrainConfig):
    """From images to a ranked, and if asked trained and exported, network."""

    searcher: str | None = None
    """`pruning` (by default where the space has supernets), `surrogate` (elsewhere), `random`,
    `evolution`, `local`, `reinforce`, `nasi`, `halving`, `nsga2` (a Pareto front), or
    package.module:name."""
    options: dict[str, Setting] = field(default_factory=dict)
    "Settings of the searcher, such as `--options.evaluations 50`."
    shrink: str | None = None
    """Search only what a cheap score keeps of the space, such as `naswot=.5` for its better half;
    the score ranks 200 random architectures, and discards what falls below the last it keeps."""
    limit: tuple[str, ...] = ()
    """Search only among networks within limits, such as `parameters=100k macs=50M latency=5ms
    memory=100MB`: of the network that would be trained (`scale`, `channels`, `cells`, your images
    and classes). Also `training_memory`, `latency_32` (a batch of 32), `latency_onnx`,
    `latency_onnx_32`; `latency:pixel3` and others of HW-NAS-Bench."""
    select: str | None = None
    """What is selected of the Pareto front of everything tried, between two scores or more, of
    which sizes count as costs: `knee`, or the score whose best it is. By default what the
    searcher selects."""
    proposals: int = 8
    "Architectures proposed at a time, where the searcher is free to choose."
    asynchronous: bool = False
    """Propose another architecture as soon as one is measured, so that no worker waits for the
    slowest of a batch. As many are under way at a time as `--proposals` says, which should be no
    fewer than the workers. What is found depends on the order in which results come; that order
    is kept, so that the run can be repeated and resumed. With `random`, `evolution`, `local`,
    `surrogate`, `halving` (as ASHA) and `nsga2`."""
    calibrate: int | None = None
    """Before the search, train so many random networks of the space briefly, 5 or more, to see
    which scores rank them by accuracy on your validation images; search by the best score that is
    told from chance or, if none is, by `scores`. With 8, only a tau above about .8 is told."""
    calibrate_scores: tuple[str, ...] | None = None
    """With --calibrate: scores to choose from; by default those of `scores` where these are given,
    else those of the preset, `naswot`, `synflow`, `zico` and `nngp_leave_one_out`."""
    calibration: TrainingSpec = field(default_factory=TrainingSpec)
    """With --calibrate: how those networks are trained, such as `--calibration.epochs 2`; by
    default 5 epochs (`calibration`)."""
    train: bool = False
    "Train the selected architecture, and what `compare` names, with the same recipe."


@dataclass(frozen=True)
class Shrink:
    """What a cheap score keeps of a space."""

    score: str
    share: float
    "In (0, 1): of 0.1, a tenth is kept."

    @classmethod
    def parse(cls, text: str) -> "Shrink":
        """Of the form `naswot=.5`.

        Raises:
            ValueError: another form, or a share out of range.

        Example:
            >>> Shrink.parse("naswot=.5")
            Shrink(score='naswot', share=0.5)
        """
        score, _, number = text.rpartition("=")
        try:
            share = float(number)
        except ValueError:
            share = 0.0
        if not score or not 0 < share < 1:
            raise ValueError(
                f"shrink: expected a score and the share that it keeps, above 0 and below 1, such "
                f"as naswot=.5, got {text!r}"
            )
        return cls(score, share)


BASELINES = ("parameters", "macs", "trainable_layers")
"Scores of size alone, which are measured wherever scores are compared."
CALIBRATION = TrainingSpec(recipe="calibration")
"How networks are trained to compare scores, where nothing is said."
LEAST_CALIBRATED = 5
"Networks, of fewer of which even a perfect order is had by chance more than once in 20 times."
KNEE = "knee"
"The network of a front that loses least of each score by what it gains of others."
MOST_DRAWS = 10_000
"A pruning search needs up to `search.pruning.ROUND` draws for each, of `measuring.SEEDS_APART`."
LARGEST_SEED = 2**63 - 1
"Of torch's generators."


def resolve_training(spec: TrainingSpec, what: str = "training") -> TrainingSpec:
    """The same with every choice of its recipe; `auto` as it is, since images decide its choices.

    Args:
        spec: what is asked.
        what: its name, for the error.

    Raises:
        ValueError: an unknown name.
    """
    named = "default" if spec.recipe is None else spec.recipe
    if named == AUTO:
        return spec
    try:
        return chosen(named, spec, get_recipe(named))
    except ValueError as error:
        raise ValueError(f"{what}.recipe: {error}") from error


def chosen(name: str, spec: TrainingSpec, recipe: Recipe) -> TrainingSpec:
    """Every choice of the recipe called so, but for what `spec` asks otherwise."""
    return TrainingSpec(recipe=name, images=spec.images, **vars(spec.altered(recipe)))


def check_images(images: str) -> None:
    """Refuse no name at all, which would be the working folder."""
    if not images:
        raise ValueError(
            f"images: expected a name, a file or a folder, got {images!r}; try digits"
        )


def concrete_device(device: str) -> str:
    """The device that `auto` stands for here; any other as it is."""
    import torch  # which takes seconds, and flags are read without it

    if device != "auto":
        return device
    return "cuda" if torch.cuda.is_available() else "cpu"


def check_device(device: str) -> None:
    """Refuse a device that torch cannot compute on here."""
    import torch  # as above

    try:
        torch.zeros(1, device=device)
    except (RuntimeError, AssertionError) as error:
        reason = str(error).splitlines()[0]
        raise ValueError(
            f"device: expected cpu, auto, or cuda where there is one, got {device!r}: {reason}"
        ) from error
