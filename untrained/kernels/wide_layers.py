"""What each layer of infinite width makes of the kernels of the one before it; see `infinite`."""

from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
import torch.nn.functional as F
from jaxtyping import Float64
from torch import Tensor, nn

from untrained.kernels.dual import DualOf


@dataclass(frozen=True)
class Layer:
    """Kernels between all examples after some layer.

    Of examples i, j: k[i, j]; with positions k[i, j, p], of p = p' alone, or, where positions are
    averaged later, k[i, j, p, p'], each position two numbers.
    """

    k: Float64[Tensor, "n n ..."]
    "K."
    theta: Float64[Tensor, "n n ..."]
    "Theta."
    own: frozenset[str] = frozenset()
    "Layers of weights, given all others of which units are Gaussian of mean zero; or none."
    before: frozenset[str] = frozenset()
    "All layers of weights that it depends on."
    gaussian: bool = False
    "Whether units are Gaussian, and alike but for their positions."

    @property
    def places(self) -> int:
        """Numbers that say where: 0 of vectors, 2 of positions, 4 of pairs of them."""
        return self.k.ndim - 2

    def mapped(self, of: Callable[[Tensor], Tensor]) -> "Layer":
        """After a map of positions that has no weights."""
        return replace(self, k=of(self.k), theta=of(self.theta))

    @property
    def variances(self) -> tuple[Tensor, Tensor]:
        """K(x, x) at p of the first example, and of the second; to be broadcast with k."""
        own = self.k.diagonal(dim1=0, dim2=1).movedim(-1, 0)
        if self.places == 4:
            own = own.diagonal(dim1=1, dim2=3).diagonal(dim1=1, dim2=2)
        n, where = len(own), own.shape[1:]
        others = (1,) * (self.places - len(where))
        return own.reshape(n, 1, *where, *others), own.reshape(1, n, *others, *where)


def of_inputs(x: Float64[Tensor, "n ..."], pairs: bool) -> Layer:
    """The mean over channels of x(p) x'(p').

    Args:
        x: vectors (n, d) or images (n, c, h, w).
        pairs: whether of any p and p'.
    """
    if x.ndim == 2:
        k = x @ x.T
    else:
        k = torch.einsum("ichw,jcuv->ijhwuv" if pairs else "ichw,jchw->ijhw", x, x)
    return Layer(k / x.shape[1], torch.zeros_like(k))


@dataclass(frozen=True)
class Weights:
    """How weights and biases are drawn."""

    sigma_w: float
    "N(0, sigma_w^2 / fan-in)."
    sigma_b: float
    "N(0, sigma_b^2)."

    def dense(self, layer: Layer, module: nn.Linear, name: str) -> Layer:
        """K <- sigma_w^2 K + sigma_b^2, Theta <- K + sigma_w^2 Theta."""
        if layer.places:
            raise ValueError(
                f"{name}: expected vectors, got images; flatten or average them first"
            )
        return self._of_own(layer, layer.k, layer.theta, module, name)

    def convolution(self, layer: Layer, module: nn.Conv2d, name: str) -> Layer:
        """The same of means over windows."""
        _check_images(layer, name)
        if module.groups != 1 or module.padding_mode != "zeros":
            raise ValueError(
                f"{name}: expected a convolution without groups, padded by zeros, got {module}"
            )
        k, theta = (over_windows(each, module) for each in (layer.k, layer.theta))
        return self._of_own(layer, k, theta, module, name)

    def _of_own(
        self, layer: Layer, k: Tensor, theta: Tensor, module: nn.Linear | nn.Conv2d, name: str
    ) -> Layer:
        if name in layer.before:
            raise ValueError(f"{name}: expected weights that are used once, got shared ones")
        k = self.sigma_w**2 * k + (0 if module.bias is None else self.sigma_b**2)
        own = frozenset({name})
        return Layer(k, k + self.sigma_w**2 * theta, own, layer.before | own, True)


