"""Label-gradient alignment: how well kernels rank networks, before and after a little training.

    python experiments/lga.py epochs cifar10
    python experiments/lga.py epochs cifar100
    python experiments/lga.py initialisation
    python experiments/lga.py tracks
    python experiments/lga.py guided

Each resumes where it was stopped, and leaves its rows in `results/lga_*.csv`;
`experiments/lga_tables.py` makes tables and pictures of them, and `docs/lga.md` shows these.
"""

import multiprocessing
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import cyclopts
import polars as pl
import torch

from untrained.runs import RunConfig, RunRecord, load_record, run
from untrained.runs.moments import MEASURED
from untrained.runs.track_config import TrackConfig, track_one
from untrained.search import Goal, Trial
from untrained.search.ranks import best
from untrained.settings import Setting
from untrained.spaces import get_space
from untrained.tables import TABLES, NASBench201Table

RESULTS = Path(__file__).parents[1] / "results"

EPOCHS = (1, 2, 5)

ALIGNMENTS = ("label_alignment", "label_alignment_normalised", "label_alignment_centred")
KERNEL = (*ALIGNMENTS, "ntk_norm", "ntk_mean", "ntk_trace", "condition_number")
OUTPUTS = ("training_loss", "training_accuracy", "validation_loss", "validation_accuracy")

LIKE_LGA: dict[str, Setting] = {
    "count": 256,
    "split": "validation",
    "augment": False,
    "at_most": True,
    "parameters": "weights_below_head",
    "scale": "narrow",
}
"What makes the condition number one of the kernel that LGA looks at."

app = cyclopts.App(help=__doc__)


@app.command
def epochs(
    images: str,
    *,
    count: int = 300,
    size: int = 16,
    lesson: int = 2000,
    out: Path = Path("untrained-runs"),
    workers: int = 2,
) -> None:
    """Random architectures of NAS-Bench-201 at initialisation and after 1, 2 and 5 epochs.

    Parameters
    ----------
    images
        `cifar10` or `cifar100`.
    count
        Architectures, no two of which compute the same; they do not depend on the images.
    size
        Side of the images in pixels.
    lesson
        Training images.
    out
        Folder of the store.
    workers
        Processes.
    """
    trained = tuple(f"{name}@{e}" for e in EPOCHS for name in (*KERNEL, *OUTPUTS))
    config = RunConfig(
        images=images,
        size=size,
        searcher="random",
        options={"evaluations": count},
        scores=("parameters", *(f"{name}@0" for name in KERNEL), *trained),
        instruments={"condition_number": LIKE_LGA},
        schooling={"images": lesson},
        draws=1,
        batch=20,
        workers=workers,
        out=out,
    )
    keep(measured(config), f"lga_epochs_{images}")


TABLED: dict[str, tuple[str, str, int]] = {
    "nasbench201": ("nasbench201", "cifar10", 300),
    "nasbench101": ("nasbench101", "cifar10", 300),
    "darts": ("darts", "cifar10", 150),
    "mnas": ("mnas", "cifar10", 100),
    "mnas_tinyimagenet": ("mnas", "tinyimagenet32", 100),
}
"Name -> space, images and rows of its table."


@app.command
def initialisation(
    *,
    names: Annotated[tuple[str, ...], cyclopts.Parameter(consume_multiple=True)] = tuple(TABLED),
    out: Path = Path("untrained-runs"),
    workers: int = 2,
) -> None:
    """Kernels at initialisation on rows of every space's table, at 32 x 32 pixels.

    Parameters
    ----------
    names
        Keys of TABLED.
    out
        Folder of the store.
    workers
        Processes.
    """
    scores = tuple(f"{name}@0" for name in KERNEL)
    few: dict[str, dict[str, Setting]] = {name: {"count": 128} for name in scores}
    for name in names:
        space, images, count = TABLED[name]
        table = TABLES[space]().frame.sample(count, seed=0)
        config = RunConfig(
            images=images,
            space=space,
            searcher="given",
            options={"architectures": " ".join(table["architecture"])},
            scores=("parameters", *scores),
            instruments={**few, "condition_number": LIKE_LGA},
            draws=1,
            workers=workers,
            out=out,
        )
        keep(measured(config), f"lga_initialisation_{name}")


