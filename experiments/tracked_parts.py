"""Which layers move and which classes are learnt, in two small networks on CIFAR-10.

    python experiments/tracked_parts.py measure
    python experiments/tracked_parts.py draw        # needs matplotlib: the extra `docs`

The first leaves `results/lga/track_by_layer.csv`, `track_by_class.csv` and `track_whole.csv`, and
resumes where it was stopped; the second draws `docs/track_parts.png` from them.
"""

from functools import partial
from pathlib import Path

import cyclopts
import polars as pl
from lga import RESULTS
from nngp import processes
from torch import Tensor, nn

import untrained

app = cyclopts.App(help=__doc__)
CELL = (
    "|nor_conv_3x3~0|+|nor_conv_3x3~0|skip_connect~1|+"
    "|skip_connect~0|nor_conv_1x1~1|nor_conv_3x3~2|"
)
NETWORKS = {"NAS-Bench-201": CELL, "plain": "tracked_parts:Plain"}
SEEDS = (0, 1, 2)


class Plain(nn.Module):
    """Three convolutions and two linear layers, without BatchNorm."""

    def __init__(self, inputs: int, classes: int):
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, 16, 3, padding=1)
        self.conv2 = nn.Conv2d(16, 32, 3, padding=1)
        self.conv3 = nn.Conv2d(32, 64, 3, padding=1)
        self.hidden = nn.Linear(64, 64)
        self.head = nn.Linear(64, classes)

    def forward(self, x: Tensor) -> Tensor:
        for conv in (self.conv1, self.conv2, self.conv3):
            x = nn.functional.max_pool2d(conv(x).relu(), 2)
        return self.head(self.hidden(x.mean((2, 3))).relu())


@app.command
def measure(*, out: Path = Path("untrained-runs"), workers: int = 2) -> None:
    """Twelve epochs of either network for each seed, on 2,000 images at 16 x 16 pixels.

    Args:
        out: Folder of the trackings.
        workers: Processes.
    """
    tasks = [(name, seed) for seed in SEEDS for name in NETWORKS]
    with processes(workers) as pool:
        found = [*pool.map(partial(tracked, out), *zip(*tasks, strict=True))]
    for part in found[0]:
        rows = pl.concat([each[part] for each in found])
        rows.write_csv(RESULTS / f"track_{part}.csv", float_precision=4)


def tracked(out: Path, name: str, seed: int) -> dict[str, pl.DataFrame]:
    """Frames of one network and seed."""
    found = untrained.track(
        NETWORKS[name],
        "cifar10",
        size=16,
        training={"recipe": "short", "epochs": 12, "images": 2000},
        probe=256,
        support=256,
        held_out=512,
        seed=seed,
        out=out,
    )
    print(name, seed, found.verdict, flush=True)
    about = pl.lit(name).alias("network"), pl.lit(seed).alias("seed")
    frames = {"by_layer": found.by_layer, "by_class": found.by_class, "whole": found.snapshots}
    return {part: frame.select(*about, pl.all()) for part, frame in frames.items()}


if __name__ == "__main__":
    app()
