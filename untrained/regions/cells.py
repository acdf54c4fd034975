"""Convex pieces of a line or a plane, cut where affine functions change places.

Among rivals r_1 ... r_k, each affine on a convex piece, the i-th wins on the cell

    {x : d(x) >= 0 for all j /= i},    d = r_i - r_j,

whose corners are the piece's, and on the edges from a to b the crossings

    a + (b - a) d(a) / (d(a) - d(b)).

A corner with |d| below `CLOSE` times the extent of d over the piece lies on the border; so does
one with |d| below a bound on rounding errors.
"""

import numpy as np
from jaxtyping import Bool, Float64

Piece = Float64[np.ndarray, "_ d"]
"""Two ends of a segment, or a polygon's corners in order."""

CLOSE = 1e-9
"""Share of a piece's extent across a border within which a corner is on it."""


def subdivided(piece: Piece, rivals: Float64[np.ndarray, "v u k"], rounding: float) -> list[Piece]:
    """The parts of a piece on which each of u contests between k rivals has one winner.

    Args:
        piece: corners.
        rivals: the rivals' values there.
        rounding: below this, a difference between rivals is zero.

    Example:
        >>> ends = np.array([[-1.0], [1.0]])
        >>> relu = np.hstack([ends, 0 * ends])  # z = x against 0
        >>> [part[:, 0].tolist() for part in subdivided(ends, relu[:, None], 0.0)]
        [[-1.0, 0.0], [0.0, 1.0]]
    """
    (v, d), (_, _, k) = piece.shape, rivals.shape
    undecided = [np.hstack([piece, rivals.reshape(v, -1)])]
    decided = []
    while undecided:
        rows = undecided.pop()
        values = rows[:, d:].reshape(len(rows), -1, k)
        open_contests = contested(values, rounding)
        if not open_contests.any():
            decided.append(rows[:, :d])
            continue
        values = values[:, open_contests]
        rest = np.hstack([rows[:, :d], values[:, 1:].reshape(len(rows), -1)])
        undecided += _cells(rest, values[:, 0], rounding)
    return decided


def contested(rivals: Float64[np.ndarray, "v u k"], rounding: float) -> Bool[np.ndarray, " u"]:
    """In which contests no rival is the largest at every corner."""
    behind = rivals.max(2, keepdims=True) - rivals
    return behind.max(0).min(1) > rounding


def _cells(
    rows: Float64[np.ndarray, "v c"], rivals: Float64[np.ndarray, "v k"], rounding: float
) -> list[Float64[np.ndarray, "_ c"]]:
    """The cells in which one rival is the largest, empty ones left out; of equals the first."""
    k = rivals.shape[1]
    found = []
    for i in range(k):
        cell = np.hstack([rivals, rows])
        for j in range(k):
            if i != j and len(cell):
                cell = _above(cell, cell[:, i] - cell[:, j], rounding, i < j)
        if len(cell):
            found.append(cell[:, k:])
    return found


def _above(
    rows: Float64[np.ndarray, "v c"], d: Float64[np.ndarray, " v"], rounding: float, if_equal: bool
) -> Float64[np.ndarray, "_ c"]:
    """The part of a piece on which d >= 0; no rows if that is empty."""
    border = max(CLOSE * (d.max() - d.min()), rounding)
    above, below = d > border, d < -border
    if not below.any():
        return rows if above.any() or if_equal else rows[:0]
    if not above.any():
        return rows[:0]
    corners = []
    for a in range(len(rows)):
        b = (a + 1) % len(rows)
        if not below[a]:
            corners.append(rows[a])
        crossed = (above[a] and below[b]) or (below[a] and above[b])
        if crossed and (b > 0 or len(rows) > 2):  # two ends have one edge, not two
            corners.append(rows[a] + (rows[b] - rows[a]) * (d[a] / (d[a] - d[b])))
    return np.stack(corners)
