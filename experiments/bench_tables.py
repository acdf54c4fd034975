"""The tables of `docs/scores.md`, from the leaderboards in `results/bench`.

python experiments/bench_tables.py nasbench201_cifar10_1000 --published
"""

from pathlib import Path
from typing import Any

import cyclopts
import polars as pl

RESULTS = Path(__file__).parent.parent / "results" / "bench"

PUBLISHED = {
    "macs": 0.623,
    "trainable_layers": 0.626,
    "grad_norm": 0.328,
    "snip": 0.431,
    "synflow": 0.561,
    "jacob_cov": 0.616,
    "naswot": 0.571,
    "zen": 0.102,
    "zico": 0.607,
    "condition_number": 0.33,
}
"""tau on all of NAS-Bench-201, CIFAR-10: re-runs of Tybl & Neumann (CVPR 2025), for the condition
number of Li et al. (ICLR 2023)."""


def main(name: str, *, published: bool = False) -> None:
    """Prints a leaderboard as Markdown.

    Args:
        name: A file in `results/bench`, without its suffix.
        published: Beside the published taus of NAS-Bench-201.
    """
    frame = pl.read_csv(RESULTS / f"{name}.csv", infer_schema_length=None)
    more = ["published tau"] if published else []
    columns = ["score", "tau (95 %)", "rho", "given size", "failed", *more]
    print(f"| {' | '.join(columns)} |\n|{'---|' * len(columns)}")
    for row in frame.sort("tau", descending=True, nulls_last=True).iter_rows(named=True):
        if row["tau"] is None:
            continue
        cells = [
            f"`{row['score']}`",
            f"{short(row['tau'])} ({short(row['tau_low'])} to {short(row['tau_high'])})",
            short(row["rho"]),
            short(row["tau_given_size"]),
            str(row["failed"] or ""),
        ]
        if published:
            cells.append(f"{PUBLISHED.get(row['score'], '')}".removeprefix("0"))
        print(f"| {' | '.join(cells)} |")


def short(value: Any) -> str:
    """Two digits after the point, without a leading zero."""
    return "" if value is None else f"{value:.2f}".replace("0.", ".", 1)


if __name__ == "__main__":
    cyclopts.run(main)
