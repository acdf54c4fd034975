"""Draws what the plan came to (needs matplotlib: the extra `docs`).

python experiments/scale_picture.py        # docs/scale.png, from results/scale/plan.csv
"""

import polars as pl
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from scale_plan import LENGTHS, RESULTS
from te_nas_pictures import INK, ROOT, STYLE

COLOURS = "#0072b2", "#d55e00", "#009e73", "#8a8a8a"


def main() -> None:
    """Draws it."""
    rows = pl.read_csv(RESULTS, infer_schema_length=None)
    with rc_context(STYLE):
        figure = Figure((12, 4), layout="constrained")
        one, several, messages = figure.subplots(1, 3)
        one_driver(one, rows.filter(part="one driver", engine="ray"))
        many_drivers(several, rows.filter(part="drivers"))
        message_sizes(messages, rows.filter(part="message"))
        figure.savefig(ROOT / "docs" / "scale.png", dpi=110)


def one_driver(panel: Axes, rows: pl.DataFrame) -> None:
    """Efficiency by workers."""
    for seconds, colour in zip(LENGTHS, COLOURS, strict=True):
        for message, line in ((1, "-"), (16, "--")):
            some = rows.filter(seconds=seconds, message=message)
            label = f"tasks of {seconds:g} s" if message == 1 else None
            panel.plot(some["workers"], some["efficiency"], line, color=colour, label=label)
    panel.plot([], [], "--", color=INK, label="16 tasks a message")
    panel.set(xscale="log", xlabel="workers of one driver", ylabel="efficiency", ylim=(0, 1.02))
    panel.set_title("One driver, Ray and PostgreSQL")
    panel.legend()


def many_drivers(panel: Axes, rows: pl.DataFrame) -> None:
    """Tasks a second by drivers."""
    cases = (1.0, 1), (0.1, 1), (0.1, 4)
    for (seconds, cores), colour in zip(cases, COLOURS, strict=False):
        for message, line in ((1, "-"), (16, "--")):
            some = rows.filter(seconds=seconds, cores=cores, message=message)
            label = f"{seconds:g} s, PostgreSQL on {cores} core{'s' if cores > 1 else ''}"
            panel.plot(
                some["drivers"], some["rate"], line, color=colour,
                label=label if message == 1 else None,
            )  # fmt: skip
    panel.set(xscale="log", yscale="log", xlabel="drivers", ylabel="tasks a second")
    panel.set_title("10,000 workers")
    panel.legend()


def message_sizes(panel: Axes, rows: pl.DataFrame) -> None:
    """Efficiency by tasks in a message."""
    for seconds, colour in zip(LENGTHS, COLOURS, strict=True):
        some = rows.filter(seconds=seconds)
        panel.plot(some["message"], some["efficiency"], "o-", color=colour, label=f"{seconds:g} s")
    panel.set(xscale="log", xlabel="tasks in a message", ylabel="efficiency", ylim=(0, 1.02))
    panel.set_title("1,000 workers, 5 % lost an hour")
    panel.legend()


if __name__ == "__main__":
    main()
