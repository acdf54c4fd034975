"""What a ranking is asked: one frozen value, from flags or TOML."""

from dataclasses import dataclass, field, fields, replace
from typing import Any

from untrained.runs.config import MOST_DRAWS, ORDINARY, MachineConfig, RunConfig, resolve_training
from untrained.settings import Setting, check_range, checked
from untrained.training.recipe import AUTO, TrainingSpec

SIZES = ("parameters", "macs", "training_memory", "latency")
"Scores of size and speed, which are shown and not ranked by."
PROBE = "linear_probe"
"Shown beside the others of models that have learnt."
BRIEF = TrainingSpec(recipe=AUTO, epochs=5)
"How models are trained, where nothing is said."


@dataclass(frozen=True)
class RankConfig(MachineConfig):
    """Models, images, and the scores that rank the first on the second."""

    models: tuple[str, ...] = ()
    """Models by import path, each a function, a class or a module: `my_nets:small`; a dictionary
    or list of them, or a pattern in quotes, `"my_nets:resnet_*"`; where timm is installed,
    `timm:resnet18` and `"timm:convnext_*"`. With `=FILE` at its end, a .safetensors file or a
    state dict, a model is judged by the weights that it has learnt; with `=built`, by those that
    it is built with."""
    scores: tuple[str, ...] = (ORDINARY,)
    """Scores that rank; several, by the sum of their ranks. Names, or package.module:name;
    `validation_accuracy@1` is that score after an epoch of short training."""
    draws: int = 5
    "Draws of weights and images for each score of each model; of learnt weights, of images."
    score_settings: dict[str, dict[str, Setting]] = field(default_factory=dict)
    "Settings of one score, as in `untrained score`."
    short_training: TrainingSpec = field(default_factory=TrainingSpec)
    "A few epochs before all scores that ask for them, as in `untrained score`."
    train: bool = False
    """Train each model too, after it is scored, and see whether scores, and sizes, rank them by
    accuracy on the test images."""
    training: TrainingSpec = field(default_factory=TrainingSpec)
    "With --train: how, such as `--training.epochs 20`; by default 5 epochs of the recipe `auto`."
    repeats: int = 1
    "With --train: trainings of each model, from other weights; their mean accuracy counts."

    def check(self) -> "RankConfig":
        """Itself, each field of its type, or ValueError for a value that makes no sense here.

        Models, images and the device are checked where they are used.
        """
        config = checked(self)
        if not config.scores:
            raise ValueError(f"scores: expected at least one, got none; try {ORDINARY}")
        check_range("draws", config.draws, 1, MOST_DRAWS)
        check_range("repeats", config.repeats, 1)
        if config.train:
            return replace(config, training=resolve_training(config.training.over(BRIEF)))
        if asked := {k: v for k, v in vars(config.training).items() if v is not None}:
            raise ValueError(f"training: expected nothing without --train, got {asked!r}")
        if config.repeats != 1:
            raise ValueError(f"repeats: expected 1 without --train, got {config.repeats!r}")
        return config

    def run_config(self, architectures: tuple[str, ...], **changes: Any) -> RunConfig:
        """The run that measures models by their text forms, with what the caller changes."""
        common = {f.name: getattr(self, f.name) for f in fields(MachineConfig)}
        asked = {
            "space": "models",
            "searcher": "given",
            "options": {"architectures": " ".join(architectures)},
            "draws": self.draws,
            "short_training": self.short_training,
        }
        if self.train:
            asked |= {"train": True, "training": self.training, "compare": 0}
            asked |= {"repeats": self.repeats}
        return RunConfig(**{**common, **asked, **changes})
