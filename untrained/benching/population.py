"""Which architectures a bench measures: a population of a table's rows, and a sample of it."""

import random
from collections.abc import Sequence
from itertools import pairwise
from typing import Any, NamedTuple

import polars as pl

from untrained.benching.config import LEAST, BenchConfig, Named
from untrained.benching.judged import Judged
from untrained.spaces import Space
from untrained.spaces.nasbench201 import NASBench201, reachable


class Sample(NamedTuple):
    """The architectures to be measured, and what they stand for."""

    architectures: tuple[str, ...]
    "Text forms of the space, in a random order, so that a part of them is a sample too."
    declared: str
    "For people: `200 at random of 15,625 (all rows of nasbench201.parquet)`."


def draw_sample(config: BenchConfig, space: Space[Any], judged: Judged) -> Sample:
    """The sample that a configuration asks for, of rows that have an accuracy.

    It depends on the seed and on the table alone. A larger number has the smaller one's
    architectures, and so what was measured of them.

    Raises:
        ValueError: architectures of another space, a population that the space does not have, or
            one that is smaller than the sample.
    """
    rows = rows_of(config.population, space, judged)
    named = f"{len(rows):,} ({DECLARED[config.population].format(judged.table.path.name)})"
    size = config.size_of_sample
    if len(rows) < LEAST:
        raise ValueError(f"population: expected {LEAST} architectures or more, got {named}")
    if len(rows) < (size or 0):
        raise ValueError(
            f"sample: expected at most {named}, got {config.sample!r}; try --sample all"
        )
    rng = random.Random(f"{config.seed}/sample")
    if config.stratified:
        assert size
        chosen = stratified(rows, size, rng)
        declared = (
            f"{size:,} of {named}, one at random of each of {size:,} equal parts by accuracy: "
            f"intervals are wider than they need be"
        )
    else:
        chosen = [text for text, _ in rng.sample(rows, len(rows))][:size]
        declared = f"all {named}" if size is None else f"{size:,} at random of {named}"
    return Sample(tuple(map(str, _parsed(chosen, space, judged))), declared)


DECLARED: dict[Named, str] = {
    "all": "all rows of {}",
    "canonical": "rows of {}, one of all that compute the same",
    "reachable": "rows of {} without idle operations",
    "none-free": "rows of {} without none",
}


def rows_of(population: Named, space: Space[Any], judged: Judged) -> list[tuple[str, float]]:
    """Text and accuracy of the population's rows, in the table's order.

    `canonical` takes of all rows that compute the same the canonical form's own, or else the
    first.

    Raises:
        ValueError: as `draw_sample`.
    """
    frame = judged.table.frame.filter(pl.col(judged.column).is_finite())
    rows = list(frame.select("architecture", judged.column).iter_rows())
    if population == "all":
        return rows
    texts = [text for text, _ in rows]
    parsed = dict(zip(texts, _parsed(texts, space, judged), strict=True))
    if population == "canonical":
        forms = {text: space.canonical(found) for text, found in parsed.items()}
        kept: dict[Any, tuple[str, float]] = {}
        for text, accuracy in sorted(rows, key=lambda row: forms[row[0]] != parsed[row[0]]):
            kept.setdefault(forms[text], (text, accuracy))
        chosen = {text for text, _ in kept.values()}
        return [row for row in rows if row[0] in chosen]
    if not isinstance(space, NASBench201):
        raise ValueError(
            f"population: expected all or canonical on the space {space.name!r}, got "
            f"{population!r}"
        )
    if population == "reachable":
        return [row for row in rows if reachable(parsed[row[0]])]
    return [row for row in rows if ("none",) not in parsed[row[0]].edges]


def stratified(rows: Sequence[tuple[str, float]], parts: int, rng: random.Random) -> list[str]:
    """One text of each part of the rows in the order of accuracy, in a random order.

    Parts differ by one row in size at most, so that the sample's accuracies are distributed as
    the population's.
    """
    order = sorted(rows, key=lambda row: row[1])
    cuts = [len(order) * k // parts for k in range(parts + 1)]
    chosen = [order[rng.randrange(a, b)][0] for a, b in pairwise(cuts)]
    return rng.sample(chosen, parts)


def _parsed(texts: Sequence[str], space: Space[Any], judged: Judged) -> list[Any]:
    try:
        return [space.parse(text) for text in texts]
    except ValueError as error:
        raise ValueError(
            f"table: expected architectures of the space {space.name!r} in "
            f"{judged.table.path.name}, got others: {error}"
        ) from error
