"""TE-NAS's pruning search on NAS-Bench-201: ten seeds, their picks, and what these are worth.

    python experiments/te_nas.py

Each seed is one call of the command, so the seconds are those that a user waits: Python's start,
loading CIFAR-10, starting workers, the search, and the report. Interrupted, it resumes. Accuracies
are of the benchmark's table, 200 epochs. Rows go to `results/te_nas_nasbench201.csv`.
"""

import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Annotated

import cyclopts
import polars as pl

from untrained.tables import NASBench201Table
from untrained.tables.nasbench201 import DATA

RESULTS = Path(__file__).parents[1] / "results" / "te_nas_nasbench201.csv"

VARIANTS = {
    "common draws": [],
    "own draws": ["--options.common", "false"],
    "common draws, batch statistics": ["--instruments.condition_number.batchnorm", "batch"],
}
PAPER = f"  {'paper (4 seeds)':42} 93.9 ( 0.47)   71.24 ( 0.56)   42.38 ( 0.46)"


def main(
    *,
    variants: Annotated[tuple[str, ...], cyclopts.Parameter(consume_multiple=True)] = (
        "common draws",
        "own draws",
    ),
    seeds: int = 10,
    out: Path = Path("untrained-runs"),
) -> None:
    """Searches, keeps a row a seed, and prints the table.

    Parameters
    ----------
    variants
        Which searches: any of the keys of VARIANTS.
    seeds
        Seeds 0 to seeds - 1 of each.
    out
        The command's --out.
    """
    rows = pl.read_csv(RESULTS) if RESULTS.exists() else pl.DataFrame()
    for variant in variants:
        for seed in range(seeds):
            if not rows.is_empty() and not rows.filter(variant=variant, seed=seed).is_empty():
                continue
            row = pl.DataFrame([search(variant, seed, out)])
            rows = pl.concat([rows, row]) if not rows.is_empty() else row
            rows.sort("variant", "seed").write_csv(RESULTS, float_precision=4)
    print("mean (standard deviation): test accuracy in percent on C10, C100, IN16; seconds")
    print(PAPER)
    print(line("random without none", without_none()))
    for (variant,), group in rows.group_by("variant", maintain_order=True):
        print(line(f"{variant} ({len(group)} seeds)", group))


def without_none() -> pl.DataFrame:
    """The 4,096 architectures that the search can end with: what picking blindly gives."""
    frame = NASBench201Table().frame.filter("none_free")
    return frame.select((100 * pl.col(f"{data}_test_200")).alias(data) for data in DATA)


def search(variant: str, seed: int, out: Path) -> dict[str, object]:
    """One call of the command and the table's row of its pick."""
    command = [sys.executable, "-m", "untrained", "search", "--space", "nasbench201"]
    command += ["--images", "cifar10", "--searcher", "pruning", "--seed", str(seed)]
    command += ["--out", str(out), "--json", *VARIANTS[variant]]
    begun = time.perf_counter()
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    seconds = time.perf_counter() - begun
    found = json.loads(done.stdout)
    table = NASBench201Table()
    row = table.row(found["pick"])
    none_free = {s.data: s for s in table.standings(found["pick"]) if s.population == "none-free"}
    return {
        "variant": variant,
        "seed": seed,
        "pick": found["pick"],
        "cifar10": 100 * float(row["cifar10_test_200"]),  # type: ignore[arg-type]
        "cifar100": 100 * float(row["cifar100_test_200"]),  # type: ignore[arg-type]
        "imagenet16_120": 100 * float(row["imagenet16_120_test_200"]),  # type: ignore[arg-type]
        "cifar10_beats": none_free["CIFAR-10"].percentile,
        "cifar100_beats": none_free["CIFAR-100"].percentile,
        "imagenet16_120_beats": none_free["ImageNet16-120"].percentile,
        "seconds": seconds,
    }


def line(name: str, group: pl.DataFrame) -> str:
    """Mean and standard deviation of each column."""
    columns = [column for column in (*DATA, "seconds") if column in group.columns]
    cells = [f"{group[c].mean():6.2f} ({group[c].std() or 0:5.2f})" for c in columns]
    return f"  {name:42}" + "  ".join(cells)


if __name__ == "__main__":
    cyclopts.run(main)
