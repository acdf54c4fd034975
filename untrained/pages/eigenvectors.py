"""Top eigenvectors of a kernel, each as the images that weigh most in it.

    Theta u_i = lambda_i u_i,    ||u_i|| = 1

Gradient flow learns fastest to tell apart what is at the two ends of u_1, then of u_2, and so on.
The sign of an eigenvector is arbitrary: here its largest entry is positive. Where two eigenvalues
are equal but for rounding, so are all rotations of their eigenvectors, and none is shown.
"""

import base64
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int, UInt8
from torch import Tensor

from untrained.runs.thumbnails import png
from untrained.tracking.track import Track

SHOWN = 4
"Eigenvectors of a snapshot."
PICTURES = 5
"At either end of an eigenvector."
CLASSES = 3
"In a mix."


@dataclass(frozen=True)
class End:
    """One end of an eigenvector. Weights are entries in units of their root mean square."""

    weights: tuple[float, ...]
    "Of the images shown, the outermost first."
    png: str
    "These images in a row, in base64."
    mix: tuple[tuple[str, float], ...]
    "The classes that share most of the squared entries of this sign, and their shares of them."


@dataclass(frozen=True)
class Eigenvector:
    """One direction that the kernel learns."""

    number: int
    "From 1, that of the largest eigenvalue."
    share: float
    "Of the trace."
    ends: tuple[End, End] | None
    "The positive one and the other; None where the eigenvector is not resolved."


def eigenvectors(track: Track, position: int) -> tuple[Eigenvector, ...]:
    """The top ones of a snapshot; none where its kernel or the pictures are not there."""
    kernel = track.kernels[position].double()
    if track.probe is None or not kernel.isfinite().all() or not kernel.trace() > 0:
        return ()
    values, vectors = (found.flip(-1) for found in torch.linalg.eigh((kernel + kernel.T) / 2))
    # The kernel is kept in single precision.
    floor = len(kernel) * torch.finfo(torch.float32).eps * values[0]
    found = []
    for k in range(min(SHOWN, len(values))):
        near = values[max(k - 1, 0) : k + 2]
        alone = bool((near.diff().abs() > floor).all() and values[k] > floor)
        ends = _ends(track, track.probe, vectors[:, k]) if alone else None
        found.append(Eigenvector(k + 1, (values[k] / kernel.trace()).item(), ends))
    return tuple(found)


def _ends(
    track: Track, probe: UInt8[Tensor, "n c h w"], u: Float[Tensor, " n"]
) -> tuple[End, End]:
    u = u * u[u.abs().argmax()].sign() * len(u) ** 0.5
    order = u.argsort(descending=True)
    count = min(PICTURES, len(u) // 2)
    return (
        _end(probe, track.labels, track.classes, u, order[:count], u.clamp(min=0)),
        _end(probe, track.labels, track.classes, u, order.flip(0)[:count], u.clamp(max=0)),
    )


def _end(
    probe: UInt8[Tensor, "n c h w"],
    labels: Int[Tensor, " n"],
    classes: Sequence[str],
    u: Float[Tensor, " n"],
    outermost: Int[Tensor, " k"],
    side: Float[Tensor, " n"],
) -> End:
    """The end of u that is given; `side` holds the entries of its sign, and 0 elsewhere."""
    energy = torch.zeros(len(classes), dtype=u.dtype).index_add(0, labels, side.square())
    shares = energy / energy.sum()
    top = [k for k in shares.argsort(descending=True).tolist()[:CLASSES] if shares[k] > 0]
    return End(
        tuple(u[outermost].tolist()),
        base64.b64encode(png(_row(probe[outermost]))).decode(),
        tuple((classes[k], shares[k].item()) for k in top),
    )


def _row(pictures: UInt8[Tensor, "k c h w"]) -> UInt8[Tensor, "c h x"]:
    """Side by side, with a white line between."""
    apart = torch.nn.functional.pad(pictures, (0, 1), value=255)
    return torch.cat([*apart], dim=2)[:, :, :-1]
