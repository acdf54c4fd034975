"""What is refused of a network before any inputs are seen, since a limit would be another's."""

from collections import Counter
from typing import Any

from torch import fx, nn
from torch.nn.utils.parametrize import is_parametrized

from untrained.networks.reparametrised import Scaled
from untrained.wide.calls import (
    ADDING,
    LAYERS,
    MOVING,
    OTHERS,
    ROWS,
    SCALING,
    Activations,
    module_of,
    name_of,
)
from untrained.wide.dual import dual_of_function, dual_of_module
from untrained.wide.steps import NO_LIMIT

VIEWS = ROWS | MOVING | {"flatten", "getitem"}
"Functions whose results may share memory with what they are of."


def check_network(network: fx.GraphModule, own: Activations) -> None:
    """Refuse a network of which the calls do not say all, or of which one is not known.

    Raises:
        ValueError: that, with its name.
    """
    _check_modules(network, own)
    _check_shared(network)
    for node in network.graph.nodes:
        _check_call(network, node, own)
        _check_place(network, node)


def _check_modules(network: fx.GraphModule, own: Activations) -> None:
    for name, module in network.named_modules():
        if module._forward_hooks or module._forward_pre_hooks:
            raise ValueError(f"{name}: expected a module without hooks, got some; remove them")
        if is_parametrized(module) and not all(
            isinstance(step, Scaled)
            for steps in module.parametrizations.values()
            for step in steps
        ):
            raise ValueError(f"{name}: expected plain weights, got parametrised ones")
        if isinstance(module, own) and next(module.parameters(), None) is not None:
            raise ValueError(f"{name}: expected an activation without parameters, got some")


def _check_shared(network: fx.GraphModule) -> None:
    names: dict[int, str] = {}
    for name, parameter in network.named_parameters(remove_duplicate=False):
        if names.setdefault(id(parameter), name) != name:
            raise ValueError(
                f"{name}: expected weights that are used once, got shared ones, those of "
                f"{names[id(parameter)]}"
            )
    calls = Counter(str(node.target) for node in network.graph.nodes if node.op == "call_module")
    for name, count in calls.items():
        weighted = next(network.get_submodule(name).parameters(), None) is not None
        if count > 1 and weighted:
            raise ValueError(
                f"{name}: expected weights that are used once, got shared ones, used {count} times"
            )


def _check_call(network: fx.GraphModule, node: fx.Node, own: Activations) -> None:
    module, name = module_of(network, node), name_of(node)
    if module is not None:
        if not isinstance(module, LAYERS) and dual_of_module(module, own) is None:
            raise ValueError(f"{node.target}: {type(module).__name__} {NO_LIMIT}")
    elif name:
        layers = [each for each in node.args if isinstance(each, fx.Node)]
        alone = len(layers) == 1 and len(node.args) == 2 and not node.kwargs
        fits = {
            **dict.fromkeys(ADDING, len(layers) == len(node.args) == 2 and not node.kwargs),
            **dict.fromkeys(SCALING, alone and ("div" not in name or node.args[0] in layers)),
            **dict.fromkeys(ROWS, _into_rows(node)),
            **dict.fromkeys(OTHERS, True),
            "getattr": node.args[1:] == ("shape",),
        }
        if name in ROWS and not fits[name]:
            raise ValueError(
                f"{node.name}: expected {name} into rows, as x.{name}(x.size(0), -1), got "
                f"another; try x.flatten(1)"
            )
        if not fits.get(name, dual_of_function(None, name) is not None and _of_torch(node)):
            raise ValueError(f"{node.name}: {name} {NO_LIMIT}")
    elif node.op == "get_attr" and isinstance(_attribute(network, node), nn.Parameter):
        raise ValueError(f"{node.target}: a parameter by itself {NO_LIMIT}")


def _of_torch(node: fx.Node) -> bool:
    """Whether it is a method, or a function of torch's, and not of the same name."""
    where = getattr(node.target, "__module__", None) or "torch"
    return isinstance(node.target, str) or where.startswith("torch")


def _into_rows(node: fx.Node) -> bool:
    """Whether x.view(x.size(0), -1), or so, with any of the ways to say how many examples."""
    shape = node.args[1:]
    if len(shape) == 1 and isinstance(shape[0], tuple | list):
        shape = tuple(shape[0])
    return len(shape) == 2 and bool(shape[1] == -1) and _count_of_examples(shape[0])


def _count_of_examples(node: Any) -> bool:
    """Whether x.size(0), x.size()[0] or x.shape[0]."""
    if not isinstance(node, fx.Node):
        return False
    if name_of(node) == "size":
        return node.args[1:] == (0,)
    if name_of(node) != "getitem" or node.args[1] != 0:
        return False
    sizes = node.args[0]
    return isinstance(sizes, fx.Node) and name_of(sizes) in ("size", "getattr")


def _check_place(network: fx.GraphModule, node: fx.Node) -> None:
    """Refuse a call that overwrites what is used after it, which tracing does not tell."""
    module, name = module_of(network, node), name_of(node)
    overwrites = getattr(module, "inplace", False) or node.kwargs.get("inplace", False)
    if not overwrites and not (name.endswith("_") or name in ("iadd", "isub", "imul")):
        return
    order = {each: k for k, each in enumerate(network.graph.nodes)}
    source = node.args[0]
    while isinstance(source, fx.Node):
        if any(order[user] > order[node] for user in source.users):
            raise ValueError(
                f"{node.name}: expected what is overwritten in place to be used no more, got "
                f"{source.name}, which is; try inplace=False"
            )
        views = isinstance(module_of(network, source), nn.Identity | nn.Flatten | nn.Dropout)
        source = source.args[0] if views or name_of(source) in VIEWS else None


def _attribute(network: fx.GraphModule, node: fx.Node) -> Any:
    owner, _, key = str(node.target).rpartition(".")
    return getattr(network.get_submodule(owner), key)
