"""How much of NAS-Bench-201's front of accuracy and latency a search finds, and limits cost.

    python experiments/pareto.py nsga2      # results/pareto/nsga2.csv
    python experiments/pareto.py scores     # results/pareto/scores.csv
    python experiments/pareto.py scores --measured FOLDER/values.parquet --name scores_measured
    python experiments/pareto.py limits     # results/pareto/limits.csv

Accuracy is that of CIFAR-10's test images after 200 epochs, latency that of HW-NAS-Bench, both of
the table. `share` is the hypervolume of what was found as a share of the whole front's, up to the
worst accuracy and latency of the population; `nadir` up to the worst ones on the front, where
what is left over counts for more.
"""

import csv
import random
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from statistics import quantiles
from typing import Any

import cyclopts
import numpy as np
import polars as pl
import torch

from untrained.data import data_folder
from untrained.runs.config import RunConfig
from untrained.runs.driver import opened
from untrained.runs.limit import Limit
from untrained.scores import SCORES
from untrained.searchers import Goal, History, Trial, make_searcher
from untrained.searchers.pareto import Points, front, hypervolume
from untrained.spaces import Architecture, Space, get_space
from untrained.spaces.nasbench201 import NASBench201
from untrained.tables import NASBench201Table
from untrained.tables.hardware import DEVICES, of_device

ROOT = Path(__file__).parents[1]
SAVED = ROOT / "results" / "pareto"
GOALS = (Goal("accuracy", True), Goal("latency", False))

app = cyclopts.App(help=__doc__, default_parameter=cyclopts.Parameter(consume_multiple=True))


class EveryRow(NASBench201):
    """Each of the 15,625 rows counts by itself: isomorphic cells were measured one by one, with
    other results."""

    def canonical(self, architecture: Any) -> Any:
        return architecture


SPACES: dict[str, Space[Any]] = {"forms": get_space("nasbench201"), "rows": EveryRow()}
"""The 6,466 canonical forms, which is what a run measures, each with its own row of the table; and
all rows."""


def accuracies() -> dict[str, float]:
    """Architecture -> its accuracy."""
    frame = NASBench201Table().frame
    return dict(zip(frame["architecture"], frame["cifar10_test_200"], strict=True))


class Front:
    """A population with the hypervolume of its front."""

    def __init__(self, points: Points):
        best = points[front(points)]
        self.size = len(np.unique(best, axis=0))
        self.references = points.max(0), best.max(0)
        self.whole = [hypervolume(best, tuple(r)) for r in self.references]

    def shares(self, points: Points) -> tuple[float, float]:
        """Of the hypervolume, up to the population's worst values and up to the front's."""
        pairs = zip(self.references, self.whole, strict=True)
        worst, nadir = (hypervolume(points, tuple(r)) / whole for r, whole in pairs)
        return worst, nadir


@app.command
def nsga2(
    *,
    evaluations: int = 500,
    seeds: int = 10,
    devices: tuple[str, ...] = DEVICES["latency"],
    name: str = "nsga2",
) -> None:
    """What NSGA-II and random search find by the table's accuracies and latencies."""
    save(name, searched(evaluations, seeds, devices))


def searched(evaluations: int, seeds: int, devices: Sequence[str]) -> Iterator[dict[str, Any]]:
    """A row a device, population, searcher and seed."""
    accuracy = accuracies()
    for device in devices:
        latency = of_device("latency", device)
        for name, space in SPACES.items():
            points = {
                str(a): (-accuracy[str(a)], latency[str(a)])
                for a in {space.canonical(a) for a in space.enumerate()}
                if str(a) in latency
            }
            whole = Front(np.array([*points.values()]))
            for searcher in ("nsga2", "random"):
                for seed in range(seeds):
                    found = [
                        points[str(a)] for a in tried(searcher, space, points, evaluations, seed)
                    ]
                    share, nadir = whole.shares(np.array(found))
                    yield {
                        "device": device, "population": name, "size": len(points),
                        "front": whole.size, "searcher": searcher, "seed": seed,
                        "evaluations": evaluations, "share": share, "nadir": nadir,
                    }  # fmt: skip


def tried(
    name: str,
    space: Space[Any],
    points: dict[str, tuple[float, float]],
    evaluations: int,
    seed: int,
) -> list[Architecture]:
    """The canonical forms of what a searcher tried; without those whose latency is not known, to
    the searcher failures."""
    searcher = make_searcher(name, space, GOALS, 1, {"evaluations": evaluations})
    history = History(space)
    while proposals := searcher.propose(history, 8, random.Random(f"{seed}/{len(history)}")):
        for proposal in proposals:
            turned, latency = points.get(str(space.canonical(proposal.architecture)), (0.0, None))
            values = {"accuracy": (-turned,), "latency": (latency,)}
            history.append(Trial(**vars(proposal), values=values))
    forms = [space.canonical(trial.architecture) for trial in history]
    return [form for form in forms if str(form) in points]


@app.command
def scores(
    *,
    devices: tuple[str, ...] = DEVICES["latency"],
    measured: Path | None = None,
    name: str = "scores",
) -> None:
    """How much of the front lies in that of a training-free score and latency.

    The scores are NAS-Bench-Suite-Zero's published values, of the architectures that they are
    published for, or those of a bench (`measured`, its values.parquet), without an accuracy in
    sight; those on their front are judged by the table. `random` are as many networks drawn at
    random, 100 times.
    """
    save(name, judged(devices, published() if measured is None else of_bench(measured)))


