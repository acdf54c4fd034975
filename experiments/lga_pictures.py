"""Draws what the LGA experiments measured (needs matplotlib: the extra `docs`).

python experiments/lga_pictures.py

docs/lga_epochs.png      Kendall's tau of each score after each number of epochs
docs/lga_spaces.png      Kendall's tau at initialisation, space by space
docs/lga_movement.png    kernels of good and bad networks through training
docs/lga_searches.png    what guided searches select, against seconds
"""

import polars as pl
from lga import RESULTS
from matplotlib import colormaps, rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from te_nas_pictures import GREY, INK, NAMES, ROOT, STYLE

from untrained.tables import NASBench201Table

KERNEL, OUTPUT, START = "#0072b2", "#d55e00", "#009e73"
LINES = {
    "label_alignment": ("LGA", KERNEL, "-"),
    "label_alignment_normalised": ("LGA, normalised", KERNEL, "--"),
    "label_alignment_centred": ("LGA, centred", KERNEL, ":"),
    "ntk_mean": ("mean entry (KNAS)", "#cc79a7", "-"),
    "ntk_trace": ("trace (NASI)", "#cc79a7", "--"),
    "ntk_norm": ("Frobenius norm", "#cc79a7", ":"),
    "condition_number": ("-log kappa", START, "-"),
    "validation_accuracy": ("validation accuracy", OUTPUT, "-"),
    "training_accuracy": ("training accuracy", OUTPUT, "--"),
    "training_loss": ("-training loss", OUTPUT, ":"),
}
SPACES = {
    "nasbench201": "NAS-Bench-201",
    "nasbench101": "NAS-Bench-101",
    "darts": "DARTS (NAS-Bench-301)",
    "mnas": "MNAS",
}


def epochs(rows: pl.DataFrame) -> Figure:
    """A panel for each image set: tau by epochs, a line for each score."""
    figure = Figure((11, 4.8), layout="constrained")
    sets = rows["images"].unique(maintain_order=True)
    for panel, images in zip(figure.subplots(1, len(sets), squeeze=False)[0], sets, strict=True):
        part = rows.filter(images=images)
        for score, (label, colour, style) in LINES.items():
            line = part.filter(score=score).sort("epochs")
            x = line["epochs"].to_list()
            panel.plot(x, line["tau"], style, color=colour, marker="o", ms=4, label=label)
            if score in ("label_alignment", "validation_accuracy"):
                panel.fill_between(
                    x, line["tau_low"], line["tau_high"], color=colour, alpha=0.12, lw=0
                )
        for score, label in (
            ("parameters", "parameters"),
            ("published validation accuracy", "12 epochs of the benchmark's training"),
        ):
            level = part.filter(score=score)["tau"][0]
            panel.axhline(level, color=GREY, lw=0.9)
            panel.text(5.1, level, label, va="bottom", ha="right", color=GREY, fontsize=8)
        panel.axhline(0, color=INK, lw=0.6)
        panel.set_xticks([0, 1, 2, 5])
        panel.set_xlabel("epochs on 2,000 images")
        panel.set_title(
            f"{NAMES[images]}: Kendall's tau with test accuracy, {max(part['count'])} networks",
            fontsize=10,
        )
    figure.axes[-1].legend(fontsize=8, frameon=False, loc="center left", bbox_to_anchor=(1, 0.5))
    return figure


def spaces(rows: pl.DataFrame) -> Figure:
    """A row for each score, a mark for each space."""
    figure = Figure((9, 4.2), layout="constrained")
    panel = figure.subplots()
    scores = rows["score"].unique(maintain_order=True).to_list()
    colours = dict(zip(SPACES, ("#d55e00", "#0072b2", "#009e73", "#cc79a7"), strict=True))
    for shift, ((space, images), part) in enumerate(
        rows.group_by("space", "images", maintain_order=True)
    ):
        y = [scores.index(score) + 0.14 * (shift - 2) for score in part["score"]]
        errors = [part["tau"] - part["tau_low"], part["tau_high"] - part["tau"]]
        panel.errorbar(
            part["tau"], y, xerr=[e.to_list() for e in errors], fmt="o", ms=4, lw=1,
            color=colours[str(space)], mfc="white" if images != "cifar10" else None,
            label=SPACES[str(space)] + ("" if images == "cifar10" else ", Tiny-ImageNet"),
        )  # fmt: skip
    panel.axvline(0, color=INK, lw=0.8)
    names = [LINES[score][0] if score in LINES else score for score in scores]
    panel.set_yticks(range(len(scores)), names)
    panel.invert_yaxis()
    panel.set_title("at initialisation: Kendall's tau with trained accuracy", fontsize=10)
    panel.legend(fontsize=8, frameon=False, loc="center left", bbox_to_anchor=(1, 0.5))
    return figure


