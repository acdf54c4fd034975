"""TE-NAS on NAS-Bench-201: searches, their ablations, and how well kappa and R rank.

    python experiments/te_nas.py searches
    python experiments/te_nas.py correlations
    python experiments/te_nas.py random

Interrupted, each resumes. Accuracies are of the benchmark's table, 200 epochs. Rows go to
`results/te_nas/searches.csv` and `results/te_nas/correlations.csv`; `docs/te_nas.md` shows them.
DARTS is in `experiments/te_nas_darts.py`.
"""

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import cyclopts
import numpy as np
import polars as pl
from scipy.stats import rankdata

from untrained.runs import RunConfig, RunRecord, load_record, run
from untrained.searchers import Goal
from untrained.searchers.ranks import best
from untrained.settings import Setting
from untrained.spaces import get_space
from untrained.tables import NASBench201Table, agreement
from untrained.tables.nasbench201 import DATA

RESULTS = Path(__file__).parents[1] / "results" / "te_nas"

IMAGES = {
    "cifar10": ["--images", "cifar10"],
    "cifar100": ["--images", "cifar100"],
    "tinyimagenet16": ["--images", "tinyimagenet32", "--size", "16"],
}
VARIANTS = {
    "paper's search": [],
    "own draws": ["--options.common", "false"],
    "paper's text": ["--preset", "paper"],
    "kappa alone": ["--scores", "condition_number"],
    "R alone": ["--scores", "linear_regions"],
    "min of ranks": ["--options.combine", "min"],
    "max of ranks": ["--options.combine", "max"],
    "raw gains": ["--options.combine", "raw"],
    "deep": ["--preset", "deep"],
    "released code": ["--preset", "released"],
    "released code, statistics held": [
        *("--preset", "released", "--score-settings.condition_number.batchnorm", "frozen")
    ],
}

app = cyclopts.App(help=__doc__)


@app.command
def searches(
    *,
    variants: Annotated[tuple[str, ...], cyclopts.Parameter(consume_multiple=True)] = (
        "paper's search",
    ),
    images: Annotated[tuple[str, ...], cyclopts.Parameter(consume_multiple=True)] = tuple(IMAGES),
    seeds: int = 10,
    out: Path = Path("untrained-runs"),
) -> None:
    """Searches, keeps a row a seed, and prints the table.

    Each seed is one call of the command, so the seconds are those that a user waits: Python's
    start, loading images, starting workers, the search, and the report.

    Args:
        variants: Which searches: any of the keys of VARIANTS.
        images: Which images to search with: any of the keys of IMAGES.
        seeds: Seeds 0 to seeds - 1 of each.
        out: The command's --out.
    """
    path = RESULTS / "searches.csv"
    rows = pl.read_csv(path) if path.exists() else pl.DataFrame()
    for variant in variants:
        for data in images:
            for seed in range(seeds):
                asked = {"images": data, "variant": variant, "seed": seed}
                if not rows.is_empty() and not rows.filter(**asked).is_empty():
                    continue
                row = pl.DataFrame([asked | search(IMAGES[data], VARIANTS[variant], seed, out)])
                rows = pl.concat([rows, row], how="diagonal")
                rows.sort("images", "variant", "seed").write_csv(path, float_precision=4)
    print("mean (standard deviation): test accuracy in percent on C10, C100, IN16; seconds")
    print(f"  {'paper (4 seeds)':42} 93.9 ( 0.47)   71.24 ( 0.56)   42.38 ( 0.46)")
    print(line("random without none", without_none()))
    for (data, variant), group in rows.group_by("images", "variant", maintain_order=True):
        print(line(f"{data}: {variant} ({len(group)} seeds)", group))


def without_none() -> pl.DataFrame:
    """The 4,096 architectures that the search can end with: what picking blindly gives."""
    frame = NASBench201Table().frame.filter("none_free")
    return frame.select((100 * pl.col(f"{data}_test_200")).alias(data) for data in DATA)


def search(images: list[str], variant: list[str], seed: int, out: Path) -> dict[str, object]:
    """One call of the command, and where its architecture stands."""
    command = [sys.executable, "-m", "untrained", "search", "--space", "nasbench201", *images]
    command += ["--seed", str(seed), "--out", str(out), "--json", *variant]
    begun = time.perf_counter()
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    seconds = time.perf_counter() - begun
    return standing(json.loads(done.stdout)["selected"]) | {"seconds": seconds}


def standing(selected: str) -> dict[str, object]:
    """The table's row of an architecture."""
    standings = {(s.data, s.population): s for s in NASBench201Table().standings(selected)}
    row: dict[str, object] = {"selected": selected}
    for column, name in DATA.items():
        row[column] = 100 * standings[name, "all"].accuracy
        row[f"{column}_beats"] = standings[name, "all"].percentile
        without = standings.get((name, "none-free"))
        row[f"{column}_beats_none_free"] = without and without.percentile
    return row


def line(name: str, group: pl.DataFrame) -> str:
    """Mean and standard deviation of each column."""
    columns = [column for column in (*DATA, "seconds") if column in group.columns]
    values = group.select(columns)
    means, spreads = values.mean().row(0), values.std().row(0)
    cells = [f"{m:6.2f} ({s or 0:5.2f})" for m, s in zip(means, spreads, strict=True)]
    return f"  {name:42}" + "  ".join(cells)


