"""Every public name of `untrained`, used once, for strict type checkers: `python every_name.py`.

`make package` checks it with mypy and pyright against the installed wheel, and runs it.
"""

import random
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import polars as pl
import torch
from torch import nn

import untrained


@dataclass(frozen=True)
class Spread(untrained.Score):
    """A score of one's own."""

    higher_is_better: ClassVar[bool] = True

    def __call__(
        self, network: nn.Module, probe: untrained.Probe, generator: torch.Generator
    ) -> untrained.Reading:
        with torch.no_grad():
            return untrained.Reading(float(network(probe.inputs).std()))


def make(choose: untrained.Choose, inputs: int, classes: int) -> nn.Module:
    """A search space of one's own."""
    width = choose.channels(choose("width", (4, 8)))
    layers = nn.Conv2d(inputs, width, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten()
    return nn.Sequential(*layers, nn.Linear(width, classes))


@dataclass(frozen=True)
class Once(untrained.Searcher):
    """A searcher of one's own: as many random architectures as are asked for, at once."""

    def propose(
        self, history: Sequence[untrained.Trial], count: int, rng: random.Random
    ) -> list[untrained.Proposal]:
        space: untrained.Space[Any] = self.space
        draws = tuple(range(self.draws))
        found = [space.sample(rng) for _ in range(0 if history else count)]
        return [untrained.Proposal(a, draws, "random") for a in found]

    def select(self, history: Sequence[untrained.Trial]) -> untrained.Architecture | None:
        name = self.goals[0].score
        values = {trial.architecture: trial.mean(name) for trial in history}
        known = {a: value for a, value in values.items() if value is not None}
        return max(known, key=known.__getitem__, default=None)


def seeded() -> torch.Generator:
    return torch.Generator().manual_seed(0)


def network() -> nn.Module:
    net = nn.Sequential(nn.Flatten(), nn.Linear(64, 32), nn.ReLU(), nn.Linear(32, 10))
    untrained.draw_weights(net, "kaiming_fan_in", seeded())
    return net


def kernels() -> None:
    net, x = network(), torch.randn(12, 1, 8, 8, generator=seeded())
    labels = torch.arange(12) % 10
    theta: untrained.Kernel = untrained.ntk(net, x, output="trace", batchnorm="frozen")
    found: untrained.Spectrum = untrained.spectrum(theta)
    kappa: float | None = found.condition_number
    shares: dict[str, untrained.Kernel] = untrained.ntk_contributions(net, x)
    operator = untrained.ntk_operator(net, x)
    rows: tuple[int, int] = operator.shape
    product = operator @ np.ones(12)
    limit: untrained.NNGP = untrained.nngp(net, x, generator=seeded(), draws=2)
    fit: untrained.Regression = untrained.regression(limit.mean, labels)
    z: torch.Tensor = untrained.features(net, x).z
    regions: untrained.Regions = untrained.count_regions(net, x)
    print(kappa, list(shares), rows, product[0], int(fit.best()), z.shape, regions.count)


def judged() -> None:
    images = untrained.load_images("digits")
    inspection: untrained.Inspection = untrained.inspect(network(), images)
    loss: untrained.Quantity = inspection.loss
    findings: tuple[untrained.Finding, ...] = untrained.check(Spread())
    ranking: untrained.Ranking = untrained.rank(
        {"perceptron": network}, images, untrained.RankConfig(draws=2, workers=1)
    )
    models: pl.DataFrame = ranking.models
    print(loss.value, sum(f.breaks for f in findings), models.height)


def searched(out: Path) -> None:
    scores = ("parameters", "__main__:Spread")
    config = untrained.RunConfig(
        searcher="__main__:Once",
        scores=scores,
        draws=1,
        space="__main__:make",
        training=untrained.TrainingSpec(epochs=1),
        workers=1,
        out=out,
    )
    folder = untrained.run(config)
    record = untrained.load_record(folder.store, folder.name)
    print(len(record.trials))
    board: untrained.Leaderboard = untrained.bench(
        untrained.BenchConfig(
            scores=("parameters", "naswot"), sample=20, draws=1, workers=1, out=out
        )
    )
    print(board.verdict)
    spread = untrained.SweepConfig(
        architectures="random:3", scores=("naswot",), workers=1, out=out
    )
    print(untrained.sweep("three", spread))


def plug_ins() -> tuple[type, ...]:
    """What else is derived from or made: views, probes, estimates."""
    spec = untrained.ProbeSpec(count=8, split="validation")
    mean = untrained.Estimate(mean=1.0, standard_error=0.1, draws=3).value
    print(spec.count, mean)
    return (untrained.ViewScore, untrained.Space)


if __name__ == "__main__":
    kernels()
    judged()
    searched(Path("every-name"))
    plug_ins()
