"""What a run is asked, with nothing left open: what is carried out and stored.

`presets.resolve` makes it of a `RunConfig`.
"""

from dataclasses import asdict, dataclass, fields

from untrained.outside import without_password
from untrained.runs.beside import Beside
from untrained.runs.config import (
    BASELINES,
    KNEE,
    LARGEST_SEED,
    LEAST_CALIBRATED,
    MOST_DRAWS,
    RunConfig,
    Shrink,
    check_device,
    check_images,
)
from untrained.runs.duration import parse_duration
from untrained.runs.identity import digest
from untrained.runs.limit import parse_limits
from untrained.runs.ray_config import RayConfig
from untrained.settings import LARGEST, check_range, plain
from untrained.storage.address import address_of
from untrained.training.recipe import (
    AUTO,
    Recipe,
    check_precision,
    check_recipe,
)
from untrained.urls import URL

_SEARCH = {f.name for f in fields(RunConfig)} - {
    "images", "size", "preset", "train", "compare", "repeats", "weights", "scale", "channels",
    "cells", "training", "workers", "engine", "ray", "time_limit", "out", "store",
}  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class ResolvedConfig(RunConfig):
    """A configuration in which nothing is left open: what is carried out, stored and compared."""

    searcher: str
    scores: tuple[str, ...]
    draws: int

    @property
    def recipe(self) -> Recipe:
        """Of the training to the end; `training` says all of it, once `auto` is fitted."""
        return self.training.altered(Recipe())

    @property
    def cluster(self) -> RayConfig | None:
        """The cluster that measures and trains; None for this machine."""
        return self.ray if self.engine == "ray" else None

    @property
    def beside(self) -> Beside:
        """What is trained beside the selected architecture."""
        return Beside.parse(self.compare)

    @property
    def every_score(self) -> tuple[str, ...]:
        """Scores to rank by, then what a calibration compares beside them."""
        if self.calibrate is None:
            return self.scores
        return tuple(dict.fromkeys((*self.scores, *(self.calibrate_scores or ()), *BASELINES)))

    @property
    def calibration_recipe(self) -> Recipe:
        """Of the networks that are trained to compare scores."""
        return self.calibration.altered(Recipe())

    def check(self) -> "ResolvedConfig":
        """Itself, or ValueError for a number that makes no sense."""
        least = {"draws": 1, "proposals": 1, "repeats": 1, "workers": 0, "size": 1, "seed": 0,
                 "channels": 1, "cells": 1}  # fmt: skip
        most = {"draws": MOST_DRAWS, "seed": LARGEST_SEED}
        for name, bound in least.items():
            value = getattr(self, name)
            if value is not None:
                check_range(name, value, bound, most.get(name, LARGEST))
        if self.time_limit is not None and not 0 < self.time_limit < float("inf"):
            raise ValueError(
                f"time_limit: expected more than 0 seconds, got {self.time_limit!r}; leave it "
                f"out for none"
            )
        if self.time_budget is not None:
            parse_duration(self.time_budget)
        _ = self.beside  # which refuses what names no network
        check_images(self.images)
        address_of(self.store, self.out)  # which refuses what is no address
        self._check_out()
        if self.training.recipe != AUTO:  # which is checked once it is fitted to the images
            check_recipe(self.recipe)
            check_precision(self.recipe, self.device)
        if self.calibrate is not None and self.calibration.recipe != AUTO:
            check_recipe(self.calibration_recipe)
            check_precision(self.calibration_recipe, self.device)
        for what in ("training", "short_training", "calibration"):
            if (count := getattr(self, what).images) is not None:
                check_range(f"{what}.images", count, 2)
        if (epochs := self.short_training.epochs) is not None:
            check_range("short_training.epochs", epochs, 0)
        check_device(self.device)
        self._check_engine()
        if not self.scores:
            raise ValueError("scores: expected at least one, got none; try condition_number")
        if self.shrink is not None:
            Shrink.parse(self.shrink)
        parse_limits(self.limit)
        self._check_select()
        self._check_calibrate()
        for what in ("scores", "calibrate_scores"):
            names = getattr(self, what) or ()
            for name in names:
                if names.count(name) > 1:
                    raise ValueError(f"{what}: expected each once, got {name!r} twice or more")
        return self

    def _check_out(self) -> None:
        if not isinstance(self.out, URL):
            return
        self.out.check_library()
        if self.out.protocol == "memory" and (self.workers or self.cluster):
            raise ValueError(
                f"out: expected {self.out} with --workers 0 alone, got workers, each of which has "
                f"a memory of its own; try a folder, or s3://BUCKET/FOLDER"
            )

    def _check_engine(self) -> None:
        if self.cluster is not None:
            self.cluster.check(self.workers, self.device)
        elif self.ray != RayConfig():
            raise ValueError(
                f"ray: expected nothing without --engine ray, got {self.ray!r}; add --engine ray"
            )

    def _check_calibrate(self) -> None:
        if self.calibrate is None:
            asked = {k: v for k, v in vars(self.calibration).items() if v is not None}
            alone = {"calibrate_scores": self.calibrate_scores, "calibration": asked}
            for name, given in alone.items():
                if given:
                    raise ValueError(f"{name}: expected nothing without --calibrate, got {given}")
            return
        if self.calibrate < LEAST_CALIBRATED:
            raise ValueError(
                f"calibrate: expected {LEAST_CALIBRATED} networks or more, as fewer cannot tell "
                f"any score from chance, got {self.calibrate}"
            )
        if not self.calibrate_scores:
            raise ValueError("calibrate_scores: expected at least one, got none; try naswot")
        if self.select is not None:
            raise ValueError(
                f"calibrate: expected no --select, as a calibration chooses one score, got "
                f"{self.select}"
            )

    def _check_select(self) -> None:
        if self.select is None:
            return
        if len(self.scores) < 2:
            raise ValueError(
                f"select: expected two scores or more, between which there is a front, got "
                f"{self.scores[0]}; try --scores {self.scores[0]} parameters"
            )
        if self.select not in (KNEE, *self.scores):
            raise ValueError(
                f"select: expected {KNEE} or {' or '.join(self.scores)}, got {self.select!r}"
            )

    def plain(self) -> dict[str, object]:
        """Itself as values that JSON holds."""
        return {
            **asdict(self),
            "options": plain(self.options),
            "score_settings": {name: plain(s) for name, s in self.score_settings.items()},
            "scores": list(self.scores),
            "calibrate_scores": self.calibrate_scores and list(self.calibrate_scores),
            "limit": list(self.limit),
            "out": str(self.out),
            "store": self.store and without_password(self.store),
            "weights": None if self.weights is None else str(self.weights),
        }

    def identity(self, fingerprint: str, code: str) -> str:
        """Names the search: equal for equal questions about equal images to equal code.

        What is trained afterwards, where and by how many workers does not count, so that the
        same command with `--train` continues the same search.
        """
        asked = {name: value for name, value in self.plain().items() if name in _SEARCH}
        for name in (
            "shrink",
            "limit",
            "select",
            "time_budget",
            "asynchronous",
        ):  # older runs, which lack them, keep their name
            if not asked[name]:
                del asked[name]
        if self.calibrate is None:  # for the same reason
            for name in ("calibrate", "calibrate_scores", "calibration"):
                del asked[name]
        if self.limit or self.calibrate:  # they are of the networks that would be trained
            asked |= {name: self.plain()[name] for name in ("scale", "channels", "cells")}
        if self.limit:
            asked["batch"] = self.recipe.batch
        return digest([asked, fingerprint, code])
