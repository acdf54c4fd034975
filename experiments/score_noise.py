"""How much of a score is the network's, and how much the draw's: from the folder of a bench.

    untrained bench --space darts --images cifar10 --sample 100 --draws 4 \\
        --scores condition_number linear_regions --out runs
    python experiments/score_noise.py runs/cifar10-darts-.../cifar10_surrogate_valid

Of log s, on the networks on which no draw failed: the share of its variance that lies between
networks (intraclass correlation of one draw), and tau of its mean over draws, beside that of the
mean of s.
"""

import sys
from pathlib import Path

import numpy as np
import polars as pl
from scipy.stats import kendalltau

from untrained.scores import SCORES


def main() -> None:
    """Prints a line for the accuracies and one for each score."""
    folder = Path(sys.argv[1])
    values = pl.read_parquet(folder / "values.parquet")
    first = values.group_by("architecture", maintain_order=True).first()
    accuracy = first[folder.name].to_numpy()
    low, high = np.percentile(accuracy, [5, 95])
    print(
        f"{len(accuracy)} accuracies: sd {accuracy.std():.4f}, 5 to 95 %: {low:.3f} to {high:.3f}"
    )
    for name in [c for c in values.columns if c in SCORES and values[c].n_unique() > len(first)]:
        draws = values.pivot(on="draw", index="architecture", values=name, maintain_order=True)
        s = draws.drop("architecture").cast(pl.Float64).to_numpy()
        sound = np.isfinite(s).all(1)
        s, y, sign = s[sound], accuracy[sound], 1 if SCORES[name].higher_is_better else -1
        logs = np.log(s)
        within = logs.var(1, ddof=1).mean()
        between = max(0.0, logs.mean(1).var(ddof=1) - within / s.shape[1])
        plain, geometric = (sign * kendalltau(m.mean(1), y).statistic for m in (s, logs))
        print(
            f"{name}: {len(s)} networks, sd of log s between networks {between**0.5:.3f}, share "
            f"{between / (between + within):.2f}, tau {plain:.3f}, of mean log s {geometric:.3f}"
        )


if __name__ == "__main__":
    main()
