"""Draws what the benchmarks measured (needs matplotlib).

python benchmarks/ntk.py --save results/ntk/methods.csv
python benchmarks/growth.py --save results/ntk/growth.csv
python benchmarks/draw.py

docs/ntk_methods.png    seconds, in training steps, and peak memory, by network and method
docs/ntk_growth.png     seconds and peak memory as examples, parameters and outputs grow
docs/ntk_ceiling.png    peak memory under a ceiling
"""

from pathlib import Path

import cyclopts
import polars as pl
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter

INK, GREY, PALE = "#222222", "#8a8a8a", "#e4e4e4"
# Colours that the colour-blind tell apart (Okabe & Ito, 2008); ours are the warm ones.
COLOURS = {
    "ours": "#d55e00",
    "ours, vmap": "#e69f00",
    "ours, running statistics": "#f0b27a",
    "ours, batch policy": "#cc79a7",
    "torch.func vmap": "#0072b2",
    "batched VJP": "#56b4e9",
    "published loop": "#009e73",
}
OUTPUTS = {"sum": "#d55e00", "trace": "#0072b2", "full": "#009e73"}
STYLE = {
    "font.size": 10,
    "axes.edgecolor": GREY,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.titlelocation": "left",
    "axes.titlesize": 11,
    "text.color": INK,
    "axes.labelcolor": INK,
    "xtick.color": INK,
    "ytick.color": INK,
}
AMOUNTS = {"examples": "n", "parameters": "parameters", "outputs": "outputs"}
"What grows, and the column that holds it."
NAME = 14
"Points from one name to the next above it."
WIDTH = 4
"Bytes of a float32 number."


def methods(table: pl.DataFrame) -> Figure:
    """A line for each network, a dot for each method: seconds on the left, memory on the right."""
    table = table.filter(pl.col("threads") == table["threads"].min())
    networks = table["network"].unique(maintain_order=True).to_list()
    figure = Figure((12, 1.6 + 0.5 * len(networks)), layout="constrained")
    left, right = figure.subplots(1, 2, sharey=True, width_ratios=(3, 2))
    others = table.filter(pl.col("method") != "training step")
    _dots(left, others, networks, others["ratio"].to_list())
    left.axvline(1, color=GREY, lw=1, zorder=0)
    left.set(xlabel="seconds of one kernel, in training steps of the same batch")
    left.xaxis.set_major_formatter(FuncFormatter(lambda ratio, _: f"{ratio:g}"))
    known = table.filter(pl.col("peak_bytes") > 0)
    _dots(right, known, networks, known["peak_bytes"].to_list())
    right.set(xlabel="peak memory beside network and images")
    right.xaxis.set_major_formatter(FuncFormatter(lambda size, _: _bytes(size)))
    ours = others.filter(pl.col("method") == "ours")["ratio"]
    threads = table["threads"][0]
    left.set_title(
        f"One kernel takes {min(ours):.1f} to {max(ours):.1f} training steps "
        f"({threads} thread{'s' if threads > 1 else ''})",
        pad=NAME * len(COLOURS),
    )
    return figure


def _dots(axes: Axes, table: pl.DataFrame, networks: list[str], values: list[float]) -> None:
    """Dots by network, each method named where it first comes."""
    axes.set(xscale="log", yticks=range(len(networks)), yticklabels=networks)
    axes.set_ylim(len(networks) - 0.5, -0.5)
    axes.tick_params(axis="y", length=0)
    axes.hlines(range(len(networks)), min(values) / 1.3, max(values) * 1.3, color=PALE, zorder=0)
    lines = map(networks.index, table["network"])
    dots = sorted(zip(lines, values, table["method"], strict=True))
    named: set[str] = set()
    for k, (line, value, method) in enumerate(dots):
        colour = COLOURS.get(method, GREY)
        axes.plot(value, line, "o", ms=8 if method == "ours" else 6, color=colour, mec="white")
        if method in named:
            continue
        named.add(method)
        # Names of the first line stand above it, those further right lower: no leader crosses one.
        level = sum(other == 0 for other, _, _ in dots) - k if line == 0 else 0
        leader = {"arrowstyle": "-", "color": colour, "lw": 0.6, "relpos": (0, 0)}
        axes.annotate(
            method,
            (value, line),
            (0, 5 + NAME * level),
            textcoords="offset points",
            annotation_clip=False,
            ha="left" if line == 0 else "center",
            color=colour,
            arrowprops=leader if line == 0 else None,
        )


def growth(table: pl.DataFrame) -> Figure:
    """Seconds above, memory below, for each amount that grows."""
    figure = Figure((12, 7), layout="constrained")
    axes = figure.subplots(2, 3, sharex="col", sharey="row")
    for (what, amount), (above, below) in zip(AMOUNTS.items(), axes.T, strict=True):
        found = table.filter(pl.col("what") == what).sort(amount)
        above.set(xscale="log", yscale="log")
        below.set(xscale="log", yscale="log", xlabel=_fixed(found, what))
        above.set_title(f"more {what}")
        # Where most kernels are of one network, one of other parameters is of another.
        usual = pl.col("parameters") == pl.col("parameters").mode().first().over(amount)
        lines = found.with_columns(usual=usual).group_by("output", "usual", maintain_order=True)
        for (output, same), line in lines:
            name = f"{output}{'' if same else ', another network'}" if what == "outputs" else ""
            _costs(above, below, line, amount, name)
    axes[0, 0].set_ylabel("seconds")
    axes[1, 0].set_ylabel("peak memory")
    axes[0, 0].yaxis.set_major_formatter(FuncFormatter(lambda s, _: f"{s:g} s"))
    axes[1, 0].yaxis.set_major_formatter(FuncFormatter(lambda size, _: _bytes(size)))
    for below in axes[1]:
        below.xaxis.set_major_formatter(FuncFormatter(lambda number, _: _count(number)))
    title = "What one kernel costs; dashed, what its Jacobian alone would take"
    figure.suptitle(title, x=0.02, ha="left")
    return figure


