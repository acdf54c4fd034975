"""What an activation makes of the covariance of its inputs, in a layer of infinite width.

    K(x, x')   = E phi(u) phi(v),        Kdot(x, x') = E phi'(u) phi'(v)
    (u, v) ~ N(0, [[a, c], [c, b]]),     rho = c / sqrt(a b)

with a, b the variances of one unit on x and on x', and c its covariance. In closed form where one
is known; otherwise by the series of Hermite polynomials h_k, normalised for z ~ N(0, 1), by
Mehler's formula,

    K = sum_k c_k(a) c_k(b) rho^k,     c_k(a) = E phi(sqrt(a) z) h_k(z),     and Kdot of phi' alike

whose terms fall geometrically where phi is analytic. The c_k are found by the trapezoidal rule,
whose error does so too, faster than that of Gauss-Hermite quadrature where phi has poles, as tanh.

Source: Cho & Saul, NIPS 2009 (ReLU); Williams, NIPS 1997 (erf); Louart, Liao & Couillet, Annals
of Applied Probability 2018, https://arxiv.org/abs/1702.05419, table 1 (sine and cosine);
Trefethen & Weideman, SIAM Review 2014 (the trapezoidal rule); Daniely, Frostig & Singer, NIPS
2016, https://arxiv.org/abs/1602.05897 (the series).
"""

from collections.abc import Callable
from functools import partial
from math import pi
from typing import Any, NamedTuple

import torch
from jaxtyping import Float64
from torch import Tensor, nn

Entries = Float64[Tensor, "..."]
DEGREES = 200
"Terms of the series."
REACH, NODES = 13.0, 400
"How many deviations the trapezoidal rule goes to each side, and its points."
LARGEST = 50.0
"Deviation of units; above 1, points are as many times more."
TOLERATED = 0.02
"Share of a kernel's diagonal that an off-diagonal entry may be wrong by."
LEAST = 1e-150
"In place of a variance of zero, of which the square root divides a covariance of zero."


class Dual(NamedTuple):
    """Kernels of a layer's activations, entry by entry."""

    value: Entries
    "K."
    slope: Entries
    "Kdot."


DualOf = Callable[[Entries, Entries, Entries], Dual]
"Of a, b and c."


def identity(a: Entries, b: Entries, c: Entries) -> Dual:
    """Of phi(u) = u."""
    return Dual(c, torch.ones_like(c))


def rectifier(a: Entries, b: Entries, c: Entries, leak: float = 0.0) -> Dual:
    """Of phi(u) = u above zero, `leak` u below; -1 is the absolute value.

    angle = arccos rho
    relu  K = sqrt(a b) (sin angle + (pi - angle) rho) / 2 pi,   Kdot = (pi - angle) / 2 pi
    phi   = leak u + (1 - leak) relu(u),  with E u relu(v) = c / 2
    """
    rho, size = correlation(a, b, c)
    angle, sine = angle_of(rho)
    both = (pi - angle) / (2 * pi)
    relu = size * (sine / (2 * pi) + both * rho)
    if leak == 0:
        return Dual(relu, both)
    straight, bent = leak**2 + leak * (1 - leak), (1 - leak) ** 2
    return Dual(straight * c + bent * relu, straight + bent * both)


def error_function(a: Entries, b: Entries, c: Entries) -> Dual:
    """Of phi = erf: K = 2/pi arcsin(2 c / sqrt((1 + 2 a)(1 + 2 b)))."""
    size = (1 + 2 * a) * (1 + 2 * b)
    value = 2 / pi * (2 * c / size.sqrt()).clamp(-1, 1).arcsin()
    return Dual(value, 4 / pi / (size - 4 * c.square()).sqrt())


def sine(a: Entries, b: Entries, c: Entries) -> Dual:
    """Of phi = sin: K = e^(-(a + b)/2) sinh c, Kdot the same with cosh."""
    up, down = (c - (a + b) / 2).exp() / 2, (-c - (a + b) / 2).exp() / 2
    return Dual(up - down, up + down)


