"""What a bench is asked: one frozen value, from flags or TOML."""

import re
from dataclasses import dataclass, field, fields, replace
from typing import Any, Literal

from untrained.benching.combination import Combination
from untrained.runs.config import (
    BASELINES,
    CALIBRATION,
    CommonConfig,
    RunConfig,
    TrainConfig,
    resolve_training,
)
from untrained.settings import Setting, check_range, checked, join_texts
from untrained.training.recipe import TrainingSpec

Named = Literal["all", "canonical", "reachable", "none-free"]
"Populations that a sample is drawn from; see `population.rows_of`."

LEAST = 20
"Architectures, below which most statistics of a ranking say nothing."

LEAST_TRAINED = 3
"Architectures that are trained at least, to see what little they say."


@dataclass(frozen=True)
class BenchConfig(CommonConfig):
    """Scores, the architectures that they are measured on, and the table that judges them."""

    scores: tuple[str, ...] = ("condition_number", "linear_regions")
    """Scores to rank: names, or package.module:name. `label_alignment@2` is that score after two
    epochs of short training. Parameters, multiply-adds and layers are measured beside them."""
    combine: tuple[str, ...] = ()
    """Several scores as one, such as `"rank_sum(naswot, synflow)"`, each a row of its own:
    `rank_sum` (as TE-NAS), `log_rank_sum` (as AZ-NAS), `z_sum`, or `cross_fitted`, whose weights
    are fitted on other architectures than they are judged on. Their scores are measured too."""
    dataset: str | None = None
    """Data set whose accuracies judge the scores, such as `cifar10`, or one column of the table,
    such as `cifar10_valid_200`. By default that of the images' name, or the table's first."""
    table: str | None = None
    """The table: a Parquet file with a column `architecture` and accuracies such as
    `cifar10_test_200`; or, of the space darts, `darts_trained_600` or `nasbench301`. By default
    that of the space."""
    sample: int | str = 200
    """Architectures to measure: a number of them at random; `stratified:N`, one at random
    from each of N equal parts of the population in the order of accuracy; or `all`."""
    population: Named = "all"
    """What the sample is drawn from: `all` rows of the table; `canonical`, one of all that
    compute the same; on nasbench201 also `reachable`, without idle operations, and `none-free`."""
    draws: int = 3
    "Draws of weights and probe for each score of each architecture."
    score_settings: dict[str, dict[str, Setting]] = field(default_factory=dict)
    "Settings of one score, as in `untrained score`."
    short_training: TrainingSpec = field(default_factory=TrainingSpec)
    "A few epochs before all scores that ask for them, as in `untrained score`."
    thresholds: tuple[float, ...] = ()
    """Accuracies p for PQETP(p): how well a score tells architectures above p from the others. By
    default five quantiles of the sample's accuracies."""
    resamples: int = 1000
    "Resamples of architectures for each bootstrap interval."
    train: int | None = None
    """Judge scores on your own images, without a table: draw so many architectures of the space
    at random, train them, and see whether scores rank them by accuracy on the test images."""
    training: TrainingSpec = field(default_factory=TrainingSpec)
    "With --train: how, such as `--training.epochs 20`; by default 5 epochs (`calibration`)."
    repeats: int = 1
    "With --train: trainings of each architecture, from other weights; their mean accuracy counts."
    scale: str = TrainConfig.scale
    "With --train: scale of the trained networks, `full` (as published), `narrow` or `small`."

    @property
    def measured(self) -> tuple[str, ...]:
        """All scores that are measured: those asked for, alone or combined, and the baselines."""
        combined = (name for each in self.combinations for name in each.scores)
        return tuple(dict.fromkeys((*self.scores, *combined, *BASELINES)))

    @property
    def combinations(self) -> tuple[Combination, ...]:
        """What `combine` asks for."""
        return tuple(dict.fromkeys(map(Combination.parse, self.combine)))

    @property
    def size_of_sample(self) -> int | None:
        """How many architectures; None for all."""
        if isinstance(self.sample, int):
            return self.sample
        stratified = re.fullmatch(r"stratified:([0-9]{1,9})", self.sample)
        return None if stratified is None else int(stratified[1])

    @property
    def stratified(self) -> bool:
        """Whether the sample has one architecture of each part by accuracy."""
        return isinstance(self.sample, str) and self.sample != "all"

    def check(self) -> "BenchConfig":
        """Itself, each field of its type, or ValueError for a value that makes no sense here.

        Scores, images and the device are checked as those of a run are.
        """
        config = checked(self)
        if not config.scores:
            raise ValueError("scores: expected at least one, got none; try condition_number")
        _ = config.combinations  # which refuses what has another form
        if config.sample != "all" and (config.size_of_sample or 0) < LEAST:
            raise ValueError(
                f"sample: expected {LEAST} architectures or more, stratified:N or all, got "
                f"{config.sample!r}"
            )
        check_range("resamples", config.resamples, 100)
        check_range("repeats", config.repeats, 1)
        if config.train is not None:
            check_range("train", config.train, LEAST_TRAINED)
        config._check_train()
        if config.train is None:
            return config
        return replace(config, training=resolve_training(config.training.over(CALIBRATION)))

    def _check_train(self) -> None:
        """Refuse what is said of a table beside --train, and of training without it."""
        usual, unused = BenchConfig(), OF_TRAINING if self.train is None else OF_TABLES
        beside = "without --train" if self.train is None else "beside --train"
        for name in unused:
            if (value := getattr(self, name)) != getattr(usual, name):
                if isinstance(value, TrainingSpec):
                    value = {k: v for k, v in vars(value).items() if v is not None}
                raise ValueError(f"{name}: expected nothing {beside}, got {value!r}")

    def run_config(self, architectures: tuple[str, ...]) -> RunConfig:
        """The run that measures them."""
        common = {f.name: getattr(self, f.name) for f in fields(CommonConfig)}
        trained: dict[str, Any] = {}
        if self.train is not None:
            trained = {name: getattr(self, name) for name in ("training", "scale")}
            trained |= {"train": True, "compare": 0}
        return RunConfig(
            **common,
            **trained,
            searcher="given",
            options={"architectures": join_texts(architectures)},
            scores=self.measured,
            draws=self.draws,
            score_settings=self.score_settings,
            short_training=self.short_training,
        )


OF_TABLES = ("dataset", "table", "sample", "population")
"What is said of a table, and of what is drawn from it."

OF_TRAINING = ("training", "repeats", "scale")
"What is said of `train`."
