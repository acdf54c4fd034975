"""A ranking of models, for people and for machines."""

import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import polars as pl
from rich.box import SIMPLE_HEAD
from rich.table import Column, Table

from untrained.cli.terminal import PRINTED, say
from untrained.outside import visible
from untrained.pages.ranking_page import report_ranking
from untrained.pages.units import (
    compact,
    duration,
    letter,
    memory,
    milliseconds,
    percent,
    share,
    significant,
)
from untrained.ranking.config import PROBE, SIZES, RankConfig
from untrained.ranking.measured import rank as rank
from untrained.ranking.naming import named_models
from untrained.ranking.ranking import Ranking
from untrained.ranking.trained import ACCURACY, SECONDS
from untrained.runs.config_file import as_toml


def plan(config: RankConfig) -> None:
    """What would be measured, as a line of comment and TOML."""
    found = named_models(config.models)
    print(f"# ranks {visible(', '.join(found.architectures))}")
    print(as_toml(config.check(), "rank"), end="")


def show(ranking: Ranking, as_json: bool) -> None:
    """The ranking, and where its files are; exit code 1 where no model could be measured."""
    assert ranking.folder is not None
    page = report_ranking(ranking)
    if as_json:
        print(json.dumps({**plain(ranking), "page": str(page)}))
    else:
        show_models(ranking)
        if ranking.agreement is not None:
            show_agreement(ranking.agreement)
        for model, reason in ranking.models.select("model", "reason").iter_rows():
            if reason:
                say(f"{model}: {reason}", style="yellow")
        for said in filter(None, (ranking.verdict, ranking.agreement_verdict)):
            say(said, style="bold")
        say(READING, style="dim")
        for note in ranking.notes:
            say(note, style="dim")
        for name in ranking.files:
            say(ranking.folder / name)
        say(page, label="Page:", style="bold")
    if not len(ranking.ranked):
        sys.exit(1)


READING = (
    "± is half of a 95 % interval over draws. Models with the same letter cannot be told apart "
    "from the first of them (paired t interval, not corrected for the number of models). memory: "
    "of all tensors of a training step with AdamW and 64 images."
)


def show_models(ranking: Ranking) -> None:
    """One row a model; those with the same letter cannot be told apart from the first of them."""
    beside = [name for name in (PROBE,) if name in ranking.models.columns]
    shown = [*dict.fromkeys((ranking.ordered_by, *ranking.scores, *beside))]
    start = common_start(ranking.models["model"].to_list())
    model = Column(visible(start) or "model", overflow="fold", min_width=14)
    table = Table("", model, box=SIMPLE_HEAD, padding=0)
    for name in shown:
        table.add_column(visible(name), justify="right", overflow="fold")
    trained = ranking.agreement is not None
    for name in (*SHOWN_SIZES, *(("accuracy", "trained") if trained else ())):
        table.add_column(name, justify="right", no_wrap=True)
    for row in ranking.models.iter_rows(named=True):
        style = "dim" if row["place"] is None else ""
        scores = [interval(row, name) for name in shown]
        name = visible(row["model"].removeprefix(start))
        training = outcome(row) if trained else ()
        table.add_row(letter(row["group"]), name, *scores, *sizes(row), *training, style=style)
    PRINTED.print(table)


def common_start(models: Sequence[str]) -> str:
    """What all import paths begin with, up to a `:` or `.`: the head of their column.

    Example:
        >>> common_start(["my_nets:NETS.wide", "my_nets:NETS.wild"])
        'my_nets:NETS.'
    """
    path = models[0].partition("=")[0]
    starts = [path[: i + 1] for i, sign in enumerate(path) if sign in ":."] * (len(models) > 1)
    shared = (s for s in reversed(starts) if all(model.startswith(s) for model in models))
    return next(shared, "")


def interval(row: Mapping[str, Any], name: str) -> str:
    """`0.734 ± 0.021`, the mean and half its 95 % interval; a dash where there is none."""
    mean, high = row[name], row.get(f"{name}_high")  # a count has none
    if mean is None:
        return "-"
    return significant(mean) + ("" if high is None else f" ± {high - mean:,.2g}")


def sizes(row: Mapping[str, Any]) -> Iterator[str]:
    """Parameters, multiply-adds, training memory and latency; a dash where one is not known."""
    for name, shown in zip(SIZES, (compact, compact, memory, milliseconds), strict=True):
        yield "-" if row[name] is None else shown(row[name])


SHOWN_SIZES = ("parameters", "MACs", "memory", "latency")
"Heads of the columns of `sizes`."


def outcome(row: Mapping[str, Any]) -> Iterator[str]:
    """Accuracy after training and the seconds that it took; a dash where one is not known."""
    for name, shown in ((ACCURACY, percent), (SECONDS, duration)):
        yield "-" if row[name] is None else shown(row[name])


def show_agreement(agreement: pl.DataFrame) -> None:
    """One row for each score and size: how well it ranks the accuracies."""
    table = Table("ranked by", box=SIMPLE_HEAD, padding=0)
    for name in ("models", "tau", "95 % interval", "p"):
        table.add_column(name, justify="right", no_wrap=True)
    for row in agreement.iter_rows(named=True):
        tau, low, high = (share(row[name]) for name in ("tau", "tau_low", "tau_high"))
        p = "-" if row["p_value"] is None else f"{row['p_value']:.2g}"
        between = "-" if row["tau_low"] is None else f"{low} to {high}"
        table.add_row(visible(row["score"]), str(row["count"]), tau, between, p)
    PRINTED.print(table)


def plain(ranking: Ranking) -> dict[str, Any]:
    """A ranking for machines."""
    assert ranking.folder is not None
    return {
        "scores": list(ranking.scores),
        "verdict": ranking.verdict,
        "notes": list(ranking.notes),
        "models": ranking.models.to_dicts(),
        "agreement": None if ranking.agreement is None else ranking.agreement.to_dicts(),
        "files": [str(ranking.folder / name) for name in ranking.files],
    }
