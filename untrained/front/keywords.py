"""What the keyword arguments of the front door are, for type checkers: those of the flags."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, TypedDict

from untrained.benching.config import Named as Population
from untrained.locations import Location
from untrained.networks.choices import Named, Policy
from untrained.runs.ray_config import RayConfig
from untrained.settings import Setting
from untrained.training.recipe import TrainingSpec

Own = str | type | Callable[..., Any]
"A name of ours, package.module:name, or the class or function itself."
Several = Own | Sequence[Own]
Training = TrainingSpec | Mapping[str, Setting | None]
Settings = Mapping[str, Mapping[str, Setting]]
Place = str | Location


class MachineFlags(TypedDict, total=False):
    """Of `MachineConfig`, but for the images."""

    size: int | None
    seed: int
    device: str
    workers: int
    engine: Literal["processes", "ray"]
    ray: RayConfig | Mapping[str, Setting]
    time_limit: float | None
    out: Place
    store: str | None


class CommonFlags(MachineFlags, total=False):
    """Of `CommonConfig`."""

    space: Own


class ScoreFlags(CommonFlags, total=False):
    """Of `ScoreConfig`."""

    preset: str | None
    scores: Several | None
    draws: int | None
    score_settings: Settings
    short_training: Training


class TrainFlags(CommonFlags, total=False):
    """Of `TrainConfig`."""

    training: Training
    compare: int | Several
    weights: str | Path | None
    repeats: int
    scale: str
    channels: int | None
    cells: int | None
    time_budget: str | None


class SearchFlags(ScoreFlags, TrainFlags, total=False):
    """Of `RunConfig`."""

    searcher: Own | None
    options: Mapping[str, Setting]
    shrink: str | None
    limit: str | Sequence[str] | Mapping[str, float | str]
    select: str | None
    proposals: int
    asynchronous: bool
    calibrate: int | None
    calibrate_scores: Several | None
    calibration: Training
    train: bool


class RankFlags(MachineFlags, total=False):
    """Of `RankConfig`, but for the models."""

    scores: Several
    draws: int
    score_settings: Settings
    short_training: Training
    train: bool
    training: Training
    repeats: int


class BenchFlags(CommonFlags, total=False):
    """Of `BenchConfig`."""

    scores: Several
    combine: str | Sequence[str]
    dataset: str | None
    table: str | Path | None
    sample: int | str
    population: Population
    draws: int
    score_settings: Settings
    short_training: Training
    thresholds: Sequence[float]
    resamples: int
    train: int | None
    training: Training
    repeats: int
    scale: str


class TrackingFlags(TypedDict, total=False):
    """Of `Tracking`, but for how often."""

    probe: int
    support: int
    held_out: int
    output: Literal["sum", "trace"]
    parameters: Named
    batchnorm: Policy
    layers: int


class TrackFlags(TrackingFlags, total=False):
    """Of `TrackConfig`, but for network and images."""

    space: Own
    scale: str
    size: int | None
    training: Training
    every: int
    seed: int
    device: str
    out: Place


class InspectFlags(TypedDict, total=False):
    """Of `InspectConfig`, but for the images and the folder of the page."""

    space: Own
    scale: str
    size: int | None
    probe: int
    pixels: Literal["normalised", "unit", "bytes"]
    seed: int
    device: str


class SweepFlags(ScoreFlags, total=False):
    """Of `SweepConfig`."""

    architectures: str
    shard: str | None
