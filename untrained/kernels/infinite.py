"""The NNGP and the NTK of a network whose layers are infinitely wide, layer by layer, exactly.

    dense          K <- sigma_w^2 K + sigma_b^2,          Theta <- K + sigma_w^2 Theta
    convolution    the same of means over its window of K(p + d, p' + d), p and p' positions
    activation     K <- E phi phi,                        Theta <- Theta E phi' phi'   (see `dual`)
    flattening     the mean over p of K(p, p);            pooling, over p and p' by windows
    sum            K + K, Theta + Theta, of branches of which one ends in weights of its own

At first K is the mean over channels of x(p) x'(p'), and Theta is zero. These are the limits of
`nngp`, of outputs, and of `ntk` in the parametrisation of the NTK (see `ntk_parametrisation`), of
one output, as the widths of all layers but the last grow.

Source: Lee et al., ICLR 2018, https://arxiv.org/abs/1711.00165; Jacot, Gabriel & Hongler, NeurIPS
2018, https://arxiv.org/abs/1806.07572; convolutions: Novak et al., ICLR 2019,
https://arxiv.org/abs/1810.05148; Arora et al., NeurIPS 2019, https://arxiv.org/abs/1904.11955.
"""

from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from jaxtyping import Float, Float64
from torch import Tensor, fx, nn

from untrained.kernels.dual import dual_of_function, dual_of_module, identity
from untrained.kernels.wide_layers import (
    Layer,
    Weights,
    activated,
    averaged,
    flattened,
    of_inputs,
    pooled,
    scaled,
    summed,
)


class Limit(NamedTuple):
    """Kernels of one output of a network whose layers are infinitely wide."""

    nngp: Float64[Tensor, "n m"]
    "Covariance over random weights."
    ntk: Float64[Tensor, "n m"]
    "Tangent kernel, which depends on no weights, and stays as it is in training."


@dataclass(frozen=True)
class Infinite:
    """The kernels of a network of infinite width, as a function of two batches."""

    network: fx.GraphModule
    "Its calls, one by one."
    weights: Weights

    def __call__(
        self, x1: Float[Tensor, "n ..."], x2: Float[Tensor, "m ..."] | None = None
    ) -> Limit:
        """Both kernels between two batches, or of one with itself; with gradients to the inputs.

        Where the network averages over positions, memory grows with their fourth power of a side.

        Args:
            x1: vectors (n, d) or images (n, c, h, w).
            x2: m more; None means `x1`.

        Raises:
            ValueError: inputs that the network does not take.
        """
        x = (x1 if x2 is None else torch.cat([x1, x2])).double()
        if x.ndim not in (2, 4):
            raise ValueError(
                f"expected vectors (n, d) or images (n, c, h, w), got shape {tuple(x1.shape)}"
            )
        nodes = self.network.graph.nodes
        if all(_flattens(self.network, user) for user in next(iter(nodes)).users):
            x = x.flatten(1)  # a perceptron's, whose pixels need no kernels of their own
        pairs = any(_averages(self.network, node) for node in nodes)
        found: Layer = _Pass(self.network, self.weights).run(of_inputs(x, pairs))
        if found.places:
            raise ValueError("expected outputs without positions; flatten or average them first")
        rows = slice(None) if x2 is None else slice(len(x1))
        columns = slice(None) if x2 is None else slice(len(x1), None)
        return Limit(found.k[rows, columns], found.theta[rows, columns])


def infinite(network: nn.Module, *, sigma_w: float = 2**0.5, sigma_b: float = 0.0) -> Infinite:
    """The kernels of a network as all of its layers become infinitely wide.

    Of dense layers and convolutions, activations that act by unit, average pooling, flattening,
    sums of branches as in residual networks, and dropout, which is off. How wide the layers of
    the network are does not matter. ReLU and its kin, GELU, erf, sine and cosine are in closed
    form; tanh and other smooth ones by quadrature.

    Args:
        network: whose windows, strides and biases are read off it.
        sigma_w: deviation of weights, times the root of their fan-in.
        sigma_b: deviation of biases; layers without have none.

    Raises:
        ValueError: something in it has no such limit, as BatchNorm, or none that is known here;
            it is named.

    Example:
        >>> kernel = infinite(nn.Sequential(nn.Linear(3, 8), nn.ReLU(), nn.Linear(8, 1)))
        >>> kernel(torch.eye(3)).nngp[0].round(decimals=3)  # 2/3 and 2/(3 pi)
        tensor([0.6670, 0.2120, 0.2120], dtype=torch.float64)
    """
    try:
        traced = fx.symbolic_trace(network)
    except Exception as error:  # of somebody else's code
        said = (str(error) or type(error).__name__).splitlines()[0]
        raise ValueError(
            f"expected a network whose calls depend on no values, got one that torch.fx cannot "
            f"follow: {said}"
        ) from error
    for node in traced.graph.nodes:
        _check(traced, node)
    return Infinite(traced, Weights(sigma_w, sigma_b))


