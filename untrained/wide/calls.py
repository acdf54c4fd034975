"""Runs the calls of a network on what is known of its layers, in place of tensors."""

from collections.abc import Callable
from functools import partial
from typing import Any

from torch import Tensor, fx, nn

from untrained.memory import out_of_memory
from untrained.wide.dual import dual_of_function, dual_of_module
from untrained.wide.steps import Layer, Steps

CONVOLUTIONS = nn.Conv1d, nn.Conv2d
NORMS = nn.LayerNorm, nn.RMSNorm
POOLS = nn.AvgPool1d, nn.AdaptiveAvgPool1d, nn.AvgPool2d, nn.AdaptiveAvgPool2d
ATTENTION = nn.MultiheadAttention, nn.TransformerEncoderLayer, nn.TransformerEncoder
LAYERS = nn.Linear, nn.Embedding, nn.Flatten, *CONVOLUTIONS, *NORMS, *POOLS, *ATTENTION

ADDING = frozenset({"add", "add_", "iadd", "sub", "sub_", "isub"})
"Of branches that are not correlated, a difference is as a sum."
SCALING = frozenset({"mul", "mul_", "imul", "truediv", "div"})
POOLING = frozenset({"avg_pool1d", "adaptive_avg_pool1d", "avg_pool2d", "adaptive_avg_pool2d"})
MOVING = frozenset({"transpose", "swapaxes", "permute"})
ROWS = frozenset({"view", "reshape"})
"Into rows alone: `x.view(x.size(0), -1)`."
SIZES = frozenset({"size", "getattr"})
OTHERS = frozenset({"flatten", "mean", "getitem", "neg", *SIZES, *POOLING, *MOVING})


Activations = tuple[type[nn.Module], ...]
"Classes of modules that act by unit, beside torch's own."


class Reader(fx.Interpreter):
    """One pass of a network by rules, as those of `WideLayers` are."""

    def __init__(self, network: fx.GraphModule, rules: Any, own: Activations):
        super().__init__(network)
        self.steps, self.own, self.extra_traceback = Steps(rules), own, False

    def run_node(self, n: fx.Node) -> Any:
        """One call, of which whatever fails is told in one line.

        Raises:
            ValueError: that.
            MemoryError, RuntimeError: there is not enough memory, as torch says it.
        """
        try:
            return super().run_node(n)
        except ValueError:
            raise
        except Exception as error:
            if out_of_memory(error):
                raise
            said = (str(error) or type(error).__name__).splitlines()[0]
            raise ValueError(
                f"{n.name}: expected a call as `untrained.infinite` knows it, got one that fails: "
                f"{said}"
            ) from error

    def call_module(self, target: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """One of the network's modules."""
        module, steps = self.fetch_attr(target), self.steps
        if isinstance(module, nn.Embedding):
            return steps.embedding(module, target, *args)
        _check_layers(args[:1], target)
        if isinstance(module, nn.Linear):
            return steps.dense(module, target, *args)
        if isinstance(module, CONVOLUTIONS):
            return steps.convolution(module, target, *args)
        if isinstance(module, nn.MultiheadAttention):
            return steps.attention(module, target, *args, **kwargs)
        if isinstance(module, nn.TransformerEncoderLayer):
            return steps.block(module, target, *args, **kwargs)
        if isinstance(module, nn.TransformerEncoder):
            return steps.encoder(module, target, *args, **kwargs)
        if isinstance(module, NORMS):
            return steps.normalised(module, target, *args)
        if isinstance(module, POOLS):
            return steps.pooled(module, type(module).__name__, target, *args)
        if isinstance(module, nn.Flatten):
            return steps.flattened(target, args[0], module.start_dim, module.end_dim)
        return steps.activated(module, dual_of_module(module, self.own), target, *args)

    def call_function(self, target: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """A function of torch's, or an operator."""
        return self._called(target, target.__name__, args, kwargs)

    def call_method(self, target: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """A method of tensors."""
        return self._called(getattr(Tensor, target), target, args, kwargs)

    def _called(
        self,
        function: Callable[..., Any],
        name: str,
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
    ) -> Any:
        steps, (layer, *rest) = self.steps, args
        if name in ADDING:
            return steps.summed(name, *args)
        if name in SCALING:
            layer, factor = args if isinstance(layer, Layer) else args[::-1]
            return steps.scaled(layer, 1 / factor if "div" in name else factor)
        if name == "neg":
            return steps.scaled(layer, -1)
        if name == "getitem":
            return steps.selected(name, *args)
        _check_layers(args[:1], name)
        if name in SIZES:
            return 1 if name == "size" and rest else (1,) * (2 + len(layer.units.axes))
        if name in POOLING:
            pool = partial(_of_first, function, rest, kwargs)
            return steps.pooled(pool, name, name, layer)
        if name == "mean":
            return steps.averaged(name, *args, **kwargs)
        if name == "flatten":
            return steps.flattened(name, *args, **{k[:-4]: d for k, d in kwargs.items()})
        if name in ROWS:
            return steps.flattened(name, layer, 1)
        if name in MOVING:
            return steps.moved(name, *args)
        dual = dual_of_function(function, name, *rest, **kwargs)
        return steps.activated(partial(_of_first, function, rest, kwargs), dual, name, layer)


def _of_first(
    function: Callable[..., Tensor], rest: list[Any], kwargs: dict[str, Any], x: Tensor
) -> Tensor:
    return function(x, *rest, **{k: v for k, v in kwargs.items() if k != "inplace"})


def _check_layers(layers: tuple[Any, ...], name: str) -> None:
    if not all(isinstance(each, Layer) for each in layers):
        raise ValueError(
            f"{name}: expected an nn.Embedding to take whole numbers, as words, got them here; of "
            f"pixels, give x.float()"
        )


def traced_calls(network: nn.Module, own: Activations) -> fx.GraphModule:
    """The calls of a network, of which those of such modules are one each.

    Raises:
        Exception: whatever tracing raises.
    """

    class Tracer(fx.Tracer):
        def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
            return isinstance(m, own) or super().is_leaf_module(m, module_qualified_name)

    network = nn.Sequential(network) if isinstance(network, LAYERS) else network
    return fx.GraphModule(network, Tracer().trace(network))


def module_of(network: fx.GraphModule, node: fx.Node) -> nn.Module | None:
    """The module that is called, if one is."""
    return network.get_submodule(str(node.target)) if node.op == "call_module" else None


def name_of(node: fx.Node) -> str:
    """Of a function or method; empty of what is neither."""
    if node.op not in ("call_function", "call_method"):
        return ""
    return node.target if isinstance(node.target, str) else node.target.__name__