@app.command
def tracks(*, count: int = 20, out: Path = Path("untrained-runs"), workers: int = 2) -> None:
    """Kernels of networks from the worst to the best of NAS-Bench-201, through 20 epochs.

    Parameters
    ----------
    count
        Networks, at equal distances in the order of their accuracy on CIFAR-10.
    out
        Folder of the trackings.
    workers
        Processes.
    """
    space, table = get_space("nasbench201"), NASBench201Table().frame.sort("cifar10_test_200")
    unique = {str(space.canonical(space.parse(text))) for text in table["architecture"]}
    texts = table.filter(pl.col("architecture").is_in(unique))["architecture"]
    chosen = [texts[round(k * (len(texts) - 1) / (count - 1))] for k in range(count)]
    config = TrackConfig(
        images="cifar10",
        size=16,
        subset=1000,
        epochs=20,
        recipe="brief",
        parameters="weights_below_head",
        out=out,
    )
    with processes(workers) as pool:
        rows = [row for part in pool.map(partial(tracked, config), chosen) for row in part]
    pl.DataFrame(rows, infer_schema_length=None).write_csv(
        RESULTS / "lga_tracks.csv", float_precision=5
    )


def tracked(config: TrackConfig, text: str) -> list[dict[str, Any]]:
    """A row for each epoch."""
    _, found = track_one(config, text)
    print(text, found.failure, flush=True)
    return [
        {
            "architecture": text,
            "epoch": moment.epoch,
            "seconds": moment.seconds,
            **{name: getattr(moment, name).value for name in MEASURED},
        }
        for moment in found.moments
    ]


GUIDES = {
    "LGA": "label_alignment",
    "normalised LGA": "label_alignment_normalised",
    "kernel mean": "ntk_mean@1",
    "validation accuracy": "validation_accuracy",
    "training loss": "training_loss",
    "kappa": "condition_number",
    "parameters": "parameters",
}
SEARCHERS: dict[str, tuple[str, dict[str, Setting]]] = {
    "random": ("random", {"evaluations": 30}),
    "evolution": ("evolution", {"evaluations": 30, "population": 10, "sample": 3}),
    "REINFORCE": ("reinforce", {"evaluations": 30}),
    "local": ("local", {"evaluations": 30, "greedy": True}),
    "halving": ("halving", {"evaluations": 12}),
    "pruning": ("pruning", {}),
}
"""Name -> searcher and options: 30 epochs of training each; halving trains 12 networks for one, 4
of them for three and 2 for nine, 32 epochs. Pruning has rounds of its own."""
OF_A_KERNEL = ("label_alignment", "label_alignment_normalised", "ntk_mean@1")
"Guides that share a kernel, where they are measured together."


@app.command
def guided(
    *,
    searchers: Annotated[tuple[str, ...], cyclopts.Parameter(consume_multiple=True)] = (
        "random",
        "evolution",
        "REINFORCE",
        "local",
        "halving",
    ),
    guides: Annotated[tuple[str, ...], cyclopts.Parameter(consume_multiple=True)] = (
        "LGA",
        "validation accuracy",
        "training loss",
        "kappa",
        "parameters",
    ),
    seeds: int = 10,
    lesson: int = 1000,
    out: Path = Path("untrained-runs"),
    workers: int = 2,
) -> None:
    """Searches of NAS-Bench-201, each guided by each score after an epoch.

    Parameters
    ----------
    searchers
        Keys of SEARCHERS.
    guides
        Keys of GUIDES; random search, which sees the same networks under each, takes all.
    seeds
        Seeds 0 to seeds - 1 of each.
    lesson
        Training images of an epoch.
    out
        Folder of the stores, one a process.
    workers
        Processes, each of which does whole searches.
    """
    asked = [
        (searcher, guide, seed)
        for seed in range(seeds)
        for searcher in searchers
        for guide in (GUIDES if searcher == "random" else guides)
        if searcher != "halving" or guide not in ("kappa", "parameters")
    ]
    rows: list[dict[str, Any]] = []
    path = RESULTS / "lga_guided.csv"
    if path.exists():
        rows = pl.read_csv(path, infer_schema_length=None).to_dicts()
    done = {(row["searcher"], row["guide"], row["seed"]) for row in rows}
    asked = [each for each in asked if each not in done]
    with processes(workers) as pool:
        for found in pool.map(partial(search, lesson, out), asked):
            rows += found
            print(*found[-1].values(), flush=True)
            pl.DataFrame(rows, infer_schema_length=None).write_csv(path, float_precision=4)