class _Pass(fx.Interpreter):
    """Runs the network's calls on kernels in place of tensors."""

    def __init__(self, network: fx.GraphModule, weights: Weights):
        super().__init__(network)
        self.weights, self.extra_traceback = weights, False

    def call_module(self, target: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Layer:
        """One of the network's modules."""
        module, (layer,) = self.fetch_attr(target), args
        if isinstance(module, nn.Linear):
            return self.weights.dense(layer, module, target)
        if isinstance(module, nn.Conv2d):
            return self.weights.convolution(layer, module, target)
        if isinstance(module, POOLS):
            return pooled(layer, module, target)
        if isinstance(module, nn.Flatten):
            return flattened(layer)
        dual = dual_of_module(module)
        assert dual is not None
        return layer if dual is identity else activated(layer, dual, target)

    def call_function(self, target: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """A function of torch's, or an operator."""
        return self._called(target, target.__name__, args, kwargs)

    def call_method(self, target: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """A method of tensors."""
        return self._called(getattr(torch, target, None), target, args, kwargs)

    def _called(
        self, function: Any, name: str, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Any:
        layer, *rest = args
        if name in ADDING:
            return summed(layer, rest[0], name)
        if name in SCALING:
            layer, factor = (layer, *rest) if isinstance(layer, Layer) else (*rest, layer)
            return scaled(layer, 1 / factor if "div" in name else factor)
        if name in POOLING:
            return pooled(layer, lambda k: function(k, *rest, **kwargs), name)
        if name in FLATTENING:
            return flattened(layer)
        if name == "mean":
            return averaged(layer, name)
        if name == "size":
            return 1
        dual = dual_of_function(function, name, *rest, **kwargs)
        assert dual is not None
        return layer if dual is identity else activated(layer, dual, name)


POOLS = nn.AvgPool2d, nn.AdaptiveAvgPool2d
POOLING = frozenset({"avg_pool2d", "adaptive_avg_pool2d"})
ADDING = frozenset({"add", "add_", "iadd"})
SCALING = frozenset({"mul", "mul_", "imul", "truediv", "div"})
FLATTENING = frozenset({"flatten", "view", "reshape"})
"""Of these two, into rows: `x.view(x.size(0), -1)`."""


def _averages(network: fx.GraphModule, node: fx.Node) -> bool:
    if node.op == "call_module":
        return isinstance(network.get_submodule(str(node.target)), POOLS)
    return _name(node) in POOLING | {"mean"}


def _flattens(network: fx.GraphModule, node: fx.Node) -> bool:
    if node.op == "call_module":
        return isinstance(network.get_submodule(str(node.target)), nn.Flatten)
    return _name(node) == "flatten"


def _name(node: fx.Node) -> str:
    return node.target if isinstance(node.target, str) else node.target.__name__


def _check(network: fx.GraphModule, node: fx.Node) -> None:
    """Refuse a call that no rule is known for.

    Raises:
        ValueError: that, with its name.
    """
    layers = [each for each in node.args if isinstance(each, fx.Node)]
    if node.op == "call_module":
        module = network.get_submodule(str(node.target))
        known = isinstance(module, nn.Linear | nn.Conv2d | nn.Flatten | POOLS[0] | POOLS[1])
        if not known and dual_of_module(module) is None:
            raise ValueError(f"{node.target}: {type(module).__name__} {NO_LIMIT}")
    elif node.op in ("call_function", "call_method"):
        name = _name(node)
        fits = {
            **dict.fromkeys(ADDING, len(layers) == 2),
            **dict.fromkeys(SCALING, len(layers) == 1 and len(node.args) == 2),
            **dict.fromkeys(POOLING, True),
            **dict.fromkeys(("view", "reshape"), node.args[-1] == -1 and len(node.args) == 3),
            **dict.fromkeys(("flatten",), node.args[1:] in ((), (1,))),
            **dict.fromkeys(("mean",), _over_positions(node)),
            **dict.fromkeys(("size",), True),
        }
        if not fits.get(name, dual_of_function(None, name) is not None):
            raise ValueError(f"{node.name}: {name} {NO_LIMIT}")
    elif node.op == "get_attr":
        raise ValueError(f"{node.target}: a parameter by itself {NO_LIMIT}")


NO_LIMIT = "has no limit of infinite width that is known here; see `untrained.infinite`"


def _over_positions(node: fx.Node) -> bool:
    dims = node.kwargs.get("dim", node.args[1] if len(node.args) > 1 else ())
    kept = node.kwargs.get("keepdim", False)
    return not kept and isinstance(dims, tuple | list) and {d % 4 for d in dims} == {2, 3}