def _costs(above: Axes, below: Axes, line: pl.DataFrame, amount: str, name: str) -> None:
    """One kernel's seconds, memory and Jacobian, named at their ends."""
    output = line["output"][0]
    colour = OUTPUTS.get(output, GREY)
    # Networks of other parameters are other networks: dots, not points of one line.
    style = "o" if amount == "parameters" else "o-"
    last = {"color": colour, "textcoords": "offset points"}
    for axes, values in ((above, line["seconds"]), (below, line["peak_bytes"])):
        axes.plot(line[amount], values, style, color=colour, ms=5)
        axes.annotate(name, (line[amount][-1], values[-1]), (6, -3), **last)
    rows = line["n"] * (line["outputs"] if output in ("full", "trace") else 1)
    jacobian = WIDTH * rows * line["parameters"]
    below.plot(line[amount], jacobian, "--", color=colour, lw=1, alpha=0.6)


def _fixed(table: pl.DataFrame, what: str) -> str:
    """The abscissa, with what stays the same."""
    kept = [
        f"{_count(table[column][0])} {name}"
        for name, column in AMOUNTS.items()
        if name != what and table[column].n_unique() == 1
    ]
    return f"{what} ({', '.join(kept)})" if kept else what


def ceilings(table: pl.DataFrame) -> Figure:
    """Peak memory beside the ceiling it had to keep, with seconds and what the plan gave up."""
    found = table.filter(pl.col("what") == "ceiling")
    cases = found.sort("ceiling").partition_by("n", "parameters", "output", maintain_order=True)
    figure = Figure((9, 1.2 + 0.35 * (len(found) + len(cases))), layout="constrained")
    axes = figure.subplots()
    axes.set(xscale="log", xlabel="peak memory (dot) and ceiling (bar)")
    axes.set_xlim(min(found["peak_bytes"]) / 1.5, max(found["ceiling"]) * 1.2)
    names, line = {}, 0
    for case in cases:
        first = case.row(0, named=True)
        parameters = _count(first["parameters"])
        names[line] = f"{first['n']} examples, {parameters} parameters, {first['output']}"
        for row in case.iter_rows(named=True):
            colour = OUTPUTS["sum"] if row["peak_bytes"] <= row["ceiling"] else INK
            axes.plot([row["peak_bytes"], row["ceiling"]], [line, line], color=PALE, zorder=0)
            axes.plot(row["peak_bytes"], line, "o", color=colour)
            axes.plot(row["ceiling"], line, "|", color=INK, ms=14, mew=2)
            axes.annotate(
                f"{row['seconds']:.2g} s{_given_up(row)}",
                (1.02, line),
                xycoords=axes.get_yaxis_transform(),
                va="center",
            )
            line += 1
        line += 1
    axes.set(yticks=list(names), yticklabels=list(names.values()), ylim=(line - 1.5, -0.5))
    axes.tick_params(axis="y", length=0)
    axes.xaxis.set_major_formatter(FuncFormatter(lambda size, _: _bytes(size)))
    held = (found["peak_bytes"] <= found["ceiling"]).sum()
    axes.set_title(f"{held} of {len(found)} kernels keep under their ceiling")
    return figure


def _given_up(row: dict[str, int]) -> str:
    """What the plan made smaller, in words."""
    shares = {"chunk": row["chunk"] < row["n"], "tiles": row["side"] < row["n"]}
    words = [word for word, smaller in shares.items() if smaller]
    words += [f"{row['groups']} groups"] if row["groups"] > 1 else []
    return f" ({', '.join(words)})" if words else ""


def _bytes(size: float) -> str:
    for unit, one in (("GB", 10**9), ("MB", 10**6)):
        if size >= one:
            return f"{size / one:g} {unit}"
    return f"{size / 1000:g} kB"


def _count(number: float) -> str:
    for unit, one in (("M", 10**6), ("k", 10**3)):
        if number >= one:
            return f"{number / one:.3g}{unit}"
    return f"{number:g}"


def main(*, results: Path = Path("results"), to: Path = Path("docs")) -> None:
    """Writes the pictures.

    Args:
        results: The folder of the CSV files.
        to: The folder of the pictures.
    """
    grown = pl.read_csv(results / "ntk" / "growth.csv")
    with rc_context(STYLE):
        figures = {
            "ntk_methods": methods(pl.read_csv(results / "ntk" / "methods.csv")),
            "ntk_growth": growth(grown),
            "ntk_ceiling": ceilings(grown),
        }
        for name, figure in figures.items():
            figure.savefig(to / f"{name}.png", dpi=130)


if __name__ == "__main__":
    cyclopts.run(main)