def over_windows(k: Tensor, module: nn.Conv2d) -> Tensor:
    """The mean over d of k(p + d, p' + d); of p = p' alone, over d of k(p + d)."""
    (h, w), (down, right), (by, along) = module.kernel_size, module.stride, module.dilation
    pads = module._reversed_padding_repeated_twice  # left, right, top, bottom
    padded = F.pad(k, pads * ((k.ndim - 2) // 2))
    rows = (padded.shape[-2] - by * (h - 1) - 1) // down * down + 1
    columns = (padded.shape[-1] - along * (w - 1) - 1) // right * right + 1
    found = []
    for i in range(0, by * h, by):
        for j in range(0, along * w, along):
            rows_of, columns_of = slice(i, i + rows, down), slice(j, j + columns, right)
            there = padded[..., rows_of, columns_of]
            found.append(there[:, :, rows_of, columns_of] if k.ndim == 6 else there)
    return torch.stack(found).mean(0)


def flattened(layer: Layer) -> Layer:
    """The next layer has weights for each position: the mean over p = p'."""
    if not layer.places:
        return layer
    alike = layer.gaussian and layer.k.shape[2:4] == (1, 1)
    return replace(layer.mapped(lambda k: _at_one_place(k).mean((-2, -1))), gaussian=alike)


def _at_one_place(k: Tensor) -> Tensor:
    return k if k.ndim == 4 else k.diagonal(dim1=2, dim2=4).diagonal(dim1=2, dim2=3)


def pooled(layer: Layer, pool: Callable[[Tensor], Tensor], name: str) -> Layer:
    """P K P^T, where P is a map of positions that averages."""
    _check_images(layer, name)

    def on_the_right(k: Tensor) -> Tensor:
        found = pool(k.reshape(-1, 1, *k.shape[-2:]))
        return found.reshape(*k.shape[:-2], *found.shape[-2:])

    def on_the_left(k: Tensor) -> Tensor:
        return on_the_right(k.permute(0, 1, 4, 5, 2, 3)).permute(0, 1, 4, 5, 2, 3)

    return layer.mapped(lambda k: on_the_left(on_the_right(k)))


def averaged(layer: Layer, name: str) -> Layer:
    """The mean over all p and p', which are then gone."""
    _check_images(layer, name)
    return layer.mapped(lambda k: k.mean((2, 3, 4, 5)))


def activated(layer: Layer, dual: DualOf, name: str) -> Layer:
    """K <- E phi phi, Theta <- Theta E phi' phi'."""
    if not layer.gaussian:
        raise ValueError(
            f"{name}: expected Gaussian units, all alike, before an activation, as after a layer "
            f"with weights, got inputs, activations, a sum with these, or flattened positions"
        )
    found = dual(*layer.variances, layer.k)
    return Layer(found.value, layer.theta * found.slope, before=layer.before)


def summed(a: Layer, b: Layer, name: str) -> Layer:
    """K + K, Theta + Theta: one branch has mean zero, whatever the other is."""
    if a.k.shape != b.k.shape:
        raise ValueError(f"{name}: expected branches of equally many positions, got others")
    if not ((a.own and not a.own & b.before) or (b.own and not b.own & a.before)):
        raise ValueError(
            f"{name}: expected a sum of branches of which one ends in a layer with weights of its "
            f"own, got ones that are correlated"
        )
    own = a.own | b.own if a.own and b.own else frozenset()
    return Layer(a.k + b.k, a.theta + b.theta, own, a.before | b.before, a.gaussian and b.gaussian)


def scaled(layer: Layer, factor: float) -> Layer:
    """c^2 K, c^2 Theta."""
    return layer.mapped(lambda k: factor**2 * k)


def _check_images(layer: Layer, name: str) -> None:
    if not layer.places:
        raise ValueError(f"{name}: expected images, got vectors")
