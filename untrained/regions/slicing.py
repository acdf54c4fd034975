"""Cutting a slice of the input space into the pieces on which a network is affine.

Between its breakpoints a network is affine. So on a convex piece of a line or plane on which all
units before an activation keep their pieces, its rivals are affine, and their values at the
corners say where the piece is to be cut (see `cells`). Layer by layer every piece is cut, and it
runs again on the new corners. A point inside each piece checks that the network is affine there.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from jaxtyping import Float64
from torch import Tensor, nn

from untrained.networks.batchnorm import evaluating, policy_mode
from untrained.networks.choices import Policy
from untrained.networks.foreign import foreign
from untrained.networks.interception import Function, Interception
from untrained.networks.jacobian import parameters_kept
from untrained.regions.cells import Piece, contested, subdivided
from untrained.regions.piecewise_linear import activation_of

CORNERS = 512
"""How many points one pass through the network sees, or as many as one piece has."""

ROUNDING = 1e-12
"""Rivals are equal if they differ by less than this share of the largest of their activation."""

CURVED = 1e-8
"""A network is affine on a piece if it errs by less than this share of its largest value."""


def affine_pieces(
    model: nn.Module,
    inputs: Tensor,
    outline: Piece,
    batchnorm: Policy,
    reference: Tensor | None,
    limit: int,
) -> list[Piece]:
    """The pieces of `outline`, in coordinates along inputs[1:] - inputs[0].

    What waits to be cut is on a stack, so that little is in work at once. For the arguments, and
    what is refused, see `slices`.
    """
    run = _runner(model, inputs, batchnorm, reference)
    waiting, done = [([outline], 0)], []
    while waiting:
        pieces, depth = waiting.pop()
        if len(pieces) > 1 and sum(map(len, pieces)) > CORNERS:
            half = len(pieces) // 2
            waiting += [(pieces[:half], depth), (pieces[half:], depth)]
            continue
        cutter = _Cutter(pieces, depth)
        if run(cutter):
            done += pieces
        else:
            waiting.append((cutter.cells, cutter.depth))
        if len(done) + sum(len(held) for held, _ in waiting) > limit:
            raise ValueError(f"more than {limit} regions: try a shorter slice, or a larger limit")
    return done


def _runner(
    model: nn.Module, inputs: Tensor, batchnorm: Policy, reference: Tensor | None
) -> Callable[["_Cutter"], bool]:
    """A function that shows a cutter the network in float64: whether it came to the end uncut."""
    _check_policy(batchnorm, reference)
    origin = inputs[0].detach().double()
    directions = inputs[1:].detach().double() - origin
    state = {
        name: value.detach().double() if value.is_floating_point() else value.clone()
        for name, value in (*model.named_parameters(), *model.named_buffers())
    }
    policy = policy_mode(batchnorm, model)
    if reference is not None:
        kept = parameters_kept(model)
        with foreign(reference), evaluating(model), kept, torch.no_grad(), policy:
            policy.own.add(state)
            torch.func.functional_call(model, state, (reference.to(torch.float64, copy=True),))

    def run(cutter: "_Cutter") -> bool:
        x = origin + torch.tensordot(torch.from_numpy(cutter.points).to(origin), directions, 1)
        with foreign(x):
            try:
                with evaluating(model), torch.no_grad(), parameters_kept(model), cutter, policy:
                    policy.own.add(state)
                    output = torch.func.functional_call(model, state, (x,))
            except _Cut:
                return False
        if not isinstance(output, Tensor):
            raise ValueError(f"expected a network that gives a tensor, got {type(output)}")
        cutter.check_affine(output)
        return True

    return run


def _check_policy(batchnorm: Policy, reference: Tensor | None) -> None:
    if batchnorm == "batch":
        raise ValueError(
            "batchnorm='batch' couples the points of a slice: expected 'running', or 'frozen' and "
            "a reference batch"
        )
    if (batchnorm == "frozen") != (reference is not None):
        raise ValueError(
            f"expected a reference batch with batchnorm='frozen' and none without, got "
            f"batchnorm={batchnorm!r} and {'no batch' if reference is None else 'a batch'}"
        )


class _Cut(Exception):
    """An activation was reached that cuts some piece."""


class _Cutter(Interception):
    """Follows the network to the first activation, beyond `depth` others, that cuts a piece."""

    def __init__(self, pieces: list[Piece], depth: int):
        super().__init__()
        self.depth = depth
        self.cells = pieces
        self.passed = 0
        sizes = [len(piece) for piece in pieces]
        self.first = np.cumsum([0, *sizes])[:-1]
        # Unequal weights: the chord of an odd function such as tanh meets it in the middle.
        self.weights = np.concatenate([np.arange(1, v + 1) * 2 / (v * (v + 1)) for v in sizes])
        corners = np.concatenate(pieces)
        distinct, self.place = np.unique(corners, axis=0, return_inverse=True)
        self.points = np.concatenate([distinct, self._inside(corners)])
        "The corners of all pieces, without repetitions, and then one point inside each."

    def call(self, func: Function, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Any:
        activation = activation_of(func, args, kwargs)
        if activation is not None:
            self.passed += 1
            if self.passed > self.depth:
                self._cut(list(activation.rivals()))
        return func(*args, **kwargs)

    def check_affine(self, values: Tensor) -> None:
        """Refuse values that are other inside a piece than its corners say."""
        rows = self._rows(values)
        corners, inside = self._at_corners(rows), rows[-len(self.cells) :]
        error = np.abs(self._inside(corners) - inside).max(initial=0)
        if not error <= CURVED * np.abs(rows).max(initial=0):
            raise ValueError(
                "the network is not piecewise linear: expected affine layers and continuous "
                "nonlinearities such as ReLU, got one that is curved or jumps, such as "
                "tanh, softmax, a product or `where`"
            )

    def _rows(self, values: Tensor) -> Float64[np.ndarray, "n u"]:
        if values.shape[:1] != (len(self.points),):
            raise ValueError(
                f"expected one row for each of {len(self.points)} inputs, got shape "
                f"{tuple(values.shape)}"
            )
        return values.detach().reshape(len(values), -1).cpu().double().numpy()

    def _at_corners(self, rows: Float64[np.ndarray, "n u"]) -> Float64[np.ndarray, "c u"]:
        return rows[: -len(self.cells)][self.place.ravel()]

    def _inside(self, corners: Float64[np.ndarray, "c u"]) -> Float64[np.ndarray, "p u"]:
        return np.add.reduceat(self.weights[:, None] * corners, self.first)

    def _cut(self, parts: list[Tensor]) -> None:
        self.depth += 1
        if not parts:  # such as a clamp without bounds
            return
        for part in parts:
            self.check_affine(part)
        k = parts[0].shape[-1]
        corners = [self._at_corners(self._rows(part)) for part in parts]
        rivals = np.concatenate([part.reshape(len(part), -1, k) for part in corners], axis=1)
        rounding = ROUNDING * float(np.abs(rivals).max(initial=0))
        cut = [
            subdivided(piece, values[:, contested(values, rounding)], rounding)
            for piece, values in zip(self.cells, np.split(rivals, self.first[1:]), strict=True)
        ]
        if any(len(cells) > 1 for cells in cut):
            self.cells = [cell for cells in cut for cell in cells]
            raise _Cut