def cosine(a: Entries, b: Entries, c: Entries) -> Dual:
    """Of phi = cos: those of the sine, exchanged."""
    found = sine(a, b, c)
    return Dual(found.slope, found.value)


def gaussian_unit(a: Entries, b: Entries, c: Entries) -> Dual:
    """Of phi(u) = u Phi(u), the GELU, by Stein's lemma; Phi and its density of N(0, 1).

    Delta = (1 + a)(1 + b) - c^2
    P     = E Phi(u) Phi(v) = 1/4 + arcsin(c / sqrt((1 + a)(1 + b))) / 2 pi
    D     = E of both densities = 1 / (2 pi sqrt(Delta))
    K     = c P + D (a b + c^2 (1/(1 + a) + 1/(1 + b) - 1))
    Kdot  = P + c D (1/(1 + a) + 1/(1 + b) + 1/Delta)
    """
    size = (1 + a) * (1 + b)
    delta = size - c.square()
    both = 0.25 + (c / size.sqrt()).clamp(-1, 1).arcsin() / (2 * pi)
    density = 1 / (2 * pi * delta.sqrt())
    shares = 1 / (1 + a) + 1 / (1 + b)
    value = c * both + density * (a * b + c.square() * (shares - 1))
    return Dual(value, both + c * density * (shares + 1 / delta))


def by_series(phi: Callable[[Tensor], Tensor], a: Entries, b: Entries, c: Entries) -> Dual:
    """Of any activation, by its series; where rho is 1 or -1, by the integral itself.

    What is left of the series is at most rho^k times what is left at rho = 1, which the integral
    tells. Of activations with a kink, and of large variances, that is more.

    Raises:
        ValueError: what is left is more than `TOLERATED` of the kernel's diagonal.
    """
    rho, _ = correlation(a, b, c)
    largest = max(1.0, *(v.detach().max().item() for v in (a, b))) ** 0.5
    if largest > LARGEST:
        raise ValueError(
            f"expected units of a deviation of {LARGEST:.0f} at most before an activation without "
            f"a closed form, got {largest:.3g}; try to normalise inputs, or a smaller sigma_w"
        )
    nodes = int(NODES * largest)
    z = torch.linspace(-REACH, REACH, nodes, dtype=torch.float64)
    weights = torch.softmax(-z.square() / 2, 0)
    polynomials = _hermite(z) * weights
    ends = rho.abs() == 1
    power = rho.detach().abs().where(~ends, 0.0) ** DEGREES
    found = []
    of_a, of_b = (with_slope(phi, v.clamp(min=LEAST).sqrt()[..., None] * z) for v in (a, b))
    for f, g in zip(of_a, of_b, strict=True):  # phi, and its slope
        left, right = ((of @ polynomials.T).movedim(-1, 0) for of in (f, g))
        total = torch.zeros_like(c)
        for c_a, c_b in zip(left.flip(0), right.flip(0), strict=True):
            total = total * rho + c_a * c_b
        _check_rest(power, *((of.square() @ weights, k) for of, k in ((f, left), (g, right))))
        one, other = (of.expand(*c.shape, nodes)[ends] for of in (f, g))
        other = torch.where(rho[ends, None] > 0, other, other.flip(-1))
        found.append(total.masked_scatter(ends, (one * other) @ weights))
    return Dual(*found)


@torch.no_grad()
def _check_rest(power: Entries, *sides: tuple[Entries, Float64[Tensor, "k ..."]]) -> None:
    """Refuse a series of which too much is left, of each side's mean square and coefficients."""
    shares = [
        ((whole - k.square().sum(0)) / whole.clamp(min=LEAST)).clamp(min=0) for whole, k in sides
    ]
    left = (power * (shares[0] * shares[1]).sqrt()).max().item()
    if left > TOLERATED:
        raise ValueError(
            f"expected inputs and an activation of which the kernel can be resolved, got one of "
            f"which {left:.1%} of the diagonal may be missing: large inputs, or a kink; try to "
            f"normalise inputs, or a smaller sigma_w"
        )


