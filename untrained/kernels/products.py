"""Products of the NTK with vectors, for kernels too large to hold.

    Theta u = J1 (J2^T u)

J2^T u is one backward pass, J1 v the derivative of the outputs along v. Neither the n x p Jacobian
nor the kernel is ever held, and examples may be coupled. What products alone can tell comes from
SciPy: the largest eigenvalues by Lanczos' method, regression by conjugate gradients.

Source: Novak et al., "Fast Finite Width Neural Tangent Kernel", ICML 2022,
https://arxiv.org/abs/2206.08720.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float, Float64
from numpy.typing import NDArray
from scipy.sparse.linalg import LinearOperator, eigsh
from torch import Tensor, nn
from torch.func import functional_call, jvp
from torch.nn.attention import SDPBackend, sdpa_kernel

from untrained.layerwise.influence import tolerance
from untrained.networks.arguments import plain
from untrained.networks.batchnorm import BatchNormPolicy, evaluating
from untrained.networks.interception import gradients
from untrained.networks.jacobian import Swapped, parameters_kept, quiet
from untrained.networks.readout import Readout, flattened, read

DETACHED = (
    "the network's outputs do not require gradients: no trainable parameter reaches them, or they "
    "are detached, or made under no_grad; the NTK needs outputs that autograd can differentiate"
)
Vector = list[Tensor]
"One number for each parameter."


class NTKOperator(LinearOperator):  # type: ignore[misc]
    """Theta as SciPy's linear operator: `theta @ u` in float64, `theta.shape`, and no more."""

    shape: tuple[int, int]
    "(n q, m q)."
    __matmul__: Callable[[NDArray[np.float64]], NDArray[np.float64]]  # SciPy has no types

    def __init__(
        self,
        model: nn.Module,
        x1: Sequence[Tensor],
        x2: Sequence[Tensor] | None,
        readout: Readout,
        parameters: Mapping[str, nn.Parameter],
        policy: BatchNormPolicy,
    ):
        self.model = model
        self.x1 = x1
        "In the pieces that are passed at a time."
        self.x2 = x1 if x2 is None else x2
        self.readout = readout
        self.parameters = parameters
        self.policy = policy
        self.forward_mode = True
        "Until a function of the network turns out to have no forward derivative, or another one."
        self.checked = False
        "Whether J was seen to be the transpose of J^T."
        n, m = (sum(map(len, x)) * readout.rows for x in (self.x1, self.x2))
        super().__init__(np.float64, (n, m))

    def _matvec(self, u: NDArray[np.float64]) -> NDArray[np.float64]:
        like = next(iter(self.parameters.values()))
        vector = torch.as_tensor(u, dtype=like.dtype, device=like.device)
        return self.times(vector.reshape(-1, self.readout.rows)).flatten().cpu().numpy()

    def _adjoint(self) -> "NTKOperator":
        swapped = self.x1 if self.x2 is not self.x1 else None
        return NTKOperator(
            self.model, self.x2, swapped, self.readout, self.parameters, self.policy
        )

    def times(self, u: Float[Tensor, "m r"]) -> Float64[Tensor, "n r"]:
        """Theta u; where columns of the readout are summed over, Theta = sum_q Theta_q."""
        r = self.readout.matrix
        groups = [r] if self.readout.apart else r.split(1, 1)
        with evaluating(self.model), torch.inference_mode(False):
            u = plain(u)
            return torch.stack([self._along(self._transposed(u, q), q) for q in groups]).sum(0)

    def _transposed(self, u: Float[Tensor, "m q"], r: Float[Tensor, "k q"]) -> Vector:
        """v = J2^T u"""
        v = [torch.zeros_like(p) for p in self.parameters.values()]
        for x, weights in zip(self.x2, u.split([len(x) for x in self.x2]), strict=True):
            for total, part in zip(v, self._pulled(x, weights.to(r) @ r.T), strict=True):
                total += part
        return v

    def _pulled(self, x: Tensor, w: Float[Tensor, "n k"]) -> Sequence[Tensor]:
        """J^T w of some examples.

        Raises:
            ValueError: no gradient leaves the outputs.
        """
        with self.policy, torch.enable_grad():
            f = flattened(self.model(x.clone()), len(x))
            if not f.requires_grad:
                raise ValueError(DETACHED)
            tensors = list(self.parameters.values())
            return gradients(f, tensors, w.to(f), materialize_grads=True)

    def _along(self, v: Vector, r: Float[Tensor, "k q"]) -> Float64[Tensor, "n q"]:
        """J1 v"""
        parts = []
        for x in self.x1:
            if self.forward_mode:
                try:
                    parts.append(read(self._adjoint_of(x, v, self._forward(x, v)), r))
                    continue
                except (ValueError, RuntimeError, NotImplementedError):
                    self.forward_mode = False
            parts.append(read(self._adjoint_of(x, v, self._twice_backward(x, v)), r))
        return torch.cat(parts).detach().double()

    def _adjoint_of(self, x: Tensor, v: Vector, tangent: Tensor) -> Tensor:
        """J v, of which it is tried once that <w, J v> = <J^T w, v>, for a random w.

        Hooks on gradients, and functions with gradients of their own, change J^T alone.

        Raises:
            ValueError: it is not so.
        """
        if self.checked:
            return tangent
        w = torch.randn(tangent.shape, generator=torch.Generator().manual_seed(0)).to(tangent)
        pulled = self._pulled(x, w)
        ahead = (w * tangent).double().sum()
        back = torch.stack([(a * b).double().sum() for a, b in zip(pulled, v, strict=True)]).sum()
        size = w.double().norm() * tangent.double().norm() + _norm(pulled) * _norm(v)
        if (ahead - back).abs() > tolerance(tangent, *pulled) * size:
            raise ValueError(
                "the network's gradients are not those of its outputs, as with hooks that change "
                "them: expected none for products; use ntk, method='loop'"
            )
        self.checked = bool(size > 0)
        return tangent

    def _forward(self, x: Tensor, v: Vector) -> Float[Tensor, "n k"]:
        """J v by dual numbers."""
        others = {name: p.detach() for name, p in self.model.named_parameters()}
        theta = {name: others.pop(name) for name in self.parameters}

        def f(theta: dict[str, Tensor]) -> Tensor:
            swapped = {**others, **theta}
            self.policy.own.add(swapped)
            return flattened(functional_call(self.model, swapped, (x.clone(),)), len(x))

        unfused = sdpa_kernel(SDPBackend.MATH)
        with self.policy, Swapped(self.model), parameters_kept(self.model), unfused, quiet():
            _, tangent = jvp(f, (theta,), (dict(zip(theta, v, strict=True)),))[:2]
        return tangent

    def _twice_backward(self, x: Tensor, v: Vector) -> Float[Tensor, "n k"]:
        """J v = d <J^T w, v> / d w, for what has no forward derivative."""
        tensors = list(self.parameters.values())
        # Fused attention can be differentiated once; its definition twice.
        with self.policy, torch.enable_grad(), sdpa_kernel(SDPBackend.MATH):
            f = flattened(self.model(x.clone()), len(x))
            if not f.requires_grad:
                return torch.zeros_like(f)
            w = torch.zeros_like(f, requires_grad=True)
            pulled = gradients(f, tensors, w, create_graph=True, materialize_grads=True)
            inner = torch.stack([(a * b).sum() for a, b in zip(pulled, v, strict=True)]).sum()
            if not inner.requires_grad:
                return torch.zeros_like(f)
            (tangent,) = gradients(inner, w)
        return tangent


