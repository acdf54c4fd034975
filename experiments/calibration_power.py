"""How often a calibration finds the one score that ranks, by the number of networks trained.

    python experiments/calibration_power.py     # results/calibration/power.csv

Accuracies and six scores of N networks are normal. One score has the tau that is given, the
others are independent of the accuracies and of each other, which is the hardest case: scores that
rank alike correct each other less. A score is told where its tau is above the least that
`joint_test` tells of so many networks and scores; of those told, the largest is chosen.
"""

import csv
from collections.abc import Iterator
from pathlib import Path
from statistics import median

import cyclopts
import numpy as np
from jaxtyping import Float

from untrained.tables import joint_test

SAVED = Path(__file__).parents[1] / "results" / "calibration" / "power.csv"
SCORES, SAMPLES = 6, 4000
NETWORKS, TAUS = (6, 8, 12, 16, 24, 32), (0.0, 0.3, 0.5, 0.7, 0.85)

app = cyclopts.App(help=__doc__)


@app.default
def power(save: Path = SAVED) -> None:
    """Writes a row for each number of networks and each tau."""
    save.parent.mkdir(parents=True, exist_ok=True)
    with save.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(("networks", "tau", "least", "chosen", "another", "none"))
        for row in rows():
            writer.writerow(row)
            print(*row)


def rows() -> Iterator[tuple[int, float, float, float, float, float]]:
    """Networks, tau, the least tau told, and shares of samples by what is chosen."""
    rng = np.random.default_rng(0)
    for count in NETWORKS:
        found = [joint_test([*rng.normal(size=(SCORES, count))], np.arange(count)) for _ in "abc"]
        least = median(each.least or 2.0 for each in found)
        for tau in TAUS:
            r = np.sin(np.pi / 2 * tau)
            y = rng.normal(size=(SAMPLES, count))
            scores = rng.normal(size=(SCORES, SAMPLES, count))
            scores[0] = r * y + np.sqrt(1 - r * r) * scores[0]
            taus = np.stack([taus_of(x, y) for x in scores])
            told = taus.max(0) >= least - 1e-9
            first = told & (taus.argmax(0) == 0)
            chosen, another = first.mean(), (told & ~first).mean()
            rest = rounded(chosen), rounded(another), rounded(1 - told.mean())
            yield (count, tau, round(least, 3), *rest)


def rounded(share: float) -> float:
    """To a thousandth, of which 4,000 samples tell no more."""
    return round(float(share), 3)


def taus_of(x: Float[np.ndarray, "m n"], y: Float[np.ndarray, "m n"]) -> Float[np.ndarray, " m"]:
    """Kendall's tau of each row, which has no ties."""
    i, j = np.triu_indices(x.shape[1], 1)
    return np.asarray(np.sign((x[:, i] - x[:, j]) * (y[:, i] - y[:, j])).mean(1))


if __name__ == "__main__":
    app()
