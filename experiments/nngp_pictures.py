"""Draws what the NNGP experiments measured (needs matplotlib: the extra `docs`).

python experiments/nngp_pictures.py

docs/nngp_cost.png          Spearman's rho against FLOPs, and the Pareto front
docs/nngp_exceedance.png    PQETP curves; and the best of 20 after keeping a share of the space
"""

import polars as pl
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from nngp import RESULTS
from nngp_tables import THRESHOLDS
from te_nas_pictures import GREY, INK, ROOT, STYLE

NNGP, TRAINED, BOTH, SIZE = "#0072b2", "#d55e00", "#009e73", "#8a8a8a"
STATISTICS = {
    "leave-one-out accuracy": "o",
    "published accuracy": "s",
    "squared error": "^",
    "likelihood": "D",
}


def cost(agreement: pl.DataFrame, combined: pl.DataFrame) -> Figure:
    """FLOPs an architecture on the x axis, rho on the y axis."""
    figure = Figure((9, 5), layout="constrained")
    panel = figure.subplots()
    rows = agreement.filter(case="nasbench101")
    points: list[tuple[float, float]] = []
    for statistic, marker in STATISTICS.items():
        for draws, fill in ((1, "none"), (2, NNGP)):
            line = rows.filter(score=statistic, draws=draws).sort("flops")
            panel.plot(
                line["flops"], line["rho"], marker=marker, color=NNGP, mfc=fill, lw=0.6, ms=6,
                label=f"NNGP, {statistic}" if draws == 2 else None,
            )  # fmt: skip
            points += zip(line["flops"], line["rho"], strict=True)
    epochs = rows.filter(pl.col("score").str.ends_with("epochs"))
    panel.errorbar(
        epochs["flops"], epochs["rho"], errors(epochs), fmt="o", color=TRAINED, ms=7,
        label="shortened training: 4, 12, 36 epochs",
    )  # fmt: skip
    points += zip(epochs["flops"], epochs["rho"], strict=True)
    both = combined.filter(
        (pl.col("case") == "nasbench101")
        & (pl.col("how") == "rank sum")
        & pl.col("scores").is_in([f"NNGP + {k} epochs" for k in (4, 12)])
    )
    panel.errorbar(
        epochs["flops"][:2], both["rho"], errors(both), fmt="D", color=BOTH, ms=7,
        label="rank sum of both",
    )  # fmt: skip
    points += zip(epochs["flops"][:2], both["rho"], strict=True)
    front = [p for p in sorted(points) if p[1] == max(r for f, r in points if f <= p[0])]
    panel.step(*zip(*front, strict=True), where="post", color=INK, lw=1, ls="--", label="front")
    panel.set_xscale("log")
    size = rows.filter(score="parameters")["rho"][0]
    panel.axhline(size, color=SIZE, lw=1)
    panel.text(1e12, size, "parameters", va="bottom", color=SIZE)
    panel.set_xlabel("FLOPs an architecture")
    panel.set_ylabel("Spearman's rho with the accuracy after 108 epochs")
    panel.set_title(
        "NAS-Bench-101, 500 random cells: n_t = 100, 500, 1,000; M = 1 (hollow), 2 (full)",
        fontsize=10,
    )
    panel.legend(fontsize=8, frameon=False)
    return figure


def errors(rows: pl.DataFrame) -> list[list[float]]:
    """Distances of the interval's ends, as matplotlib wants them."""
    below = (rows["rho"] - rows["rho_low"]).to_list()
    return [below, (rows["rho_high"] - rows["rho"]).to_list()]


def exceedance(agreement: pl.DataFrame, shrinking: pl.DataFrame) -> Figure:
    """PQETP on the left, shrinking on the right."""
    figure = Figure((11, 4.2), layout="constrained")
    left, right = figure.subplots(1, 2)
    rows = agreement.filter(case="nasbench101")
    best = rows.filter((pl.col("draws") == 2) & (pl.col("train") == 1000))
    for name, colour, source in (
        ("leave-one-out accuracy", NNGP, best),
        ("published accuracy", "#56b4e9", best),
        ("4 epochs", "#f0a070", rows),
        ("12 epochs", TRAINED, rows),
        ("36 epochs", "#8b3a00", rows),
        ("parameters", SIZE, rows),
    ):
        row = source.filter(score=name)
        values = [row[f"exceeds {p}"][0] for p in THRESHOLDS]
        label = name if "epochs" in name or name == "parameters" else f"NNGP, {name}"
        left.plot(THRESHOLDS, values, "o-", color=colour, label=label, ms=4)
    left.axhline(0.5, color=GREY, lw=0.8)
    left.set_ylim(0.3, 1)
    left.set_xlabel("threshold p")
    left.set_title("PQETP: area under the ROC curve of accuracy > p", fontsize=10)
    left.legend(fontsize=8, frameon=False)
    shares(right, shrinking.filter(case="nasbench101"))
    return figure


def shares(panel: Axes, rows: pl.DataFrame) -> None:
    """Mean accuracy of what is kept, by share and score."""
    colours = {"NNGP": NNGP, "NNGP + parameters": BOTH, "4 epochs": TRAINED, "parameters": SIZE}
    for by, colour in colours.items():
        line = rows.filter(pl.col("kept by") == by).sort("share")
        panel.plot(line["share"], 100 * line["mean"], "o-", color=colour, label=by, ms=4)
    panel.axhline(100 * rows["mean_all"][0], color=GREY, lw=0.8, label="at random, expected")
    panel.set_xscale("log")
    panel.set_xticks([0.1, 0.25, 0.5, 1.0], ["10 %", "25 %", "50 %", "all"])
    panel.set_title("mean accuracy (%) of the share that is kept", fontsize=10)
    panel.legend(fontsize=8, frameon=False)


def main() -> None:
    """Both pictures."""
    agreement, combined, shrinking = (
        pl.read_csv(RESULTS / f"{kind}.csv", infer_schema_length=None)
        for kind in ("agreement", "combined", "shrinking")
    )
    with rc_context(STYLE):
        cost(agreement, combined).savefig(ROOT / "docs" / "nngp_cost.png", dpi=110)
        exceedance(agreement, shrinking).savefig(ROOT / "docs" / "nngp_exceedance.png", dpi=110)


if __name__ == "__main__":
    main()
