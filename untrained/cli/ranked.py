"""A ranking of models, for people and for machines."""

import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import polars as pl

from untrained.cli.columns import Column, directed, show_table
from untrained.cli.planned import show_plan
from untrained.cli.terminal import say, tell
from untrained.outside import visible
from untrained.pages.ranking_page import report_ranking
from untrained.pages.units import (
    compact,
    duration,
    letter,
    memory,
    milliseconds,
    percent,
    probability,
    share,
    significant,
    uncertain,
)
from untrained.ranking.config import PROBE, SIZES, RankConfig
from untrained.ranking.measured import rank as rank
from untrained.ranking.naming import named_models
from untrained.ranking.ranking import Ranking
from untrained.ranking.trained import ACCURACY, SECONDS
from untrained.runs.config_file import as_toml


def plan(config: RankConfig, as_json: bool) -> None:
    """What would be measured."""
    names = visible(", ".join(named_models(config.models).architectures))
    show_plan(as_toml(config.check(), "rank"), as_json, note=f"ranks {names}")


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
            tell(said, style="bold")
        tell(READING, style="dim")
        for note in ranking.notes:
            tell(note, style="dim")
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
    rows = [*ranking.models.iter_rows(named=True)]
    start = common_start([row["model"] for row in rows])
    columns = [
        Column(directed(name, ranking.directions.get(name)), [interval(row, name) for row in rows])
        for name in shown
    ]
    counts = zip(*map(sizes, rows), strict=True)
    columns += [Column(*each) for each in zip(SHOWN_SIZES, counts, strict=True)]
    if ranking.agreement is not None:
        after = zip(*map(outcome, rows), strict=True)
        columns += [Column(*each) for each in zip(("accuracy", "trained"), after, strict=True)]
    show_table(
        visible(start) or "model",
        [row["model"].removeprefix(start) for row in rows],
        columns,
        marks=[letter(row["group"]) for row in rows],
        styles={k: "dim" for k, row in enumerate(rows) if row["place"] is None},
    )


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
    return uncertain(mean, high - mean) if high is not None and high > mean else significant(mean)


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
    rows = [*agreement.iter_rows(named=True)]
    show_table(
        "ranked by",
        [row["score"] for row in rows],
        [
            Column("models", [str(row["count"]) for row in rows]),
            Column("tau", [share(row["tau"]) for row in rows]),
            Column("95 % interval", [_between(row) for row in rows]),
            Column("p", [probability(row["p_value"]) for row in rows]),
        ],
    )


def _between(row: Mapping[str, Any]) -> str:
    low, high = (share(row[name]) for name in ("tau_low", "tau_high"))
    return "-" if row["tau_low"] is None else f"{low} to {high}"


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
