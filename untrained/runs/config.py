"""What a run is asked: one frozen value, from flags or TOML, stored with the run."""

import hashlib
import json
import os
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path

import torch

from untrained.settings import Setting, plain
from untrained.training.loop import check_precision
from untrained.training.recipe import Recipe, check_recipe


@dataclass(frozen=True)
class RunConfig:
    """From images to a ranked, and if asked trained and exported, network."""

    images: str = "digits"
    """`digits` (bundled), a .npz file, a folder with one subfolder a class, or a name in the data
    folder such as `cifar10`."""
    size: int | None = None
    "Side in pixels to which images are brought; by default their own, or 32 for a folder."
    space: str = "nasbench201"
    "Search space: a name, or package.module:name."
    searcher: str = "pruning"
    """`pruning`, `surrogate`, `random`, `evolution`, `local`, `reinforce`, `halving`, or
    package.module:name."""
    options: dict[str, Setting] = field(default_factory=dict)
    "Settings of the searcher, such as `--options.evaluations 50`."
    scores: tuple[str, ...] = ("condition_number", "linear_regions")
    """Scores whose ranks are summed; names, or package.module:name. `label_alignment@2` is that
    score after two epochs of training."""
    instruments: dict[str, dict[str, Setting]] = field(default_factory=dict)
    """How a score looks, such as `--instruments.condition_number.count 32`: the probe's `count`,
    `split`, `augment`, `patch`, `one_channel`; the network's `scale`, `channels`, `cells`,
    `stages`, `stem`; the `weights` draw, and the draws that share one, `redraw`; training before
    it, of `epochs` (0 for none) and as in `schooling`; and settings of the score itself, such as
    `batchnorm`."""
    schooling: dict[str, Setting] = field(default_factory=dict)
    """Training before all scores that ask for it, such as `--schooling.images 2000`: a `recipe`
    with another `batch` or `learning_rate`, on so many `images`. An instrument's come first."""
    settings: str | None = None
    """Searcher, scores, draws, options, instruments and schooling by name: `deep` (better picks
    than the default), `lga`, `nngp`, `paper`, `released` (the authors' code), on DARTS also
    `paper_imagenet` and `released_imagenet`. What flags or a file change from the default comes
    first."""
    draws: int = 3
    "Draws of weights and probe for each score of each architecture."
    seed: int = 0
    "Seed of the run: other seeds, other draws, splits and choices."
    batch: int = 8
    "Architectures proposed at a time, where the searcher is free to choose."
    train: bool = False
    "Train the pick, and `compare` random architectures, with the same recipe."
    compare: int = 5
    "Random architectures of the space trained beside the pick."
    scale: str = "full"
    "Scale at which networks are trained: `full`, as published, `narrow` or `small`."
    channels: int | None = None
    "Channels of the first stage of trained networks; by default the scale's."
    cells: int | None = None
    "Cells a stage of trained networks; by default the scale's."
    training: str = "default"
    "Named recipe: `default`, `darts_cifar10`, `te_nas_cifar10`, `..._imagenet`."
    recipe: Recipe = field(default_factory=Recipe)
    "How networks are trained: what here differs from the default alters the named recipe."
    device: str = "cpu"
    "`cpu`, `cuda`, `cuda:1`."
    workers: int = os.cpu_count() or 1
    """Worker processes, one torch thread each; changes no number. 0 works in this process, which
    a network that crashes takes along; with workers, that is a failure of that network alone."""
    time_limit: float | None = None
    """Seconds that each step of a measurement may take: building a network, training it before
    scores, a score of one draw. What takes longer fails, and is asked again under a longer limit.
    With 0 workers, only Python code can be stopped."""
    out: Path = Path("untrained-runs")
    "Folder of the store and of one folder for each run."

    def check(self) -> "RunConfig":
        """Itself, or ValueError for a number that makes no sense."""
        least = {"draws": 1, "batch": 1, "compare": 0, "workers": 0, "size": 1, "seed": 0,
                 "channels": 1, "cells": 1}  # fmt: skip
        for name, bound in least.items():
            value = getattr(self, name)
            if value is not None and value < bound:
                raise ValueError(f"{name}: expected a number of at least {bound}, got {value!r}")
        if self.time_limit is not None and not 0 < self.time_limit < float("inf"):
            raise ValueError(
                f"time_limit: expected seconds, more than 0, got {self.time_limit!r}; leave it "
                f"out for none"
            )
        check_recipe(self.recipe)
        check_device(self.device)
        check_precision(self.recipe, self.device)
        if not self.scores:
            raise ValueError("scores: expected at least one, got none; try condition_number")
        return self

    def plain(self) -> dict[str, object]:
        """Itself as values that JSON holds."""
        return {
            **asdict(self),
            "options": plain(self.options),
            "instruments": {name: plain(s) for name, s in self.instruments.items()},
            "schooling": plain(self.schooling),
            "scores": list(self.scores),
            "out": str(self.out),
        }

    def identity(self, fingerprint: str, code: str) -> str:
        """Names the search: equal for equal questions about equal images to equal code.

        What is trained afterwards, where and by how many workers does not count, so that the
        same command with `--train` goes on with the same run.
        """
        asked = {name: value for name, value in self.plain().items() if name in _SEARCH}
        return digest([asked, fingerprint, code])


_SEARCH = {f.name for f in fields(RunConfig)} - {
    "images", "size", "settings", "train", "compare", "scale", "channels", "cells", "training",
    "recipe", "workers", "time_limit", "out",
}  # fmt: skip


def check_device(device: str) -> None:
    """Refuse a device that torch cannot compute on here."""
    try:
        torch.zeros(1, device=device)
    except (RuntimeError, AssertionError) as error:
        reason = str(error).splitlines()[0]
        raise ValueError(
            f"device: expected cpu, or cuda where there is one, got {device!r}: {reason}"
        ) from error


def digest(value: object) -> str:
    """16 hexadecimal digits that stand for a value that JSON holds."""
    text = json.dumps(value, sort_keys=True, default=str)
    return hashlib.blake2b(text.encode(), digest_size=8).hexdigest()