def search(lesson: int, out: Path, asked: tuple[str, str, int]) -> list[dict[str, Any]]:
    """A row for each trial: what would be picked by then, and after how many seconds of work."""
    name, guide, seed = asked
    searcher, options = SEARCHERS[name]
    score = GUIDES[guide]
    scores = tuple(GUIDES.values()) if name == "random" else (score,)  # all see the same ones
    trains = score not in ("condition_number", "parameters")
    config = RunConfig(
        images="cifar10",
        size=16,
        searcher=searcher,
        options=options,
        scores=scores,
        instruments={
            each: {**(LIKE_LGA if each == "condition_number" else {}), "count": 128}
            for each in scores
            if each in ("condition_number", *OF_A_KERNEL)
        },
        schooling={"images": lesson, "batch": 32} if trains or name == "random" else {},
        draws=1,
        seed=seed,
        batch=1 if searcher in ("reinforce", "local") else 5,
        workers=0,
        out=out / f"guided-{multiprocessing.current_process().name}",
    )
    folder = run(config)
    record = load_record(folder.store, folder.name)
    steps = {score, *(OF_A_KERNEL if score in OF_A_KERNEL else ())}
    steps |= {"training before scores"} if trains else set()
    work = sum(cost.seconds for cost in record.costs if cost.step in steps)
    # A network of a later rung is trained on from a third of its epochs.
    epochs = [(trial.epochs or 1) - (trial.epochs or 1) // 3 for trial in record.trials]
    return [
        {
            "searcher": name,
            "guide": guide,
            "seed": seed,
            **row,
            "seconds": work * sum(epochs[: row["trial"]]) / sum(epochs),
        }
        for row in picks(record, score)
    ]


def picks(record: RunRecord, score: str) -> Iterator[dict[str, Any]]:
    """The pick by one score after each trial, and what the table says of it."""
    space, table = get_space("nasbench201"), NASBench201Table()
    goals = [Goal(score, record.directions[score] > 0)]
    trials = [
        Trial(
            space.parse(trial.architecture),
            (0,),
            trial.note,
            {score: tuple(r.value for r in column) for score, column in trial.readings.items()},
            epochs=trial.epochs,
        )
        for trial in record.trials
    ]
    for k in range(len(trials)):
        last = trials[k].epochs  # scores after other numbers of epochs do not compare
        pick = best([trial for trial in trials[: k + 1] if trial.epochs == last], goals)
        row: dict[str, Any] = {"trial": k + 1}
        if pick is not None and not pick.architecture.partial:
            row["architecture"] = str(pick.architecture)
            known = table.row(row["architecture"])
            for data in ("cifar10", "cifar100", "imagenet16_120"):
                row[data] = 100 * known[f"{data}_test_200"]
        yield row


def processes(workers: int) -> ProcessPoolExecutor:
    """So many, of one thread each."""
    spawn = multiprocessing.get_context("spawn")
    return ProcessPoolExecutor(workers, spawn, torch.set_num_threads, (1,))


def measured(config: RunConfig) -> RunRecord:
    """The record of a run, made or gone on with."""
    folder = run(config, lambda progress: print(*progress, flush=True))
    return load_record(folder.store, folder.name)


def keep(record: RunRecord, name: str) -> None:
    """A row for each architecture, a column for each score; and what each cost."""
    rows = [
        {
            "architecture": trial.architecture,
            **{score: column[0].value for score, column in trial.readings.items()},
        }
        for trial in record.trials
    ]
    frame = pl.DataFrame(rows, infer_schema_length=None)
    frame.write_csv(RESULTS / f"{name}.csv", float_precision=6)
    costs = [
        {"step": cost.step, "count": cost.count, "seconds": cost.seconds} for cost in record.costs
    ]
    pl.DataFrame(costs).write_csv(RESULTS / f"{name}_seconds.csv", float_precision=3)
    print(f"{len(frame)} architectures, {sum(record.wall_seconds.values()):.0f} s")


if __name__ == "__main__":
    app()
