"""How the NTK of good and of bad networks moves in training.

    python experiments/lga_tracks.py

Resumes where it was stopped, and leaves a row for each network and epoch in
`results/lga/tracks.csv`.
"""

from functools import partial
from pathlib import Path
from typing import Any

import cyclopts
import polars as pl
from lga import RESULTS
from nngp import processes

from untrained.spaces import get_space
from untrained.tables import NASBench201Table
from untrained.tracking.config import TrackConfig
from untrained.tracking.snapshots import MEASURED
from untrained.tracking.track_one import track_one
from untrained.training import TrainingSpec

app = cyclopts.App(help=__doc__)


@app.default
def tracks(*, count: int = 20, out: Path = Path("untrained-runs"), workers: int = 2) -> None:
    """Kernels of networks from the worst to the best of NAS-Bench-201, through 20 epochs.

    Args:
        count: Networks, at equal distances in the order of their accuracy on CIFAR-10.
        out: Folder of the trackings.
        workers: Processes.
    """
    space, table = get_space("nasbench201"), NASBench201Table().frame.sort("cifar10_test_200")
    unique = {str(space.canonical(space.parse(text))) for text in table["architecture"]}
    texts = table.filter(pl.col("architecture").is_in(unique))["architecture"]
    chosen = [texts[round(k * (len(texts) - 1) / (count - 1))] for k in range(count)]
    config = TrackConfig(
        images="cifar10",
        size=16,
        training=TrainingSpec(recipe="short", epochs=20, images=1000),
        parameters="weights_below_head",
        out=out,
    )
    with processes(workers) as pool:
        rows = [row for part in pool.map(partial(tracked, config), chosen) for row in part]
    pl.DataFrame(rows, infer_schema_length=None).write_csv(
        RESULTS / "tracks.csv", float_precision=5
    )


def tracked(config: TrackConfig, text: str) -> list[dict[str, Any]]:
    """A row for each epoch."""
    _, found = track_one(config, text)
    print(text, found.reason, flush=True)
    return [
        {
            "architecture": text,
            "epoch": snapshot.epoch,
            "seconds": snapshot.seconds,
            **{name: getattr(snapshot, name).value for name in MEASURED},
        }
        for snapshot in found.snapshots
    ]


if __name__ == "__main__":
    app()
