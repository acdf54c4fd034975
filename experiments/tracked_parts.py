"""Which layers move and which classes are learnt, in two small networks on CIFAR-10.

    python experiments/tracked_parts.py measure
    python experiments/tracked_parts.py draw        # needs matplotlib: the extra `docs`

The first leaves `results/lga/track_by_layer.csv`, `track_by_class.csv` and `track_whole.csv`, and
resumes where it was stopped; the second draws `docs/track_parts.png` from them.
"""

from functools import partial
from pathlib import Path

import cyclopts
import numpy as np
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


@app.command
def draw() -> None:
    """Alignment by layer as means over seeds, and by class, seed by seed."""
    from matplotlib import rc_context
    from matplotlib.figure import Figure
    from te_nas_pictures import GREY, ROOT, STYLE

    layers = pl.read_csv(RESULTS / "track_by_layer.csv")
    classes = pl.read_csv(RESULTS / "track_by_class.csv")
    with rc_context(STYLE):
        figure = Figure((13, 4.4), layout="constrained")
        panels = figure.subplots(1, 3, width_ratios=(1, 1, 0.9))
        for panel, name in zip(panels, NETWORKS, strict=False):
            mean = (
                layers.filter(network=name)
                .group_by("layer", "epoch", maintain_order=True)
                .agg(pl.col("alignment").mean())
            ).pivot("epoch", index="layer", values="alignment")
            shown = mean.drop("layer").to_numpy()
            panel.imshow(shown, cmap="magma_r", vmin=0, vmax=0.3, aspect="auto")
            for (row, column), value in np.ndenumerate(shown):
                ink = "white" if value > 0.115 else "black"
                said = f"{value:.2f}".removeprefix("0")
                panel.text(column, row, said, ha="center", va="center", fontsize=7, color=ink)
            panel.set_yticks(range(len(mean)), mean["layer"], fontsize=8)
            panel.set_title(f"{name}: alignment of each layer (LGA)", fontsize=10)
            panel.set_xlabel("epoch")
        for offset, (name, colour) in zip(
            (-0.17, 0.17), zip(NETWORKS, ("#0072b2", "#d55e00"), strict=True), strict=True
        ):
            of = classes.filter(network=name)
            for place, label in enumerate(dict.fromkeys(of["class"])):
                found = of.filter(pl.col("class") == label)
                first, last = (
                    found.filter(epoch=epoch)["centred_alignment"]
                    for epoch in (0, found["epoch"].max())
                )
                y = place + offset
                panels[2].plot(first, [y] * len(first), "|", color=GREY, ms=5)
                panels[2].plot(last, [y] * len(last), "|", color=colour, ms=5)
                panels[2].plot([first.mean(), last.mean()], [y, y], color=colour, lw=1)
                panels[2].plot(first.mean(), y, "o", color=GREY, ms=4)
                panels[2].plot(last.mean(), y, "o", color=colour, ms=4)
            panels[2].plot([], [], "o", color=colour, ms=5, label=f"{name}, last epoch")
        panels[2].plot([], [], "o", color=GREY, ms=5, label="at initialisation")
        panels[2].set_yticks(range(10), dict.fromkeys(classes["class"]), fontsize=8)
        panels[2].invert_yaxis()
        panels[2].set_xlim(left=0)
        panels[2].set_title("Centred alignment, by class", fontsize=10)
        panels[2].legend(fontsize=8, frameon=False, loc="center right")
        figure.savefig(ROOT / "docs" / "track_parts.png", dpi=85)


if __name__ == "__main__":
    app()