def movement(rows: pl.DataFrame) -> Figure:
    """A panel for each quantity, a line for each network, coloured by its accuracy."""
    table = NASBench201Table().frame.select("architecture", "cifar10_test_200")
    rows = rows.join(table, on="architecture").sort("cifar10_test_200", "epoch")
    shown = {
        "alignment": "LGA",
        "correlation_initial": "correlation with Theta at initialisation",
        "change_previous": "relative change from the epoch before",
        "effective_rank": "effective rank",
        "label_energy": "label energy in the top 10 eigenvectors",
        "advantage_initial": "accuracy less that of NTK regression at initialisation",
    }
    figure = Figure((12, 6.4), layout="constrained")
    texts = rows["architecture"].unique(maintain_order=True)
    colours = colormaps["viridis"]
    for panel, (quantity, title) in zip(figure.subplots(2, 3).flat, shown.items(), strict=True):
        for place, text in enumerate(texts):
            line = rows.filter(architecture=text)
            panel.plot(line["epoch"], line[quantity], color=colours(place / len(texts)), lw=1)
        panel.set_title(title, fontsize=10)
        panel.set_xlabel("epoch")
    figure.suptitle("20 networks of NAS-Bench-201, from the worst (dark) to the best (yellow)")
    return figure


def searches(rows: pl.DataFrame) -> Figure:
    """A panel for each searcher: mean accuracy selected by then, against seconds, from 85 %."""
    names = rows["searcher"].unique(maintain_order=True).to_list()
    figure = Figure((14, 3.6), layout="constrained")
    guides = rows["guide"].unique(maintain_order=True).to_list()
    for panel, name in zip(figure.subplots(1, len(names), sharey=True), names, strict=True):
        for guide, colour in zip(guides, colormaps["tab10"].colors, strict=False):
            curve(panel, rows.filter(searcher=name, guide=guide), guide, colour)
        panel.set_title(name, fontsize=10)
        panel.set_xscale("log")
        panel.set_xlabel("seconds of work")
    figure.axes[0].set_ylim(85, 94.4)
    figure.axes[0].set_ylabel("CIFAR-10 test accuracy of the\nselected architecture, %")
    lines = figure.axes[0].get_legend_handles_labels()
    figure.axes[-1].legend(
        *lines, fontsize=8, frameon=False, loc="center left", bbox_to_anchor=(1, 0.5)
    )
    return figure


def curve(panel: Axes, rows: pl.DataFrame, label: str, colour: str) -> None:
    """The mean over seeds at each trial; a dot where something is selected at the end alone."""
    if len(rows):
        form = "o" if len(rows) == 1 else "-"
        seconds = rows["seconds"].clip(0.01)
        panel.plot(seconds, rows["cifar10"], form, color=colour, label=label, lw=1.2, ms=5)


def main() -> None:
    """Every picture whose numbers are there."""
    sources = {
        "lga_epochs": ("agreement", epochs),
        "lga_spaces": ("spaces", spaces),
        "lga_movement": ("tracks", movement),
        "lga_searches": ("guided_curves", searches),
    }
    with rc_context(STYLE):
        for name, (source, draw) in sources.items():
            path = RESULTS / f"{source}.csv"
            if path.exists():
                figure = draw(pl.read_csv(path, infer_schema_length=None))
                figure.savefig(ROOT / "docs" / f"{name}.png", dpi=85)


if __name__ == "__main__":
    main()
