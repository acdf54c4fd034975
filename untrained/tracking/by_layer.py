"""What each layer of a network adds to its kernel, and how far that has moved.

    Theta = sum_l Theta_l,    Theta_l = sum_{alpha of layer l} J[:, alpha] J[:, alpha]^T

A network may have hundreds of layers, and the kernel of each is as large as the whole. So
neighbours are put together, by their names, into as few groups as asked for. Of each group the
kernel at initialisation is kept in memory, and of later ones only numbers.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from jaxtyping import Float32, Int
from torch import Tensor

from untrained.analysis.alignment import correlation, label_alignment, relative_change
from untrained.estimate import Quantity


@dataclass(frozen=True)
class LayerShare:
    """One layer, or group of layers, at an epoch."""

    layer: str
    "The name of its module, or of the first and the last of a group."
    alignment: Quantity
    "LGA: correlation of Theta_l with the label kernel."
    trace_share: Quantity
    "tr Theta_l / tr Theta."
    correlation_initial: Quantity
    "Of the entries of Theta_l with those at initialisation."
    change_initial: Quantity
    "||Theta_l - Theta_l,0|| / ||Theta_l,0||."


def by_layer(
    now: Mapping[str, Float32[Tensor, "n n"]],
    first: Mapping[str, Float32[Tensor, "n n"]],
    labels: Int[Tensor, " n"],
) -> tuple[LayerShare, ...]:
    """Each layer, in the order of the network.

    Args:
        now: Theta_l of each layer.
        first: the same at initialisation.
        labels: of the images.
    """
    traces = {layer: share.diagonal().double().sum().item() for layer, share in now.items()}
    whole = sum(traces.values())
    return tuple(
        LayerShare(
            layer=layer,
            alignment=label_alignment(share, labels),
            trace_share=_share(traces[layer], whole),
            correlation_initial=_since(correlation, first.get(layer), share),
            change_initial=_since(relative_change, first.get(layer), share),
        )
        for layer, share in now.items()
    )


def _since(
    measure: Callable[[Tensor, Tensor], Quantity], first: Tensor | None, now: Tensor
) -> Quantity:
    if first is None:  # layers may be frozen, and no longer, in a loop of one's own
        return Quantity(None, "this layer was not trained at initialisation, or grouped otherwise")
    return measure(first, now)


def _share(part: float, whole: float) -> Quantity:
    share = part / whole if whole else float("nan")
    if not 0 <= share <= 1:
        return Quantity(None, f"the trace of the kernel is {whole:.3g}: it has no shares")
    return Quantity(share)


def layer_groups(names: Sequence[str], most: int) -> dict[str, str]:
    """The group of each parameter, of at most `most` in all.

    A layer is the module that owns a parameter. Groups are the modules at the deepest level of
    names that has few enough; where that has fewer than half as many, runs of neighbours with one
    parent at the level below.

    Args:
        names: of parameters, in the order of the network.
        most: groups, 1 or more.

    Example:
        >>> groups = layer_groups(["0.conv.weight", "0.norm.weight", "1.weight", "1.bias"], 3)
        >>> list(groups.values())
        ['0.conv', '0.norm', '1', '1']
        >>> sorted({*layer_groups([f"{k}.weight" for k in range(100)], 3).values()})
        ['0-33', '34-67', '68-99']
    """
    layers = {name: tuple((name.rpartition(".")[0] or name).split(".")) for name in names}
    depths = range(1 + max(map(len, layers.values())))
    levels = [dict.fromkeys(layer[:depth] for layer in layers.values()) for depth in depths]
    depth = max(depth for depth in depths if len(levels[depth]) <= most)
    if depth == depths[-1] or (depth and 2 * len(levels[depth]) >= most):
        groups = {module: ".".join(module) for module in levels[depth]}
        return {name: groups[layer[:depth]] for name, layer in layers.items()}
    siblings: dict[tuple[str, ...], list[tuple[str, ...]]] = {}
    for module in levels[depth + 1]:
        siblings.setdefault(module[:depth], []).append(module)
    length = 2
    while sum(-(-len(each) // length) for each in siblings.values()) > most:
        length += 1
    runs = [
        each[k : k + length] for each in siblings.values() for k in range(0, len(each), length)
    ]
    groups = {module: _run(run) for run in runs for module in run}
    return {name: groups[layer[: depth + 1]] for name, layer in layers.items()}


def _run(modules: Sequence[tuple[str, ...]]) -> str:
    first, last = modules[0], modules[-1]
    return ".".join(first) + (f"-{last[-1]}" if len(modules) > 1 else "")
