"""Draws what the TE-NAS experiments measured (needs matplotlib: the extra `docs`).

python experiments/te_nas_pictures.py

docs/te_nas_searches.png        test accuracy of selected architectures, by search
docs/te_nas_correlations.png    Kendall's tau of kappa, R and their rank sum, with intervals
"""

from pathlib import Path

import polars as pl
from matplotlib import rc_context
from matplotlib.figure import Figure

ROOT = Path(__file__).parents[1]
INK, GREY = "#222222", "#8a8a8a"
COLOURS = {"cifar10": "#d55e00", "cifar100": "#0072b2", "tinyimagenet16": "#009e73"}
STYLE = {
    "font.size": 10,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.titlelocation": "left",
    "axes.edgecolor": GREY,
    "text.color": INK,
}
PAPER = {"cifar10": 93.9, "cifar100": 71.24, "imagenet16_120": 42.38}
BEST = {"cifar10": 94.37, "cifar100": 73.51, "imagenet16_120": 47.31}
NAMES = {
    "cifar10": "CIFAR-10",
    "cifar100": "CIFAR-100",
    "imagenet16_120": "ImageNet16-120",
    "tinyimagenet16": "Tiny-ImageNet at 16 x 16",
}


def searches(rows: pl.DataFrame) -> Figure:
    """A panel for each data set, a row for each search, a dot for each seed."""
    kinds = rows.select("variant", "images").unique(maintain_order=True).rows()
    kinds.sort(key=lambda kind: (kind[0] != "deep", kind[0] != "paper's search", kind))
    figure = Figure((11, 1.2 + 0.3 * len(kinds)), layout="constrained")
    for panel, data in zip(figure.subplots(1, 3, sharey=True), PAPER, strict=True):
        for y, (variant, images) in enumerate(kinds):
            values = rows.filter(variant=variant, images=images)[data]
            panel.plot(values, [y] * len(values), "o", color=COLOURS[images], alpha=0.5, ms=5)
            panel.plot(values.mean(), y, "|", color=INK, ms=14, mew=2)
        panel.axvline(PAPER[data], color=GREY, ls="--", lw=1)
        panel.axvline(BEST[data], color=GREY, lw=1)
        panel.set_title(f"{NAMES[data]}, test accuracy in %", fontsize=10)
        panel.set_yticks(range(len(kinds)), [f"{v}, {NAMES[i]}" for v, i in kinds])
        panel.set_xlim(min(PAPER[data] - 3, panel.get_xlim()[0]), None)
    figure.axes[0].invert_yaxis()
    figure.supxlabel(
        "dots: seeds; bars: means; dashed: the paper's mean; solid: best of the space", fontsize=9
    )
    return figure


def correlations(rows: pl.DataFrame) -> Figure:
    """A panel for each population, a row for each score, a mark for each data set."""
    rows = rows.filter(pl.col("draws") == "mean of draws")
    populations = rows["population"].unique(maintain_order=True).to_list()[:2]
    figure = Figure((11, 3.2), layout="constrained")
    for panel, population in zip(figure.subplots(1, 2, sharey=True), populations, strict=True):
        here = rows.filter(population=population)
        scores = here["score"].unique(maintain_order=True).to_list()
        for shift, (data, colour) in enumerate(zip(PAPER, COLOURS.values(), strict=True)):
            part = here.filter(data=data)
            y = [scores.index(score) + 0.2 * (shift - 1) for score in part["score"]]
            low = (part["tau"] - part["tau_low"]).to_list()
            high = (part["tau_high"] - part["tau"]).to_list()
            panel.errorbar(
                part["tau"], y, xerr=(low, high), fmt="o", color=colour, label=NAMES[data]
            )
        count = max(here["count"])
        panel.set_title(f"{population}: {count:,} architectures", fontsize=10)
        panel.set_yticks(range(len(scores)), scores)
        panel.set_xlabel("Kendall's tau with test accuracy, 95 % bootstrap interval")
    figure.axes[0].invert_yaxis()
    figure.axes[0].legend(frameon=False, fontsize=9)
    return figure


def main() -> None:
    """Reads the tables and writes the pictures."""
    drawings = {"searches": searches, "correlations": correlations}
    for name, draw in drawings.items():
        rows = pl.read_csv(ROOT / "results" / "te_nas" / f"{name}.csv")
        with rc_context(STYLE):
            draw(rows).savefig(ROOT / "docs" / f"te_nas_{name}.png", dpi=110)


if __name__ == "__main__":
    main()
