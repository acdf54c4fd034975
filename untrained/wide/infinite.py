"""The NNGP and the NTK of a network whose layers are infinitely wide, layer by layer.

    dense          K <- sigma_w^2 K + sigma_b^2,          Theta <- K + sigma_w^2 Theta
    convolution    the same of means over its window of K(p + d, p' + d), p and p' positions
    activation     K <- E phi phi,                        Theta <- Theta E phi' phi'   (see `dual`)
    norm           K <- K / sqrt((v + eps)(v' + eps)),    Theta alike,  v = K(x, x)
    scale, shift   of a norm: Theta <- Theta + K and + 1; before an activation, + E u phi' v phi'
    flattening     the mean over p of K(p, p);            pooling, over p and p' by windows
    sum            K + K, Theta + Theta, of branches of which one ends in weights of its own
    embedding      of words that are the same or not;     attention, see `attention`

At first K is the mean over channels of x(p) x'(p'), and Theta is zero. These are the limits of
`nngp`, of outputs, and of `ntk` in the parametrisation of the NTK (see `ntk_parametrisation`), of
one output, as the widths of all layers but the last grow, and the number of heads.

Source: Lee et al., ICLR 2018, https://arxiv.org/abs/1711.00165; Jacot, Gabriel & Hongler, NeurIPS
2018, https://arxiv.org/abs/1806.07572; convolutions: Novak et al., ICLR 2019,
https://arxiv.org/abs/1810.05148; Arora et al., NeurIPS 2019, https://arxiv.org/abs/1904.11955;
norms and attention: Hron et al., ICML 2020, https://arxiv.org/abs/2006.10540.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from math import isfinite, prod
from typing import Any, NamedTuple

import torch
from jaxtyping import Float, Float64, Int
from torch import Tensor, fx, nn

from untrained.settings import check_range
from untrained.wide.calls import (
    ATTENTION,
    CONVOLUTIONS,
    LAYERS,
    MOVING,
    POOLING,
    POOLS,
    Activations,
    Reader,
    module_of,
    name_of,
    traced_calls,
)
from untrained.wide.checks import check_network
from untrained.wide.layers import WideLayers
from untrained.wide.sketch import Sketches
from untrained.wide.steps import Layer
from untrained.wide.units import Units

Shown = Float[Tensor, "n ..."] | Int[Tensor, "n t"]
Others = Float[Tensor, "m ..."] | Int[Tensor, "m t"]


MEETING = POOLING | {"mean"}
"Functions that have positions meet each other."
ROOM = 2**16
"Entries of a kernel that are computed at a time: half a megabyte, which caches hold."


class Limit(NamedTuple):
    """Kernels of one output of a network whose layers are infinitely wide."""

    nngp: Float64[Tensor, "n m"]
    "Covariance over random weights."
    ntk: Float64[Tensor, "n m"]
    "Tangent kernel, which depends on no weights, and stays as it is in training."


class WideFeatures(NamedTuple):
    """Of which the products are about the kernels of infinite width."""

    nngp: Float[Tensor, "n a"]
    "z: z . z' is about the NNGP."
    ntk: Float[Tensor, "n b"]
    "t: t . t' is about the NTK."


@dataclass(frozen=True)
class Infinite:
    """The kernels of a network of infinite width, as a function of two batches."""

    network: fx.GraphModule
    "Its calls, one by one."
    sigma_w: float | int
    "Weights are N(0, sigma_w^2 / fan-in),"
    sigma_b: float | int
    "and biases N(0, sigma_b^2)."
    activations: Activations
    "Classes whose modules are taken by the series."
    draws: int
    "Of the scores of attention,"
    seed: int
    "with this seed."

    def __call__(self, x1: Shown, x2: Others | None = None) -> Limit:
        """Both kernels between two batches, or of one with itself; with gradients to the inputs.

        Where positions meet, as in averages and attention, time grows with the square of their
        number: of an image, with the fourth power of its side. Examples are taken some at a time,
        but with attention all together, and so are all that gradients need.

        Args:
            x1: vectors (n, d), images (n, c, h, w), sequences (n, t, c), or (n, c, t) where a
                convolution comes first; or words (n, t), whole numbers, before an `nn.Embedding`.
            x2: m more; None means `x1`.

        Raises:
            ValueError: inputs that the network does not take.
        """
        _check_batches(x1, x2)
        pairs = self._calls(lambda module: isinstance(module, (*POOLS, *ATTENTION)), MEETING)
        rules = WideLayers(self.sigma_w, self.sigma_b, pairs, self.draws, self.seed)
        exact = [x.double() if x.is_floating_point() else x for x in (x1, x2) if x is not None]
        if self._calls(lambda module: isinstance(module, ATTENTION), frozenset()):
            both = torch.cat(exact)  # which share their draws
            n = len(both) - len(exact[-1])
            return Limit(*(k[: n or None, n:] for k in self._run(rules, both, both)[:2]))
        places = prod(x1.shape[axis] for axis in self._axes(x1))
        tile = max(1, int((ROOM / places ** (1 + pairs)) ** 0.5))
        tiles: dict[tuple[int, int], tuple[Tensor, ...]] = {}
        for i, rows in enumerate(exact[0].split(tile)):
            for j, columns in enumerate(exact[-1].split(tile)):
                if x2 is None and j < i:
                    tiles[i, j] = tuple(k.T for k in tiles[j, i])
                else:
                    tiles[i, j] = self._run(rules, rows, columns)[:2]
        return Limit(*(_joined(tiles, which) for which in (0, 1)))

    def features(self, x: Shown, count: int = 1024, seed: int = 0) -> WideFeatures:
        """Vectors whose products are about the kernels, for more examples than kernels can hold.

            K(x, x') ~ z(x) . z(x'),    Theta(x, x') ~ t(x) . t(x')

        Unbiased, layer by layer, given what comes before, with errors of about 1 / sqrt(count); of
        a network without attention. With the same seed, all batches have the same features. Time
        and memory grow linearly with examples and positions. See `sketch`.

        Args:
            x: as of a call; features have its precision, or float32 if that is less.
            count: numbers that stand for a layer.
            seed: of what is random.

        Raises:
            ValueError: as a call; attention.
        """
        _check_batches(x, None)
        check_range("count", count, 1)
        generator = torch.Generator().manual_seed(seed)
        rules = Sketches(self.sigma_w, self.sigma_b, count, generator)
        if x.is_floating_point():
            x = x.to(torch.promote_types(x.dtype, torch.float32))
        return WideFeatures(*self._run(rules, x, x))

    def _run(self, rules: Any, x1: Tensor, x2: Tensor) -> Any:
        """What comes out for two batches, by some rules."""
        shown: Any = x1, x2  # words
        axes = self._axes(x1)
        if x1.is_floating_point():
            vectors = [_by_places(x, axes) for x in shown]
            units = Units(axes, count=vectors[0].shape[-1])
            shown = Layer(units, rules.inputs(*vectors, bool(axes)))
        reader = Reader(self.network, rules, self.activations)
        found = reader.run(shown)
        if not isinstance(found, Layer):
            raise ValueError(
                f"expected one tensor of outputs, got one of type {type(found).__name__}"
            )
        if found.units.axes:
            raise ValueError("expected outputs without positions; flatten or average them first")
        return reader.steps.settled(found)

    def _axes(self, x: Tensor) -> tuple[int, ...]:
        """Which axes of inputs are positions; of sequences 2 where a convolution comes first."""
        if not x.is_floating_point():
            if x.ndim != 2:
                raise ValueError(f"expected words (n, t), got shape {tuple(x.shape)}")
            return (1,)
        if x.ndim not in (2, 3, 4):
            raise ValueError(
                f"expected vectors (n, d), sequences (n, t, c) or images (n, c, h, w), got shape "
                f"{tuple(x.shape)}"
            )
        nodes = self.network.graph.nodes
        if all(_flattens(self.network, user) for user in next(iter(nodes)).users):
            return ()  # a perceptron's, whose positions need no kernels of their own
        if x.ndim != 3:
            return {2: (), 4: (2, 3)}[x.ndim]
        axis = 1
        for node in nodes:
            module = module_of(self.network, node)
            if isinstance(module, LAYERS):
                return (3 - axis if isinstance(module, (*CONVOLUTIONS, *POOLS)) else axis,)
            if name_of(node) in MOVING:
                axis = 3 - axis
        return (axis,)

    def _calls(self, kind: Callable[[nn.Module | None], bool], names: frozenset[str]) -> bool:
        """Whether the network has such a module, or a function of such a name."""
        return any(
            kind(module_of(self.network, node)) or name_of(node) in names
            for node in self.network.graph.nodes
        )


def _check_batches(x1: Tensor, x2: Tensor | None) -> None:
    for x in (x1, x2):
        if x is not None and (len(x) == 0 or not x.isfinite().all()):
            raise ValueError(
                f"expected one example or more, of finite numbers, got {len(x)}"
                f"{', with NaN or infinity' if len(x) else ''}"
            )
    if x2 is not None and (x1.shape[1:], x1.dtype) != (x2.shape[1:], x2.dtype):
        raise ValueError(
            f"expected x2 like x1, of shape (m, {', '.join(map(str, x1.shape[1:]))}) and type "
            f"{x1.dtype}, got {tuple(x2.shape)} and {x2.dtype}"
        )


def _joined(tiles: Mapping[tuple[int, int], tuple[Tensor, ...]], which: int) -> Tensor:
    rows: dict[int, list[Tensor]] = {}
    for (i, _), tile in tiles.items():
        rows.setdefault(i, []).append(tile[which])
    return torch.cat([torch.cat(row, 1) for row in rows.values()])


def _by_places(x: Tensor, axes: tuple[int, ...]) -> Tensor:
    """(n, h, w, c), with sides of one where there are no positions."""
    last = x.movedim(Units(axes).channels, -1) if axes else x.flatten(1)
    return last.reshape(len(x), *(*last.shape[1:-1], 1, 1)[:2], -1)


def infinite(
    network: nn.Module,
    *,
    sigma_w: float | int = 2**0.5,
    sigma_b: float | int = 0.0,
    activations: Activations = (),
    draws: int = 4000,
    seed: int = 0,
) -> Infinite:
    """The kernels of a network as all of its layers become infinitely wide.

    Of dense layers, convolutions in one or two dimensions, embeddings and self-attention,
    activations that act by unit, LayerNorm and RMSNorm over channels, average pooling, flattening,
    sums of branches as in residual networks and transformers, and dropout, which is off. How wide
    the layers of the network are does not matter, nor how many heads attention has: they are
    infinitely many. ReLU and its kin, GELU, erf, sine and cosine are in closed form; tanh and
    other smooth ones by a series; what attention looks at has no closed form, and is drawn.

    Args:
        network: whose windows, strides and biases are read off it. All parameters are trained,
            frozen ones too.
        sigma_w: deviation of weights, times the root of their fan-in.
        sigma_b: deviation of biases; layers without have none.
        activations: classes of your own whose modules act by unit; they are taken by the series.
        draws: of the scores of attention; errors fall with their root.
        seed: of these draws.

    Raises:
        ValueError: something in it has no such limit, as BatchNorm, or none that is known here;
            it is named.

    Example:
        >>> kernel = infinite(nn.Sequential(nn.Linear(3, 8), nn.ReLU(), nn.Linear(8, 1)))
        >>> kernel(torch.eye(3)).nngp[0].round(decimals=3)  # 2/3 and 2/(3 pi)
        tensor([0.6670, 0.2120, 0.2120], dtype=torch.float64)
    """
    if not isinstance(network, nn.Module):
        raise ValueError(
            f"expected a network as nn.Module, got one of type {type(network).__name__}"
        )
    if not all(isfinite(sigma) and sigma >= 0 for sigma in (sigma_w, sigma_b)):
        raise ValueError(
            f"expected deviations of 0 or more, got sigma_w={sigma_w!r}, sigma_b={sigma_b!r}"
        )
    check_range("draws", draws, 1)
    try:
        traced = traced_calls(network, activations)
    except Exception as error:  # of somebody else's code
        said = (str(error) or type(error).__name__).splitlines()[0]
        raise ValueError(
            f"expected a network whose calls depend on no values, got one that torch.fx cannot "
            f"follow: {said}"
        ) from error
    check_network(traced, activations)
    return Infinite(traced, sigma_w, sigma_b, activations, draws, seed)


def _flattens(network: fx.GraphModule, node: fx.Node) -> bool:
    module = module_of(network, node)
    if isinstance(module, nn.Flatten):
        return (module.start_dim, module.end_dim) == (1, -1)
    return name_of(node) == "flatten" and node.args[1:] == (1,)
