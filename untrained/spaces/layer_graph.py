"""Any network as a graph to be drawn: its layers, and where their outputs meet."""

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode
from torch.utils._pytree import tree_leaves

from untrained.spaces.graph import CellGraph, Edge

MOST = 16
"Nodes, of more of which the user's own modules are drawn whole."
BESIDE = (
    nn.modules.batchnorm._NormBase, nn.GroupNorm, nn.LayerNorm,
    nn.modules.dropout._DropoutNd, nn.Flatten,
)  # fmt: skip
"Layers that are named beside the one before them, as activations are."


def layer_graph(network: nn.Module, x: Tensor) -> CellGraph:
    """The layers of one forward pass, as edges between their inputs and outputs.

    Nodes are what layers give, by its channels or features, and where two meet, such as in a sum.
    Norms and activations stand beside the layer whose output they take, and layers that are alike
    are counted. Functions of one tensor are not shown. A network of many layers is drawn by the
    modules of its author's.

    Args:
        network: in any mode; it is left as it was.
        x: an example or more.
    """
    found = CellGraph("network", (), ())
    for whole in (False, True):
        flow = _Flow(x)
        was = network.training
        try:
            with torch.no_grad(), flow.following(network, whole), flow:
                flow.end(network.eval()(x))
        finally:
            network.train(was)
        found = counted(flow.nodes, flow.edges)
        if len(found.nodes) <= MOST:
            break
    return found


def counted(nodes: Sequence[str], edges: Sequence[Edge]) -> CellGraph:
    """The graph whose chains of one operation, to as many channels each, are one edge."""
    ends = Counter(end for edge in edges for end in (edge.source, edge.target))
    runs: list[tuple[Edge, int]] = []
    for edge in edges:
        last, times = runs[-1] if runs else (edge, 0)
        goes_on = last.target == edge.source and ends[edge.source] == 2
        alike = edge.operation == last.operation and nodes[edge.source] == nodes[edge.target]
        if goes_on and alike:
            runs[-1] = (last._replace(target=edge.target), times + 1)
        else:
            runs.append((edge, 1))
    kept = sorted({end for edge, _ in runs for end in (edge.source, edge.target)})
    new = {old: number for number, old in enumerate(kept)}
    return CellGraph(
        "network",
        tuple(nodes[old] for old in kept),
        tuple(
            Edge(new[e.source], new[e.target], f"{e.operation} x {n}" if n > 1 else e.operation)
            for e, n in runs
        ),
    )


class _Flow(TorchFunctionMode):
    """Which node each tensor of a forward pass belongs to."""

    def __init__(self, x: Tensor):
        super().__init__()
        self.nodes, self.edges = ["input"], list[Edge]()
        # By id, with the tensors themselves: a freed tensor's id may come again.
        self.known: dict[int, tuple[Tensor, int]] = {id(x): (x, 0)}

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        result = func(*args, **(kwargs or {}))
        if sources := self.sources((args, kwargs)):
            self.note(result, self.met(sources, getattr(func, "__name__", "").strip("_")))
        return result

    def sources(self, values: Any) -> list[int]:
        """The nodes of the tensors among them, each once."""
        ids = [id(t) for t in tree_leaves(values) if isinstance(t, Tensor)]
        return sorted({self.known[i][1] for i in ids if i in self.known})

    def met(self, sources: Sequence[int], name: str) -> int:
        """The node of what a function makes of some."""
        if len(sources) == 1:
            return sources[0]
        return self.node(name, [(source, "") for source in sources])

    def node(self, name: str, inputs: Sequence[tuple[int, str]]) -> int:
        self.nodes.append(name)
        number = len(self.nodes) - 1
        self.edges += [Edge(source, number, operation) for source, operation in inputs]
        return number

    def note(self, result: Any, node: int) -> None:
        self.known |= {id(t): (t, node) for t in tree_leaves(result) if isinstance(t, Tensor)}

    def end(self, result: Any) -> None:
        """Calls what the network gives its output."""
        sources = self.sources(result)
        if len(sources) == 1 and not sources[0]:  # no layer has been seen
            self.node("output", [(0, "")])
        elif sources:
            self.nodes[self.met(sources, "output")] = "output"

    @contextmanager
    def following(self, network: nn.Module, whole: bool) -> Iterator[None]:
        """Each call of a layer makes a node, or is named beside the one before."""
        layers = _layers(network, whole)
        hooks = [layer.register_forward_hook(self.layer, with_kwargs=True) for layer in layers]
        try:
            yield
        finally:
            for hook in hooks:
                hook.remove()

    def layer(self, module: nn.Module, args: Any, kwargs: Any, result: Any) -> None:
        sources = self.sources((args, kwargs))
        if not sources or isinstance(module, nn.Identity):
            return
        source = self.met(sources, "join")
        before = self.edges[-1] if self.edges else Edge(0, 0, "")
        if _stands_beside(module) and before.target == source and before.operation:
            self.edges[-1] = before._replace(operation=f"{before.operation}, {named(module)}")
            self.note(result, source)
        else:
            width = _width(result)
            self.note(result, self.node(width, [(source, named(module))]))


def _layers(network: nn.Module, whole: bool) -> Iterator[nn.Module]:
    """Torch's layers and, where they are to be `whole`, the author's own modules; not what merely
    holds others."""
    for child in network.children():
        holds = isinstance(child, nn.Sequential | nn.ModuleList | nn.ModuleDict)
        own = not type(child).__module__.startswith("torch.nn.modules")
        if holds or (own and not whole and any(child.children())):
            yield from _layers(child, whole)
        else:
            yield child


def _width(result: Any) -> str:
    """Channels of images, features of all else; nothing of several tensors."""
    if not isinstance(result, Tensor) or result.ndim < 2:
        return ""
    return str(result.shape[1] if result.ndim > 3 else result.shape[-1])


def _stands_beside(module: nn.Module) -> bool:
    activation = type(module).__module__ == "torch.nn.modules.activation"
    attends = isinstance(module, nn.MultiheadAttention)
    return isinstance(module, BESIDE) or (activation and not attends)


def named(module: nn.Module) -> str:
    """A layer by its kind and what sets it apart: `Conv2d 3x3, 16, stride 2`.

    Example:
        >>> named(nn.Conv2d(3, 16, 3, stride=2))
        'Conv2d 3x3, 16, stride 2'
        >>> named(nn.Linear(8, 10)), named(nn.ReLU())
        ('Linear 10', 'ReLU')
    """
    kind = type(module).__name__
    if isinstance(module, nn.modules.conv._ConvNd):
        text = f"{kind} {'x'.join(map(str, module.kernel_size))}, {module.out_channels}"
        if module.groups > 1:
            depthwise = module.groups == module.in_channels
            text += ", depthwise" if depthwise else f", {module.groups} groups"
        return text + (f", stride {module.stride[0]}" if module.stride[0] > 1 else "")
    return f"{kind} {module.out_features}" if isinstance(module, nn.Linear) else kind