def _norm(v: Sequence[Tensor]) -> Tensor:
    return torch.stack([part.double().norm() for part in v]).norm()


class Eigenvalues(NamedTuple):
    """The largest eigenvalues of an operator."""

    values: NDArray[np.float64]
    "Descending."
    residuals: NDArray[np.float64]
    "|Theta u - lambda u| of each unit eigenvector u: lambda is as near to a true eigenvalue."


def largest_eigenvalues(operator: LinearOperator, count: int = 6) -> Eigenvalues:
    """The `count` largest eigenvalues of a symmetric operator, by Lanczos' method.

    Raises:
        ValueError: an operator that is not square, or not larger than `count`.
    """
    n, m = operator.shape
    if n != m or not 0 < count < n:
        raise ValueError(
            f"expected a square operator of more than {count} rows, got {operator.shape}"
        )
    start = np.random.default_rng(0).standard_normal(n)
    values, vectors = eigsh(operator, k=count, which="LA", v0=start)
    residuals = [
        np.linalg.norm(operator @ u - value * u)
        for value, u in zip(values, vectors.T, strict=True)
    ]
    return Eigenvalues(values[::-1], np.array(residuals)[::-1])


class Solution(NamedTuple):
    """An approximate solution of (Theta + ridge I) alpha = y."""

    alpha: Float64[Tensor, "n k"]
    residual: float
    "|y - (Theta + ridge I) alpha| / |y|, the largest over columns."
    converged: bool
    steps: int
    "Products with Theta: of all columns that had not converged before."


