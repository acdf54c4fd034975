"""Searches of NAS-Bench-201, guided by what a score says after an epoch.

    python experiments/lga_search.py

Resumes where it was stopped, and leaves a row for each search in `results/lga/guided.csv`, and for
each trial the mean over seeds in `results/lga/guided_curves.csv`.
"""

import multiprocessing
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import cyclopts
import polars as pl
from lga import LIKE_LGA, RESULTS
from nngp import processes

from untrained.runs import RunConfig, RunRecord, load_record, run
from untrained.searchers import Goal
from untrained.searchers.ranks import best
from untrained.settings import Setting
from untrained.spaces import get_space
from untrained.tables import NASBench201Table
from untrained.tables.nasbench201 import DATA
from untrained.training import TrainingSpec

app = cyclopts.App(help=__doc__)

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


@app.default
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
    training_images: int = 1000,
    out: Path = Path("untrained-runs"),
    workers: int = 2,
) -> None:
    """Searches of NAS-Bench-201, each guided by each score after an epoch.

    Args:
        searchers: Keys of SEARCHERS.
        guides: Keys of GUIDES; random search, which sees the same networks under each, takes all.
        seeds: Seeds 0 to seeds - 1 of each.
        training_images: Training images of an epoch.
        out: Folder of the stores, one a process.
        workers: Processes, each of which does whole searches.
    """
    asked = [
        (searcher, guide, seed)
        for seed in range(seeds)
        for searcher in searchers
        for guide in (GUIDES if searcher == "random" else guides)
        if searcher != "halving" or guide not in ("kappa", "parameters")
    ]
    rows: list[dict[str, Any]] = []
    path = out / "lga_guided.csv"
    if path.exists():
        rows = pl.read_csv(path, infer_schema_length=None).to_dicts()
    done = {(row["searcher"], row["guide"], row["seed"]) for row in rows}
    asked = [each for each in asked if each not in done]
    out.mkdir(parents=True, exist_ok=True)
    with processes(workers) as pool:
        for found in pool.map(partial(search, training_images, out), asked):
            rows += found
            print(*found[-1].values(), flush=True)
            pl.DataFrame(rows, infer_schema_length=None).write_csv(path, float_precision=4)
    keep(pl.DataFrame(rows, infer_schema_length=None))


def keep(rows: pl.DataFrame) -> None:
    """Each search's last row, and the means of all over seeds, beside what was kept before."""
    last = pl.col("trial") == pl.col("trial").max().over("searcher", "guide", "seed")
    curves = rows.group_by("searcher", "guide", "trial", maintain_order=True).agg(
        pl.col("seconds", "cifar10").mean()
    )
    for name, found, digits in (
        ("guided", rows.filter(last), 4),
        ("guided_curves", curves, 3),
    ):
        path = RESULTS / f"{name}.csv"
        if path.exists():
            before = pl.read_csv(path, infer_schema_length=None)
            others = before.join(found, on=("searcher", "guide"), how="anti")
            found = pl.concat([others, found], how="vertical_relaxed")
        found.write_csv(path, float_precision=digits)


def search(training_images: int, out: Path, asked: tuple[str, str, int]) -> list[dict[str, Any]]:
    """A row for each trial: what would be selected by then, and after how many seconds of work."""
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
        score_settings={
            each: {**(LIKE_LGA if each == "condition_number" else {}), "count": 128}
            for each in scores
            if each in ("condition_number", *OF_A_KERNEL)
        },
        short_training=TrainingSpec(images=training_images, batch=32)
        if trains or name == "random"
        else TrainingSpec(),
        draws=1,
        seed=seed,
        proposals=1 if searcher in ("reinforce", "local") else 5,
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
        for row in selected(record, score)
    ]


def selected(record: RunRecord, score: str) -> Iterator[dict[str, Any]]:
    """The selected architecture by one score after each trial, and what the table says of it."""
    space, table = get_space("nasbench201"), NASBench201Table()
    goals = [Goal(score, record.directions[score] > 0)]
    trials = record.history(space)
    if any(trial.architecture.partial for trial in trials):  # pruning ends with its only network
        yield {"trial": len(trials), **standing(record.selected, table)}
        return
    for k in range(len(trials)):
        last = trials[k].epochs  # scores after other numbers of epochs do not compare
        selected = best([trial for trial in trials[: k + 1] if trial.epochs == last], goals)
        yield {"trial": k + 1, **standing(str(selected.architecture) if selected else None, table)}


def standing(selected: str | None, table: NASBench201Table) -> dict[str, Any]:
    """Its test accuracies after 200 epochs in percent; nothing without selecting one."""
    if selected is None:
        return {}
    known = table.row(selected)
    accuracies = {data: 100 * known[f"{data}_test_200"] for data in DATA}
    return {"architecture": selected, **accuracies}


if __name__ == "__main__":
    app()
