"""Which scores rank ordinary networks: the leaderboards of results/ordinary in one table.

    python experiments/ordinary_table.py

A network on which a score failed counts as below all others. Scores that failed on more than four
of 24 somewhere are left out.
"""

from pathlib import Path
from statistics import fmean

import polars as pl

SAVED = Path(__file__).parents[1] / "results" / "ordinary"
KINDS = ("resnet", "mlp", "vit", "mobile")
DATA = ("digits", "cifar10", "cifar100", "tinyimagenet")


def main() -> None:
    """Prints a line a score, the best mean first."""
    taus: dict[str, dict[tuple[str, str], float]] = {}
    for path in sorted(SAVED.glob("*_*.csv")):
        data, kind = path.stem.split("_")
        for row in pl.read_csv(path, infer_schema_length=None).to_dicts():
            found = taus.setdefault(row["score"], {})
            if row["tau_failed_last"] is not None:
                found[data, kind] = row["tau_failed_last"]
    whole = max(map(len, taus.values()))
    taus = {score: found for score, found in taus.items() if len(found) == whole}
    print(f"| score | mean | least | {' | '.join(DATA)} |")
    print("|---" * (3 + len(DATA)) + "|")
    for score, found in sorted(taus.items(), key=lambda item: -fmean(item[1].values())):
        cells = [", ".join(short(found.get((d, kind))) for kind in KINDS) for d in DATA]
        mean, least = short(fmean(found.values())), short(min(found.values()))
        print(f"| `{score}` | {mean} | {least} | {' | '.join(cells)} |")


def short(tau: float | None) -> str:
    """Two digits, without the zero before the point."""
    return "" if tau is None else f"{tau:.2f}".replace("0.", ".")


if __name__ == "__main__":
    main()