def conjugate_gradients(
    operator: LinearOperator,
    y: Float[Tensor, "n k"],
    ridge: float | int,
    tolerance: float = 1e-6,
    iterations: int = 1000,
    preconditioner: LinearOperator | None = None,
) -> Solution:
    """Kernel regression without the kernel: alpha = (Theta + ridge I)^-1 y.

    Columns have steps of their own, but are multiplied together, so that a kernel in a file is
    read once for all of them. Predictions for other inputs are `ntk_operator(model, x_new, x) @
    alpha`.

    Args:
        operator: Theta, symmetric: of `ntk_operator`, or of `ntk_on_disk`.
        y: targets, a row for each row of Theta.
        ridge: at least 0, in units of Theta.
        tolerance: relative residual to stop at.
        iterations: to stop at in any case.
        preconditioner: about (Theta + ridge I)^-1, up to a factor, symmetric and positive, such as
            `nystrom_preconditioner`.

    Raises:
        ValueError: targets or a preconditioner that do not fit, or a negative ridge.
    """
    if ridge < 0 or y.ndim != 2 or len(y) != operator.shape[0]:
        raise ValueError(
            f"expected targets of shape ({operator.shape[0]}, k) and a ridge of at least 0, got "
            f"{tuple(y.shape)} and {ridge}"
        )
    if preconditioner is not None and preconditioner.shape != operator.shape:
        raise ValueError(
            f"expected a preconditioner of shape {operator.shape}, got {preconditioner.shape}"
        )
    targets = y.double().cpu().numpy()
    sizes = np.maximum(np.linalg.norm(targets, axis=0), np.finfo(float).tiny)

    def system(v: NDArray[np.float64]) -> NDArray[np.float64]:
        return operator @ v + ridge * v

    def conditioned(r: NDArray[np.float64]) -> NDArray[np.float64]:
        return r if preconditioner is None else preconditioner @ r

    alpha, r, steps = np.zeros_like(targets), targets.copy(), 0
    z = conditioned(r)
    p = z.copy()
    rz = (r * z).sum(0)
    left = np.flatnonzero(np.linalg.norm(r, axis=0) > tolerance * sizes)  # columns
    while len(left) and steps < iterations:
        q, steps = system(p[:, left]), steps + 1
        curvature = (p[:, left] * q).sum(0)
        if not (curvature > 0).all():  # rounding is all that is left, or Theta is not positive
            left, q = left[curvature > 0], q[:, curvature > 0]
            curvature = curvature[curvature > 0]
        step = rz[left] / curvature
        alpha[:, left] += step * p[:, left]
        r[:, left] -= step * q
        left = left[np.linalg.norm(r[:, left], axis=0) > tolerance * sizes[left]]
        z = conditioned(r[:, left])
        before, rz[left] = rz[left], (r[:, left] * z).sum(0)
        p[:, left] = z + rz[left] / before * p[:, left]
    done = bool((np.linalg.norm(r, axis=0) <= tolerance * sizes).all())
    residual = (np.linalg.norm(targets - system(alpha), axis=0) / sizes).max()
    return Solution(torch.from_numpy(alpha), float(residual), done, steps)
