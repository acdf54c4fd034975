"""A tracking as data for its page: what each panel shows, which kernels, how large."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor

from untrained.tracking.snapshots import Snapshot
from untrained.tracking.track import Track

KERNELS_SHOWN = 6
IMAGES_SHOWN = 128
"In a picture of a kernel; of more, evenly many are left out."


class Line(NamedTuple):
    """A quantity in a panel."""

    quantity: str
    "A field of `Snapshot`."
    label: str


@dataclass(frozen=True)
class Panel:
    """Quantities of one unit, by epoch."""

    title: str
    meaning: str
    "Which way is what."
    lines: tuple[Line, ...]
    axis: Literal["linear", "log", "share"] = "linear"
    zero: bool = False
    "Whether zero is always in the picture."


QUESTIONS: dict[str, tuple[Panel, ...]] = {
    "Does the kernel know the classes?": (
        Panel(
            "Alignment with the labels (LGA)",
            "Correlation of the kernel's entries with 1 for two images of one class and -1 for "
            "two of different ones. Higher: what the network learns from an image, it learns "
            "for that image's class.",
            (Line("alignment", "LGA"),),
            zero=True,
        ),
        Panel(
            "Label energy at the top",
            "Share of the labels that lies along as many top eigenvectors as there are classes. "
            "Higher: the classes lie where the kernel learns fastest.",
            (Line("label_energy", "label energy"),),
            axis="share",
        ),
    ),
    "How far has it moved?": (
        Panel(
            "Similarity to initialisation",
            "1: the kernel is as it was at initialisation, up to scale, and training is close to "
            "that of a linear model. It falls as features are learnt.",
            (
                Line("correlation_initial", "correlation"),
                Line("centred_initial", "centred alignment"),
            ),
            zero=True,
        ),
        Panel(
            "Similarity to the snapshot before",
            "Near 1 the kernel no longer changes, up to scale; below that it is still turning.",
            (
                Line("correlation_previous", "correlation"),
                Line("centred_previous", "centred alignment"),
            ),
            zero=True,
        ),
        Panel(
            "Relative change",
            "Norm of the difference, over the norm of the earlier kernel: 0 is no change. Unlike "
            "similarity, it counts growth and shrinking too.",
            (
                Line("change_initial", "from initialisation"),
                Line("change_previous", "from the snapshot before"),
            ),
            zero=True,
        ),
    ),
    "What shape does it have?": (
        Panel(
            "Size",
            "How strongly outputs respond to the parameters. The largest eigenvalue limits the "
            "learning rate: the larger, the smaller the steps that are stable.",
            (
                Line("trace", "trace"),
                Line("norm", "norm"),
                Line("largest_eigenvalue", "largest eigenvalue"),
            ),
            axis="log",
        ),
        Panel(
            "Effective rank",
            "(tr Θ)² / ‖Θ‖²: about how many directions carry the kernel. 1 is a single one; lower "
            "means that images are learnt together, higher that each is learnt separately.",
            (Line("effective_rank", "effective rank"),),
            zero=True,
        ),
        Panel(
            "Condition number",
            "Largest over smallest eigenvalue. Higher: some directions are learnt that many times "
            "more slowly than others.",
            (Line("condition_number", "condition number"),),
            axis="log",
        ),
    ),
    "How well does the network do?": (
        Panel(
            "Accuracy in training",
            "On augmented training images during the epoch, and on all validation images.",
            (
                Line("validation_accuracy", "validation"),
                Line("train_accuracy", "training"),
            ),
            axis="share",
        ),
        Panel(
            "Cross-entropy",
            "What training minimises. Lower is better.",
            (Line("validation_loss", "validation"), Line("train_loss", "training")),
            zero=True,
        ),
    ),
}
"""Panels by the question that they answer. Network against regression has a panel of its own,
above these."""

COMPARED = Panel(
    "Accuracy on the held-out images",
    "",
    (
        Line("network_accuracy", "the network"),
        Line("regression_accuracy", "regression with Θₜ"),
    ),
    axis="share",
)
ADVANTAGE = Panel(
    "Non-linear advantage",
    "",
    (
        Line("advantage_initial", "over regression with Θ₀"),
        Line("advantage", "over regression with Θₜ"),
    ),
    axis="share",
)


@dataclass(frozen=True)
class Series:
    """A quantity where it has values, and why it has none elsewhere."""

    label: str
    epochs: tuple[int, ...]
    values: tuple[float, ...]
    reasons: tuple[str, ...]
    "`epochs 1 to 3: the labels are of one class`."


def series(snapshots: Sequence[Snapshot], line: Line) -> Series:
    """The values of a quantity. What the first snapshot alone lacks goes without saying."""
    found = [(snapshot.epoch, getattr(snapshot, line.quantity)) for snapshot in snapshots]
    missing: dict[str, list[int]] = {}
    for epoch, quantity in found:
        if quantity.value is None and (epoch > 0 or len(snapshots) == 1):
            missing.setdefault(quantity.reason, []).append(epoch)
    return Series(
        line.label,
        tuple(epoch for epoch, quantity in found if quantity.value is not None),
        tuple(quantity.value for _, quantity in found if quantity.value is not None),
        tuple(f"{line.label}, {_epochs(at)}: {reason}" for reason, at in missing.items()),
    )


def _epochs(at: Sequence[int]) -> str:
    return f"epoch {at[0]}" if len(at) == 1 else f"epochs {at[0]} to {at[-1]}"


def spread(count: int, wanted: int = KERNELS_SHOWN) -> tuple[int, ...]:
    """Positions of a few of `count` snapshots, the first and the last too, dense at the beginning.

    Example:
        >>> spread(21), spread(3)
        ((0, 1, 2, 4, 9, 20), (0, 1, 2))
    """
    if count <= wanted:
        return tuple(range(count))
    ratio = (count - 1) ** (1 / (wanted - 2))
    chosen = [0]
    for k in range(wanted - 1):
        least, most = chosen[-1] + 1, count - wanted + k + 1
        chosen.append(min(max(round(ratio**k), least), most))
    return tuple(chosen)


@dataclass(frozen=True)
class Picture:
    """A kernel in units of its mean diagonal, the images sorted by class."""

    epoch: int
    entries: Float[Tensor, "n n"]
    labels: Int[Tensor, " n"]
    within: float | None
    "Mean entry of two different images of one class; None where there are none."
    between: float | None
    "Mean entry of two images of different classes."


def pictures(track: Track) -> tuple[Picture, ...]:
    """Pictures of a few kernels; kernels without a positive finite diagonal are left out."""
    labels = track.labels
    same = labels[:, None] == labels
    apart = ~torch.eye(len(labels), dtype=torch.bool)
    rows = torch.linspace(0, len(labels) - 1, min(len(labels), IMAGES_SHOWN)).round().long()
    found = []
    for k in spread(len(track.snapshots)):
        kernel = track.kernels[k].double()
        unit = kernel.diagonal().mean()
        if not (kernel.isfinite().all() and unit > 0):
            continue
        kernel = kernel / unit
        found.append(
            Picture(
                track.snapshots[k].epoch,
                kernel[rows][:, rows],
                labels[rows],
                _mean(kernel[same & apart]),
                _mean(kernel[~same]),
            )
        )
    return tuple(found)


def _mean(entries: Tensor) -> float | None:
    return entries.mean().item() if len(entries) else None


def limits(shown: Sequence[Picture]) -> tuple[float, float]:
    """Smallest and largest entry on the scale that all pictures share.

    The outermost 1 % on either side, the diagonal apart, are beyond the scale. Where entries are
    negative by more than a tenth of the largest, zero is in the middle.
    """
    n = len(shown[0].entries)
    apart = ~torch.eye(n, dtype=torch.bool)
    entries = torch.cat([picture.entries[apart] for picture in shown])
    low, high = torch.quantile(entries, entries.new_tensor([0.01, 0.99])).tolist()
    high = max(high, -low, 1e-6)
    return (-high, high) if low < -high / 10 else (0.0, high)


class Result(NamedTuple):
    """The numbers on top of the page."""

    epochs: int
    "Of the last snapshot."
    accuracy: float | None
    "Of the network, at the last snapshot, on the held-out images."
    linearised: float | None
    "Of regression with Theta_0, on the same."
    advantage: float | None
    alignment: tuple[float | None, float | None]
    "At the first and at the last snapshot."
    similarity: float | None
    "Correlation with Theta_0 at the last snapshot."
    change: float | None
    seconds: float
    "Of all snapshots."


def result(track: Track) -> Result:
    """First against last."""
    first, last = track.snapshots[0], track.snapshots[-1]
    return Result(
        last.epoch,
        last.network_accuracy.value,
        first.regression_accuracy.value,
        last.advantage_initial.value,
        (first.alignment.value, last.alignment.value),
        last.correlation_initial.value,
        last.change_initial.value,
        sum(snapshot.seconds for snapshot in track.snapshots),
    )


def verdict(found: Result) -> str:
    """What happened, in two sentences."""
    if found.epochs == 0:
        return "There is only the snapshot at initialisation: no movement has been measured yet."
    if found.similarity is None:
        moved = "How far the kernel moved is not resolved."
    else:
        how = "hardly moved" if found.similarity > 0.95 else "moved"
        how = "changed substantially" if found.similarity < 0.5 else how
        moved = (
            f"In {found.epochs} epoch{'s' * (found.epochs > 1)} the kernel {how}: its correlation "
            f"with initialisation is {found.similarity:.2f}."
        )
    if found.advantage is None:
        return moved
    points = 100 * found.advantage
    than = "better" if points > 0 else "worse"
    if abs(points) < 0.05:
        return f"{moved} The network does as well as its linearisation at initialisation."
    return (
        f"{moved} The network does {abs(points):.1f} points {than} than its linearisation at "
        f"initialisation."
    )