@app.command
def correlations(
    *, count: int = 6466, coupled: int = 100, out: Path = Path("untrained-runs")
) -> None:
    """Ranks architectures by kappa, by R and by the sum of ranks, three draws of each.

    Args:
        count: Random architectures, no two of which compute the same; 6,466 are all there are.
        coupled: Of these, how many are also measured with differentiated batch statistics.
        out: Folder of the store.
    """
    config = at_random(count, out)
    record = measured(config)
    rows = list(ranked(record, "all"))
    rows += ranked(without(record), "without none")
    deep = measured(replace(config, preset="deep", draws=1))
    rows += ranked(deep, "all, 5 cells a stage")
    rows += ranked(without(deep), "without none, 5 cells a stage")
    few: dict[str, Setting] = {"count": 32}
    for policy in ("frozen", "batch"):
        kappa = few | {"batchnorm": policy}
        asked = replace(
            config,
            options={"evaluations": coupled},
            scores=("condition_number",),
            score_settings={"condition_number": kappa},
        )
        rows += ranked(measured(asked), f"{coupled} of all, 32 images, {policy}")
    frame = pl.DataFrame(rows)
    frame.write_csv(RESULTS / "correlations.csv", float_precision=4)
    with pl.Config(tbl_rows=-1, tbl_cols=-1, tbl_width_chars=160):
        print(frame)


@app.command
def random(*, count: int = 1000, group: int = 135, out: Path = Path("untrained-runs")) -> None:
    """Random search: the architectures of `correlations`, `group` without `none` at a time.

    The selected architecture of a group has the lowest rank sum. Its seconds are its share of
    those that all took, without Python's start.

    Args:
        count: As given to `correlations`.
        group: Architectures a search: 135 take about as long as the pruning search.
        out: Folder of the store.
    """
    record = measured(at_random(count, out))
    space = get_space("nasbench201")
    goals = [Goal(score, direction > 0) for score, direction in record.directions.items()]
    trials = without(record).history(space)
    path = RESULTS / "searches.csv"
    rows = pl.read_csv(path).filter(pl.col("variant") != "random")
    for seed in range(len(trials) // group):
        selected = best(trials[seed * group : (seed + 1) * group], goals)
        assert selected is not None
        asked = {"images": "cifar10", "variant": "random", "seed": seed}
        seconds = record.wall_seconds["search"] * group / count
        row = asked | standing(str(selected.architecture)) | {"seconds": seconds}
        rows = pl.concat([rows, pl.DataFrame([row])], how="diagonal")
    rows.sort("images", "variant", "seed").write_csv(path, float_precision=4)
    print(line("random", rows.filter(variant="random")))


def at_random(count: int, out: Path) -> RunConfig:
    """Random architectures measured by kappa and R, three draws."""
    return RunConfig(
        images="cifar10",
        searcher="random",
        options={"evaluations": count},
        scores=("condition_number", "linear_regions"),
        proposals=250,
        out=out,
    )


def measured(config: RunConfig) -> RunRecord:
    """The record of a run, made or resumed."""
    folder = run(config)
    return load_record(folder.store, folder.name)


def without(record: RunRecord) -> RunRecord:
    """Only the architectures without `none`."""
    return replace(record, trials=tuple(t for t in record.trials if "none" not in t.architecture))


def ranked(record: RunRecord, population: str) -> Iterator[dict[str, object]]:
    """A row for each score, number of draws and data set."""
    table = NASBench201Table().frame
    row = {text: i for i, text in enumerate(table["architecture"])}
    rows = [row[trial.architecture] for trial in record.trials]
    texts = [trial.architecture for trial in record.trials]
    columns: dict[str, np.ndarray] = {}
    if population in ("all", "without none"):
        columns["parameters"] = table["cifar10_params"].to_numpy()[rows].astype(float)[:, None]
        columns["trainable layers"] = np.array([[float(text.count("conv"))] for text in texts])
    for score in record.directions:
        values = record.values(score)
        values = -np.log(-values) if score == "condition_number" else values
        columns[score] = values
    if {"condition_number", "linear_regions"} <= columns.keys():
        pair = (columns["condition_number"], columns["linear_regions"])
        columns["rank sum"] = sum(rankdata(c, axis=0, nan_policy="omit") for c in pair)
    for score, values in columns.items():
        kinds = {"mean of draws": values.mean(1)}
        if (values != values[:, :1]).any():
            kinds |= {f"draw {d}": values[:, d] for d in range(values.shape[1])}
        if score == "rank sum":
            kinds["mean of draws"] = sum(rankdata(c.mean(1), nan_policy="omit") for c in pair)
        for draws, scores in kinds.items():
            for data in DATA:
                found = agreement(scores, table[f"{data}_test_200"].to_numpy()[rows])
                yield {
                    "population": population,
                    "score": score,
                    "draws": draws,
                    "data": data,
                    **found.row(),
                }


if __name__ == "__main__":
    app()
