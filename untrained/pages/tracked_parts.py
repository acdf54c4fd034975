"""A kernel by class and by layer, as data for the page of a tracking."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

from untrained.estimate import Quantity
from untrained.tracking.snapshots import Snapshot
from untrained.tracking.track import Track

ROWS_SHOWN = 24
"Classes in a figure; of more, those that end highest and lowest."
Part = Literal["class", "layer"]


@dataclass(frozen=True)
class Breakdown:
    """A quantity of every class or layer, by epoch."""

    quantity: str
    "A field of `ClassAlignment` or of `LayerShare`."
    title: str
    meaning: str
    share: bool = False


BREAKDOWNS: dict[Part, tuple[Breakdown, ...]] = {
    "class": (
        Breakdown(
            "centred_alignment",
            "Centred alignment with the class",
            "Alignment (CKA) with the kernel that is 1 where both images, or neither, are of the "
            "class, and -1 elsewhere. 0: nothing sets the class apart from the rest.",
        ),
        Breakdown(
            "label_energy",
            "Label energy at the top",
            "Share of the class's label that lies along as many top eigenvectors as there are "
            "classes. Higher: the kernel learns this class fast.",
            share=True,
        ),
        Breakdown(
            "alignment",
            "Alignment with the class (LGA)",
            "Centred alignment without its centring. Most pairs are of other classes, so that it "
            "falls where the kernel sets these apart: compare a class only with itself.",
        ),
    ),
    "layer": (
        Breakdown(
            "trace_share",
            "Share of the kernel",
            "Share of its trace: how much of a step's effect comes from this layer's parameters.",
            share=True,
        ),
        Breakdown(
            "correlation_initial",
            "Similarity to initialisation",
            "Correlation of the layer's kernel with that at initialisation: 1 is unchanged, up to "
            "scale and shift.",
        ),
        Breakdown(
            "change_initial",
            "Relative change",
            "Norm of the difference from initialisation over the norm there. Growth counts too.",
        ),
        Breakdown(
            "alignment",
            "Alignment with the labels (LGA)",
            "Of the layer's own kernel: that of a network in which only this layer is trained.",
        ),
    ),
}


ON_THE_PAGE = {"class": 2, "layer": 4}
"How many of them the page shows; `Tracked.plot` shows all."


class Cell(NamedTuple):
    """A quantity of one class or layer at one epoch."""

    row: str
    epoch: int
    quantity: Quantity


@dataclass(frozen=True)
class Grid:
    """A breakdown: a row for each class or layer, a column for each snapshot."""

    rows: tuple[str, ...]
    epochs: tuple[int, ...]
    values: tuple[tuple[float | None, ...], ...]
    reasons: tuple[str, ...]
    "`cat and 3 more: the labels are of one class`."


def grid(track: Track, part: Part, quantity: str) -> Grid:
    """A quantity of all classes or layers; of too many classes, those that end high and low."""
    found = _cells(track, part, quantity)
    known = {(cell.row, cell.epoch): cell.quantity.value for cell in found}
    epochs = tuple(dict.fromkeys(cell.epoch for cell in found))
    rows = [*dict.fromkeys(cell.row for cell in found)]
    if part == "class" and len(rows) > ROWS_SHOWN:
        end = {row: known.get((row, epochs[-1])) for row in rows}
        rows.sort(key=lambda row: -1.0 if (value := end[row]) is None else value, reverse=True)
        rows = rows[: ROWS_SHOWN // 2] + rows[-ROWS_SHOWN // 2 :]
    missing: dict[str, list[str]] = {}
    for cell in found:
        if cell.quantity.value is None:
            missing.setdefault(cell.quantity.reason, []).append(cell.row)
    return Grid(
        tuple(rows),
        epochs,
        tuple(tuple(known.get((row, epoch)) for epoch in epochs) for row in rows),
        tuple(f"{_named([*dict.fromkeys(of)])}: {reason}" for reason, of in missing.items()),
    )


def _named(rows: Sequence[str]) -> str:
    return rows[0] if len(rows) == 1 else f"{rows[0]} and {len(rows) - 1} more"


def _cells(track: Track, part: Part, quantity: str) -> list[Cell]:
    """A quantity of all classes or layers, snapshot by snapshot."""
    return [
        Cell(row, snapshot.epoch, getattr(found, quantity))
        for snapshot in track.snapshots
        for row, found in _parts(snapshot, part, track.classes)
    ]


def _parts(snapshot: Snapshot, part: Part, classes: Sequence[str]) -> list[tuple[str, object]]:
    if part == "layer":
        return [(share.layer, share) for share in snapshot.by_layer]
    return [(classes[found.label], found) for found in snapshot.by_class]