def published() -> pl.DataFrame:
    """NAS-Bench-Suite-Zero's values, higher is better, by architecture."""
    path = data_folder() / "tables" / "nasbench201_published_proxies.parquet"
    named = NASBench201Table().frame.select(pl.col("index").cast(pl.Int64), "architecture")
    found = pl.read_parquet(path).filter(pl.col("dataset") == "cifar10").join(named, "index")
    return found.select(
        "architecture", *(n for n in found.columns if found[n].dtype == pl.Float64)
    )


def of_bench(path: Path) -> pl.DataFrame:
    """The scores of a bench of one draw, turned so that higher is better, by architecture."""
    found = pl.read_parquet(path)
    turned = (
        pl.col(n).cast(pl.Float64) * (1 if SCORES[n].higher_is_better else -1)
        for n in found.columns
        if n in SCORES
    )
    return found.select("architecture", *turned)


def judged(devices: Sequence[str], values: pl.DataFrame) -> Iterator[dict[str, Any]]:
    """A row a device and score."""
    accuracy = accuracies()
    names = [n for n in values.columns if n != "architecture"]
    rng = np.random.default_rng(0)
    for device in devices:
        known = pl.DataFrame(
            list(of_device("latency", device).items()), ["architecture", "latency"], orient="row"
        )
        table = values.join(known, "architecture")
        accuracy_of = table["architecture"].replace_strict(accuracy, return_dtype=pl.Float64)
        points = np.stack([-accuracy_of.to_numpy(), table["latency"].to_numpy()], 1)
        whole = Front(points)
        for name in names:
            score = table[name].fill_null(float("nan")).to_numpy()
            sound = np.flatnonzero(np.isfinite(score))
            scored = np.stack([-score, points[:, 1]], 1)[sound]
            kept = sound[front(scored)]
            share, nadir = whole.shares(points[kept])
            chance = [
                whole.shares(points[rng.choice(len(points), len(kept), False)]) for _ in range(100)
            ]
            yield {
                "device": device, "score": name, "architectures": len(points),
                "selected": len(kept), "share": share, "nadir": nadir,
                "share_random": float(np.mean([c[0] for c in chance])),
                "nadir_random": float(np.mean([c[1] for c in chance])),
            }  # fmt: skip


@app.command
def limits(
    *, proposals: int = 1000, spaces: tuple[str, ...] = ("nasbench201", "natsbench_size", "mnas")
) -> None:
    """Proposals under a limit that about one architecture in a hundred meets.

    On parameters; on NAS-Bench-201, where one in eleven has the fewest that there are, on the edge
    GPU's latency.
    """
    save("limits", proposed(proposals, spaces))


def proposed(count: int, spaces: Sequence[str]) -> Iterator[dict[str, Any]]:
    """A row a space."""
    for name in spaces:
        on_device = name == "nasbench201"
        quantity = "latency:edgegpu" if on_device else "parameters"
        measure = latencies if on_device else parameters
        space, rng = get_space(name), random.Random("hundredth")
        some = [space.sample(rng) for _ in range(110)]
        most = quantiles(measure(space, some), n=100)[0]
        limit = f"{quantity}={1e3 * most:.4f}ms" if on_device else f"{quantity}={most:.0f}"
        with tempfile.TemporaryDirectory() as out:
            began = time.process_time()
            with opened(asked(name, Path(out), limit)) as session:
                ready = time.process_time()
                rng = random.Random(0)
                drawn = [session.eligible.sample(rng) for _ in range(count)]
                seconds = time.process_time() - ready
                limited = session.store.run(session.folder.name)["limited"]
                found = measure(session.space, list(dict.fromkeys(drawn)))
        yield {
            "space": name, "limit": limit, "within": limited["within"],
            "of_random": limited["drawn"], "proposals": count, "different": len(set(drawn)),
            "over": sum(value > Limit.parse(limit).most for value in found),
            "start_seconds": ready - began,
            "proposals_a_second": count / seconds,
        }  # fmt: skip


def latencies(space: Space[Any], architectures: Sequence[Any]) -> list[float]:
    """Of the edge GPU, by the table."""
    known = of_device("latency", "edgegpu")
    return [known[str(space.canonical(a))] for a in architectures]


def parameters(space: Space[Any], architectures: Sequence[Any]) -> list[float]:
    """Of networks that are built; of the first 110."""
    with torch.device("meta"):
        built = (
            space.build(space.canonical(a), space.scales["full"], inputs=(1, 8, 8), classes=10)
            for a in architectures[:110]
        )
        return [float(sum(p.numel() for p in network.parameters())) for network in built]


def asked(space: str, out: Path, *limits: str) -> RunConfig:
    """A random search of images that come with the package."""
    return RunConfig(
        space=space, searcher="random", scores=("effective_depth",), draws=1, workers=0, out=out,
        limit=limits,
    )  # fmt: skip


def save(name: str, rows: Iterator[dict[str, Any]]) -> None:
    """As a file of results, printed as they come."""
    SAVED.mkdir(parents=True, exist_ok=True)
    kept = []
    for row in rows:
        kept.append({k: round(v, 4) if isinstance(v, float) else v for k, v in row.items()})
        print(kept[-1], flush=True)
    with (SAVED / f"{name}.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, [*kept[0]], lineterminator="\n")
        writer.writeheader()
        writer.writerows(kept)


if __name__ == "__main__":
    app()
