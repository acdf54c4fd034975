"""A leaderboard, for people and for machines."""

import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.table import Column, Table

from untrained.benching.bench import bench as bench
from untrained.benching.bench import bench_run as bench_run
from untrained.benching.bench import plan_of
from untrained.benching.config import BenchConfig
from untrained.benching.leaderboard import FILES, SHORTENED, UNLIKELY, Leaderboard
from untrained.cli.terminal import PRINTED, say
from untrained.outside import visible
from untrained.pages.board_page import report_board
from untrained.pages.units import letter, share, significant
from untrained.runs.config_file import as_toml


def plan(folder: Path | None, config: BenchConfig) -> None:
    """What would be done, as TOML and a line of comment."""
    if folder is not None:
        print(as_toml(config, "bench", str(folder)), end="")
        return
    print(f"# measures {visible(plan_of(config))}")
    print(as_toml(config, "bench"), end="")


def show(board: Leaderboard, as_json: bool) -> None:
    """The leaderboard, and where its files are; exit code 1 where no score could be judged."""
    assert board.folder is not None
    page = report_board(board)
    if as_json:
        print(json.dumps({**plain(board), "page": str(page)}))
    else:
        show_board(board)
        for reason, scores in board.reasons.items():
            say(f"{', '.join(scores)}: {reason}", style="yellow")
        for name in FILES:
            say(board.folder / name)
        say(page, label="Page:", style="bold")
    if not board.judged:
        sys.exit(1)


def show_board(board: Leaderboard) -> None:
    """One row a score, and beneath how to read it."""
    say(f"By {board.accuracy}: {board.population}", style="bold")
    table = Table("", Column("score", overflow="fold", min_width=18), box=SIMPLE_HEAD, padding=0)
    rows = board.scores.to_dicts()
    columns = zip(HEADINGS, zip(*map(cells_of, rows), strict=True), strict=True)
    known = {name: cells for name, cells in columns if {*cells} != {"-"}}  # the others are no use
    for name in known:
        table.add_column(name, justify="right", no_wrap=True)
    for row, *cells in zip(rows, *known.values(), strict=True):
        style = {"baseline": "dim", SHORTENED: "dim italic"}.get(row["kind"], "")
        table.add_row(letter(row["group"]), visible(row["score"]), *cells, style=style)
    PRINTED.print(table)
    if board.verdict:
        say(board.verdict, style="bold")
    say(READING_FEW if board.few else READING.format(board.resamples), style="dim")
    for note in board.notes:
        say(note, style="dim")


HEADINGS = "tau", "95 %", "p", "draws", "rho", "| size", "best 10", "failed", "seconds"
READING = (
    "tau: Kendall's tau-b, with its 95 % interval over architectures ({:,} resamples) and its "
    "standard deviation over draws. p: how often an order by chance agrees, or opposes, as much. "
    "| size: partial tau, given parameters, multiply-adds and layers. best 10: the best accuracy "
    "among the ten best scores. seconds: per architecture, all draws together. Scores with the "
    "same letter cannot be told apart from the first of them (paired bootstrap, not corrected for "
    "the number of scores)."
)
READING_FEW = (
    "tau: Kendall's tau-b, with a 95 % interval as of pairs that are normal up to a monotone "
    "change; from fewer than 20 architectures little else can be said. p: how often an order by "
    "chance agrees, or opposes, as much. seconds: per architecture, all draws together."
)


def cells_of(row: Mapping[str, Any]) -> tuple[str, ...]:
    """What is shown of a score, under each heading."""
    low, high = row["tau_low"], row["tau_high"]
    return (
        share(row["tau"], 3),
        "-" if low is None else f"{share(low)}, {share(high)}",
        "-" if (row["p_value"] or 0) < UNLIKELY else share(row["p_value"], 3),
        share(row["tau_spread"]),
        share(row["rho"]),
        share(row["tau_given_size"]),
        "-" if row["discovered"] is None else f"{row['discovered']:.2%}",
        f"{row['failed']:,}",
        "-" if row["seconds"] is None else significant(row["seconds"]),
    )


def plain(board: Leaderboard) -> dict[str, Any]:
    """A leaderboard for machines."""
    assert board.folder is not None
    return {
        "accuracy": board.accuracy,
        "population": board.population,
        "resamples": board.resamples,
        "verdict": board.verdict,
        "notes": list(board.notes),
        "scores": board.scores.to_dicts(),
        "matrix": board.matrix.to_dicts(),
        "files": [str(board.folder / name) for name in FILES],
    }
