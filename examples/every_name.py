"""Every public name of `untrained`, used once, for strict type checkers: `python every_name.py`.

`make package` checks it with mypy and pyright against the installed wheel, and runs it.
"""

import random
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
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
    with TemporaryDirectory() as folder:
        stored = untrained.ntk_on_disk(net, x, file=Path(folder) / "theta.npy")
        product += stored @ np.ones(12)
        part: untrained.Kernel = stored[:3, [0, 5]]
    limit: untrained.NNGP = untrained.nngp(net, x, generator=seeded(), draws=2)
    fit: untrained.Regression = untrained.regression(limit.mean, labels)
    z: torch.Tensor = untrained.features(net, x).z
    regions: untrained.Regions = untrained.count_regions(net, x)
    print(
        kappa, list(shares), rows, product[0], part.shape, int(fit.best()), z.shape, regions.count
    )


def judged() -> None:
    images = untrained.load_images("digits")
    inspection: untrained.Inspection = untrained.inspect(network(), images)
    loss: untrained.Quantity = inspection.loss
    findings: tuple[untrained.Finding, ...] = untrained.check(Spread())
    ranking: untrained.Ranking = untrained.rank(
        {"perceptron": network}, images, config=untrained.RankConfig(draws=2), workers=1
    )
    models: pl.DataFrame = ranking.models
    print(loss.value, sum(f.breaks for f in findings), models.height)


def theory() -> None:
    net, x = network().double(), torch.randn(9, 1, 8, 8, generator=seeded()).double()
    y = torch.randn(6, 10, generator=seeded()).double()
    theta = untrained.ntk(net, x, output="trace", dtype=torch.float64)
    flow: untrained.Descent = untrained.gradient_flow(theta[:6, :6], y)
    steps = untrained.gradient_descent(theta[:6, :6], y, rate=0.5 * flow.largest_rate)
    later: torch.Tensor = flow.predict(theta[6:, :6], 2.0)
    linear: nn.Module = untrained.linearised(net)
    limit = untrained.infinite(net)
    nngp: torch.Tensor = limit(x).nngp
    process = untrained.posterior(nngp, y)
    made = untrained.distill(
        untrained.load_images("digits"), lambda a, b: limit(a, b).ntk,
        generator=seeded(), per_class=1, steps=2, batch=20,
    )  # fmt: skip
    print(later.shape, steps.loss(3), linear(x).shape, process.deviation, made.inputs.shape)


def searched(out: Path) -> None:
    chosen: dict[str, Any] = {"draws": 1, "workers": 1, "out": out}
    found: untrained.Run = untrained.search(
        space=make,
        searcher=Once,
        scores=["parameters", Spread],
        train=True,
        training=untrained.TrainingSpec(epochs=1),
        compare=0,
        draws=1,
        workers=1,
        out=out,
    )
    best: str | None = found.best
    frames: tuple[pl.DataFrame, ...] = found.trials, found.trainings
    trained: nn.Module = found.network()
    again = untrained.open_run(found.folder.path)
    named = untrained.score("width=4", space=make, scores="parameters", workers=1, out=out)
    page = untrained.report(untrained.train("width=4", space=make, compare=0, workers=1,
                                            training={"epochs": 1}, out=out))  # fmt: skip
    print(best, frames[0].height, trained.training, again.best, named.best, page)
    config = untrained.RunConfig(searcher="random", options={"evaluations": 2}, **chosen)
    folder = untrained.run(config)
    record = untrained.load_record(folder.store, folder.name)
    print(len(record.trials))
    board: untrained.Leaderboard = untrained.bench(
        config=untrained.BenchConfig(sample=20), scores=["parameters", "naswot"], **chosen
    )
    print(board.verdict)
    spread = untrained.SweepConfig(architectures="random:3", scores=("naswot",))
    state: untrained.SweepState = untrained.sweep("three", config=spread, workers=1, out=out)
    print(state.done)


def tracked(out: Path) -> None:
    found: untrained.Tracked = untrained.track(network(), training={"epochs": 1}, out=out)
    assert found.folder is not None
    again = untrained.open_track(found.folder.path)
    tracker = untrained.Tracker("digits", support=0)
    print(again.snapshots.height, tracker(network()).alignment.value)


def plug_ins() -> tuple[type, ...]:
    """What else is derived from or made: views, probes, estimates."""
    spec = untrained.ProbeSpec(count=8, split="validation")
    mean = untrained.Estimate(mean=1.0, standard_error=0.1, draws=3).value
    print(spec.count, mean)
    return (untrained.ViewScore, untrained.Space)


if __name__ == "__main__":
    kernels()
    judged()
    theory()
    searched(Path("every-name"))
    tracked(Path("every-name"))
    plug_ins()
