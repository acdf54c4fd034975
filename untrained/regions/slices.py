"""Linear regions on a line or in a plane through inputs: exact, and ready to be drawn.

Nothing is sampled: the line or plane is cut where units change their pieces (see `slicing`), in
float64. Borders closer than 1e-9 of a piece's size count as one.

Source: Hanin & Rolnick, "Complexity of Linear Regions in Deep Networks", ICML 2019,
https://arxiv.org/abs/1901.09021.
"""

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Float64
from torch import Tensor, nn

from untrained.networks.choices import Policy
from untrained.networks.unwrapping import unwrapped
from untrained.regions.cells import Piece
from untrained.regions.slicing import affine_pieces


@dataclass(frozen=True)
class LineRegions:
    """The linear regions that a segment of inputs passes."""

    breakpoints: Float64[Tensor, " b"]
    "Ascending t in (0, 1) at which start + t (end - start) enters another region."

    @property
    def count(self) -> int:
        """How many regions there are."""
        return len(self.breakpoints) + 1


@dataclass(frozen=True)
class PlaneRegions:
    """The linear regions that a convex part of a plane of inputs meets."""

    polygons: tuple[Float64[Tensor, "_ 2"], ...]
    "Corners (s, t) in order: the inputs a + s (b - a) + t (c - a), with a, b, c those given."

    @property
    def count(self) -> int:
        """How many regions there are."""
        return len(self.polygons)


def line_regions(
    model: nn.Module,
    start: Float[Tensor, "..."],
    end: Float[Tensor, "..."],
    *,
    batchnorm: Policy = "running",
    reference: Tensor | None = None,
    limit: int = 100_000,
) -> LineRegions:
    """The regions of `model` on the segment between two inputs, all of them.

    The model is left as it was.

    Args:
        model: a network of affine layers and of what `untrained.regions.piecewise_linear` knows;
            its first argument is a batch.
        start: one input, without the dimension of a batch.
        end: another.
        batchnorm: `running`, or `frozen` at the statistics of `reference`.
        reference: the batch that `frozen` takes its statistics from.
        limit: regions after which to give up.

    Raises:
        ValueError: a network that is curved somewhere or jumps, inputs that do not fit, more
            regions than `limit`.

    Example:
        >>> activation = nn.Sequential(nn.Linear(1, 1, bias=False), nn.ReLU())
        >>> line_regions(activation, torch.tensor([-1.0]), torch.tensor([3.0])).breakpoints
        tensor([0.2500], dtype=torch.float64)
    """
    if start.shape != end.shape:
        raise ValueError(
            f"expected two inputs of one shape, got {tuple(start.shape)} and {tuple(end.shape)}"
        )
    segment = np.array([[0.0], [1.0]])
    ends = torch.stack([start, end])
    pieces = affine_pieces(unwrapped(model), ends, segment, batchnorm, reference, limit)
    until = sorted(float(piece.max()) for piece in pieces)
    return LineRegions(torch.tensor(until[:-1], dtype=torch.float64))


def plane_regions(
    model: nn.Module,
    inputs: Float[Tensor, "c ..."],
    *,
    outline: Float[Tensor, "v 2"] | None = None,
    batchnorm: Policy = "running",
    reference: Tensor | None = None,
    limit: int = 100_000,
) -> PlaneRegions:
    """The regions of `model` in the plane through three inputs, all of them within an outline.

    The model is left as it was.

    Args:
        model: as for `line_regions`.
        inputs: a batch of three.
        outline: corners (s, t) of a convex polygon in order; None for the triangle of the inputs,
            (0, 0), (1, 0), (0, 1).
        batchnorm: `running`, or `frozen` at the statistics of `reference`.
        reference: the batch that `frozen` takes its statistics from.
        limit: regions after which to give up.

    Raises:
        ValueError: as for `line_regions`, and an outline that is not convex.

    Example:
        >>> corner = nn.Sequential(nn.Linear(2, 2, bias=False), nn.ReLU())
        >>> square = torch.tensor([[-1.0, -1.0], [1.0, -1.0], [1.0, 1.0], [-1.0, 1.0]])
        >>> plane = torch.tensor([[0.0, 0.0], [1.0, 0.0], [0.0, 1.0]])
        >>> plane_regions(corner, plane, outline=square).count
        4
    """
    if len(inputs) != 3:
        raise ValueError(f"expected three inputs, got {len(inputs)}")
    if outline is None:
        outline = torch.tensor([[0.0, 0.0], [1.0, 0.0], [0.0, 1.0]])
    corners = outline.detach().cpu().double().numpy()
    _check_convex(corners)
    pieces = affine_pieces(unwrapped(model), inputs, corners, batchnorm, reference, limit)
    return PlaneRegions(tuple(torch.from_numpy(piece) for piece in pieces))


def _check_convex(corners: Piece) -> None:
    sides = np.roll(corners, -1, 0) - corners
    after = np.roll(sides, -1, 0)
    turns = sides[:, 0] * after[:, 1] - sides[:, 1] * after[:, 0]
    angles = np.arctan2(turns, (sides * after).sum(1))
    if len(corners) < 3 or not (turns * np.sign(turns[0]) > 0).all() or abs(angles.sum()) > 7:
        raise ValueError(
            f"expected the corners of a convex polygon in order, got {corners.tolist()}"
        )
