"""Combinations of scores, as columns beside them."""

from collections.abc import Callable, Mapping, Sequence

import numpy as np
import polars as pl
from jaxtyping import Float

from untrained.benching.combination import Combination
from untrained.benching.ranking import Known
from untrained.tables import combining

COMBINATION = "combination"
"The kind of several scores as one."

SUMS: dict[str, Callable[..., np.ndarray]] = {
    "rank_sum": combining.rank_sum,
    "log_rank_sum": combining.log_rank_sum,
    "z_sum": combining.z_sum,
}


def with_combinations(
    values: pl.DataFrame,
    accuracy: str,
    known: Mapping[str, Known],
    combinations: Sequence[Combination],
) -> tuple[pl.DataFrame, dict[str, Known]]:
    """The values with a column for each combination, and what is known of all scores.

    Scores are combined draw by draw, higher meaning better. Where that cannot be done, as with a
    score that failed on all architectures, the combination has no value, and a reason; a score
    that failed on some ranks these last in sums of ranks. Its seconds are those of its scores.

    Args:
        values: one row for each draw of each architecture: `draw`, the accuracies, the scores.
        accuracy: column of the accuracies, which a fitted combination is fitted on.
        known: name -> what is known of a score.
        combinations: of these scores.

    Raises:
        ValueError: a score that is not there.
    """
    found = dict(known)
    for each in combinations:
        if missing := [name for name in each.scores if name not in known]:
            raise ValueError(
                f"combine: expected scores among {', '.join(known)}, got {missing[0]!r} in "
                f"{str(each)!r}"
            )
        column, reason = np.full(len(values), np.nan), ""
        draws = values["draw"].to_numpy()
        for draw in np.unique(draws):
            rows = np.flatnonzero(draws == draw)
            try:
                column[rows] = _of_draw(each, values[rows], accuracy, known)
            except ValueError as error:
                reason = str(error)
        combined = pl.Series(str(each), column, pl.Float64).fill_nan(None)
        values = values.with_columns(combined)
        found[str(each)] = Known(True, COMBINATION, _seconds(each, known), reason)
    return values, found


def _of_draw(
    combination: Combination, values: pl.DataFrame, accuracy: str, known: Mapping[str, Known]
) -> Float[np.ndarray, " n"]:
    columns = [
        values[name].cast(pl.Float64).to_numpy() * (1 if known[name].higher_is_better else -1)
        for name in combination.scores
    ]
    for name, column in zip(combination.scores, columns, strict=True):
        if not np.isfinite(column).any():
            raise ValueError(f"{name} failed throughout: {known[name].reason}")
    if combination.method == "cross_fitted":
        return combining.cross_fitted(np.stack(columns, 1), values[accuracy].to_numpy())
    return SUMS[combination.method](*columns)


def _seconds(combination: Combination, known: Mapping[str, Known]) -> float | None:
    seconds = [known[name].seconds for name in combination.scores]
    spent = [each for each in seconds if each is not None]
    return sum(spent) if len(spent) == len(seconds) else None


def notes_on(combinations: Sequence[Combination]) -> list[str]:
    """What must be known to read their numbers."""
    notes = []
    if any("rank_sum" in each.method for each in combinations):
        notes.append("Sums of ranks rank last, by each of their scores, what that failed on.")
    if any(each.method == "cross_fitted" for each in combinations):
        notes.append(
            "cross_fitted: weights are fitted on some of the architectures, and judged on the "
            "others; intervals take them as given."
        )
    return notes
