"""How sure the means of `ordinary_table.py` are: a bootstrap over the networks of each bench.

    python experiments/ordinary_intervals.py VALUES.parquet ...

with the `values.parquet` of each bench of `ordinary.sh`. A network on which a score failed counts
as below all others.
"""

import sys
from pathlib import Path
from statistics import fmean

import numpy as np
import polars as pl
from numpy.typing import NDArray
from scipy.stats import kendalltau, rankdata

from untrained.tables import partial_tau

DEFAULT, SIZE = "nngp_leave_one_out", "parameters"
BESIDE = (SIZE, "nngp_likelihood", "jacob_cov", "condition_number", "macs")
LOWER = {"condition_number"}
Bench = dict[str, NDArray[np.float64]]


def main(paths: list[str]) -> None:
    """Prints a line for each score beside the default one."""
    benches = [read(Path(path)) for path in paths]
    whole = [np.arange(len(bench["accuracy"])) for bench in benches]
    rng = np.random.default_rng(0)
    drawn = [[rng.integers(0, len(rows), len(rows)) for rows in whole] for _ in range(1000)]
    own = np.array([mean_tau(benches, DEFAULT, rows) for rows in drawn])
    print(f"{DEFAULT}: {mean_tau(benches, DEFAULT, whole):.2f} ({interval(own)})")
    for name in BESIDE:
        other = np.array([mean_tau(benches, name, rows) for rows in drawn])
        apart = f"the default less it: {interval(own - other)}"
        print(f"{name}: {mean_tau(benches, name, whole):.2f} ({interval(other)}); {apart}")
    both = fmean(
        kendalltau(rankdata(b[DEFAULT]) + rankdata(b[SIZE]), b["accuracy"])[0] for b in benches
    )
    given = fmean(partial_tau(b[DEFAULT], b["accuracy"], b[SIZE]) for b in benches)
    print(f"rank sum of {DEFAULT} and {SIZE}: {both:.2f}; {DEFAULT} given {SIZE}: {given:.2f}")


def read(path: Path) -> Bench:
    """Means over draws, higher meaning better; -inf where one failed."""
    frame = pl.read_parquet(path)
    accuracy = next(name for name in frame.columns if "_test_" in name)
    names = (DEFAULT, *BESIDE)
    rows = frame.group_by("architecture", maintain_order=True).agg(
        pl.col(accuracy).first(),
        *(pl.col(n).cast(pl.Float64).mean() for n in names),
        *(pl.col(n).null_count().alias(f"{n} failed") for n in names),
    )
    found = {"accuracy": rows[accuracy].to_numpy()}
    for name in names:
        values = rows[name].fill_null(np.nan).to_numpy() * (-1 if name in LOWER else 1)
        failed = (rows[f"{name} failed"].to_numpy() > 0) | ~np.isfinite(values)
        found[name] = np.where(failed, -1e300, values)
    return found


def mean_tau(benches: list[Bench], name: str, rows: list[NDArray[np.int64]]) -> float:
    """Kendall's tau-b with the accuracies, the mean over benches."""
    each = zip(benches, rows, strict=True)
    return fmean(kendalltau(bench[name][i], bench["accuracy"][i])[0] for bench, i in each)


def interval(values: NDArray[np.float64]) -> str:
    """Of 95 %."""
    low, high = np.percentile(values, [2.5, 97.5])
    return f"{low:.2f} to {high:.2f}"


if __name__ == "__main__":
    main(sys.argv[1:])