def scale_of(phi: Callable[[Tensor], Tensor], dual: DualOf) -> DualOf:
    """The dual of u phi'(u), by which phi(scale u) depends on the scale; of ReLU, its own."""
    if getattr(dual, "func", dual) is rectifier:
        return dual
    return partial(by_series, lambda u: u * with_slope(phi, u)[1])


def _hermite(z: Float64[Tensor, " z"]) -> Float64[Tensor, "k z"]:
    """h_k(z), of which the mean square for z ~ N(0, 1) is 1."""
    found = [torch.ones_like(z), z]
    for k in range(1, DEGREES - 1):
        found.append((z * found[-1] - k**0.5 * found[-2]) / (k + 1) ** 0.5)
    return torch.stack(found)


def correlation(a: Entries, b: Entries, c: Entries) -> tuple[Entries, Entries]:
    """rho, in [-1, 1] whatever rounding says, and 0 where a variance is zero; and sqrt(a b)."""
    size = (a.clamp(min=LEAST) * b.clamp(min=LEAST)).sqrt()  # on a diagonal, a itself
    return (c / size).clamp(-1, 1), size


def angle_of(rho: Entries) -> tuple[Entries, Entries]:
    """arccos rho and its sine; where rho is 1 or -1, as on a diagonal, it stays so: gradients of
    zero."""
    if not rho.requires_grad:
        return rho.arccos(), (1 - rho.square()).sqrt()
    inside = rho.abs() < 1
    safe = rho.where(inside, 0.0)
    ends = torch.zeros_like(rho).where(rho > 0, pi)
    return safe.arccos().where(inside, ends), (1 - safe.square()).sqrt().where(inside, 0.0)


def with_slope(phi: Callable[[Tensor], Tensor], u: Tensor) -> tuple[Tensor, Tensor]:
    """phi and its derivative, entry by entry."""
    value, slope = torch.func.jvp(phi, (u,), (torch.ones_like(u),))[:2]
    return value, slope


def dual_of_module(module: nn.Module, own: tuple[type[nn.Module], ...] = ()) -> DualOf | None:
    """The dual of an activation as a module; None of what is no activation that acts by unit.

    Args:
        module: it.
        own: classes whose modules act by unit, beside torch's.
    """
    if isinstance(module, own):
        return partial(by_series, module)
    if isinstance(module, nn.ReLU):
        return rectifier
    if isinstance(module, nn.LeakyReLU):
        return partial(rectifier, leak=module.negative_slope)
    if isinstance(module, nn.Identity | nn.Dropout):
        return identity
    if isinstance(module, nn.GELU) and module.approximate == "none":
        return gaussian_unit
    return partial(by_series, module) if isinstance(module, SMOOTH) else None


def dual_of_function(function: Any, name: str, *args: Any, **kwargs: Any) -> DualOf | None:
    """The same of a function or method of torch.

    Args:
        function: it.
        name: its name.
        args: its arguments after the first.
        kwargs: its others.
    """
    if name == "leaky_relu":
        return partial(rectifier, leak=[*args, kwargs.get("negative_slope", 0.01)][0])
    if name == "gelu" and kwargs.get("approximate", "none") == "none":
        return gaussian_unit
    if name in SERIES:
        others = {key: value for key, value in kwargs.items() if key != "inplace"}
        return partial(by_series, lambda u: function(u, *args, **others))
    return CLOSED.get(name)


SMOOTH = (
    nn.GELU, nn.SiLU, nn.Tanh, nn.Sigmoid, nn.Softplus, nn.ELU, nn.CELU, nn.SELU, nn.Mish,
    nn.LogSigmoid, nn.Softsign,
)  # fmt: skip
"Activations that the series serves; of those with a kink, to fewer digits."
CLOSED: dict[str, DualOf] = {
    "relu": rectifier,
    "relu_": rectifier,
    "abs": partial(rectifier, leak=-1.0),
    "erf": error_function,
    "sin": sine,
    "cos": cosine,
    "dropout": identity,
}
SERIES = frozenset({"gelu", "silu", "tanh", "sigmoid", "softplus", "elu", "celu", "selu",
                        "mish", "logsigmoid", "softsign", "exp"})  # fmt: skip
