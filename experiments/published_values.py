"""Our scores beside the published ones on the same networks, judged by the same accuracies.

    untrained bench --images cifar10 --sample 1000 --scores jacob_cov naswot synflow
    python experiments/published_values.py FOLDER/values.parquet

Suite-Zero published values of the networks of NAS-Bench-201 without unreachable operations.
"""

import sys

import polars as pl

from untrained.data import data_folder
from untrained.tables import agreement

TABLES = data_folder() / "tables"
NAMES = {"jacob_cov": "jacov", "naswot": "nwot", "synflow": "synflow_published"}


def main() -> None:
    """Prints a line a score."""
    texts = pl.read_parquet(TABLES / "nasbench201.parquet", columns=["index", "architecture"])
    published = pl.read_parquet(TABLES / "nasbench201_published_proxies.parquet")
    published = published.filter(dataset="cifar10").join(texts, on="index")
    ours = pl.read_parquet(sys.argv[1]).group_by("architecture").first()
    both = ours.join(published, on="architecture", suffix="_published")
    for name, other in NAMES.items():
        rows = both.drop_nulls([name, other])
        accuracy = rows["cifar10_test_200"].to_numpy()
        tau, theirs = (agreement(rows[c].to_numpy(), accuracy).tau for c in (name, other))
        print(f"{name}: tau {tau:.2f}, of the published values {theirs:.2f}; {len(rows)} networks")


if __name__ == "__main__":
    main()
