"""What one forward pass shows of a network: the calls that use parameters, and their amounts."""

from collections.abc import Container, Mapping, Sequence
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils._pytree import tree_leaves, tree_map

from untrained.layerwise.independence import key_of
from untrained.networks.batchnorm import BatchNormPolicy
from untrained.networks.interception import Function
from untrained.networks.noise import same_noise
from untrained.networks.places import SEEN, Place, Prints, growing, possible
from untrained.networks.provenance import SHAPED, SPREADING, Provenance
from untrained.networks.readout import flattened
from untrained.networks.sites import (
    DERIVED,
    Kind,
    ParameterCalls,
    constant_parameters,
    guarded,
    states,
)

RICH = 16
"Channels from which a convolution is faster on a CPU with its channels last in memory."


class Network:
    """A model with its parameters and buffers looked up once, and functions with a formula."""

    def __init__(self, model: nn.Module, layers: Container[Function]):
        self.model = model
        self.layers = layers
        self.parameters = dict(model.named_parameters())
        self.names = {id(p): name for name, p in self.parameters.items()}
        self.buffers = list(model.buffers())


class Call(NamedTuple):
    """One call that uses parameters, as seen."""

    func: Function
    kind: Kind
    formula: bool
    parameters: tuple[str | None, ...]
    "Names of parameters and of what is made of them; empty for constants; None for the rest."
    inputs: tuple[int | None, ...]
    "Numbers of prints of the rest."
    outputs: tuple[int, ...]
    grown_inputs: "Places"
    "Dimensions of its tensors that grow with the number of examples."
    grown_outputs: "Places"


Places = tuple[Place | None, ...]
Shapes = tuple[list[torch.Size], list[torch.Size]]
"Of the tensors that a call takes, and of those that it gives."


class Watch(ParameterCalls):
    """One forward pass: the calls that use parameters, the amounts of its work, and prints."""

    def __init__(
        self,
        network: Network,
        examples: int,
        fewer: Mapping[int, Shapes] | None = None,
        prints: Prints | None = None,
    ):
        super().__init__(network.parameters.values())
        self.network = network
        self.examples = examples
        self.fewer = fewer or {}
        "Shapes in a pass of fewer examples, by the number of the call among all."
        self.prints = prints
        self.number = 0
        self.calls: list[Call] = []
        self.shapes: dict[int, Shapes] = {}
        self.names = dict(network.names)
        self.constants = Provenance(network.buffers)
        self.roots: dict[str, set[str]] = {}
        "The parameters that derived tensors are made of."
        self.uses: dict[str, int] = {}
        self.kept: dict[str, int] = {}
        self.weights: list[tuple[int, int, int]] = []
        self.bytes = self.widest = self.functions = self.macs = 0
        self.rich = False
        self.outputs = 0
        "Numbers that the network gives for one example."

    def run(self, x: Tensor, policy: BatchNormPolicy) -> Tensor:
        """The outputs for x, a row for each example."""
        own = x.clone()
        with same_noise(x), policy.over(self):
            outputs = self.network.model(own)
        found = flattened(outputs, len(x))
        self.outputs = found.shape[1]
        return found

    def call(self, func: Function, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Any:
        self.number += 1
        return super().call(func, args, kwargs)

    def plain(self, func: Function, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Any:
        made = self.constants.makes(func, args, kwargs)
        value = func(*args, **kwargs)
        if made:
            self.constants.add(value)
        self._count([value])
        return value

    def use(
        self,
        func: Function,
        args: Sequence[Any],
        kwargs: Mapping[str, Any],
        tensors: Sequence[Tensor],
    ) -> Any:
        """What the call gives, noted with its amounts and with where its tensors grow."""
        names = tuple(self.names.get(id(t), "" if t in self.constants else None) for t in tensors)
        own = None not in (names[:1] if func in SHAPED else names)
        # Taken before the call, which may change its arguments in place.
        inputs = tuple(
            self._print(t) if name is None and not own else None
            for t, name in zip(tensors, names, strict=True)
        )
        number, before, given = self.number, [t.shape for t in tensors], states(tensors)
        outputs = func(*args, **kwargs)
        found = [t for t in tree_leaves(outputs) if isinstance(t, Tensor)]
        shapes = before, [t.shape for t in found]
        growth = self._growth(func, number, shapes)
        self.shapes[number] = shapes
        formula = func in self.network.layers
        kind = _kind(names, growth, formula) if own else "layer"
        if kind == "derived":
            self.derive(outputs)
            site = len(self.calls)
            new = {
                id(t): f"{DERIVED}{site}.{k}"
                for k, t in enumerate(found)
                if (id(t), t._version) not in given
            }
            self.names |= new
            made_of = {root for name in names if name for root in self.roots.get(name, (name,))}
            self.roots |= dict.fromkeys(new.values(), made_of)
        else:
            self._measure(func, tensors, names, found)
        self._count(found)
        outputs = self.given(kind, outputs)
        prints = tuple(self._print(t) for t in tree_leaves(outputs) if isinstance(t, Tensor))
        self.calls.append(Call(func, kind, formula, names, inputs, prints, *growth))
        return outputs

    def given(self, kind: Kind, outputs: Any) -> Any:
        """What a call that uses parameters gives the network."""
        return outputs

    def _print(self, tensor: Tensor) -> int:
        return -1 if self.prints is None else self.prints.take(tensor)

    def _growth(self, func: Function, number: int, shapes: Shapes) -> tuple[Places, Places]:
        fewer = self.fewer.get(number)
        if fewer is None or list(map(len, fewer)) != list(map(len, shapes)):
            fewer = shapes
        inputs, outputs = (tuple(map(growing, *each)) for each in zip(shapes, fewer, strict=True))
        return inputs, outputs

    def _count(self, outputs: Sequence[Any]) -> None:
        self.functions += 1
        for value in outputs:
            if isinstance(value, Tensor) and not value._is_view():
                self.bytes += value.nbytes
                self.widest = max(self.widest, value.nbytes)

    def _use(self, name: str, size: int) -> None:
        self.uses[name] = self.uses.get(name, 0) + 1
        self.kept[name] = self.kept.get(name, 0) + size

    def _measure(
        self,
        func: Function,
        tensors: Sequence[Tensor],
        names: Sequence[str | None],
        outputs: Sequence[Tensor],
    ) -> None:
        n = self.examples
        factors = sum(t.nbytes for t in (tensors[0], *outputs)) // n
        for tensor, name in zip(tensors, names, strict=True):
            if not name:
                continue
            if name not in self.uses:  # whose rows will be pulled back to its parameters
                for root in self.roots.get(name, ()):
                    self._use(root, self.network.parameters[root].nbytes)
            formula = func in self.network.layers
            self._use(name, min(tensor.nbytes, factors) if formula else tensor.nbytes)
        place = CONTRACTING.get(func)
        if place is None or not names[place] or tensors[place].ndim < 2:
            self.macs += sum(t.numel() for t in outputs)
            return
        image, weight = tensors[place - 1], tensors[place]
        outs, numbers = weight.shape[-1 if func in PRODUCTS else 0], weight.numel()
        positions = (image if func in TRANSPOSED else outputs[0]).numel() // outs
        self.weights.append((outs, numbers // outs, positions // n))
        self.macs += numbers * positions
        self.rich |= func is F.conv2d and image.shape[1] >= RICH


class Traced(Watch):
    """A watch of a pass whose graph begins at each layer's output, as a recorder's does.

    Until a pass of fewer examples tells, a parameter that is repeated as often as there are
    examples counts as repeated for each of them; the graph will tell if it is not.
    """

    def __init__(self, network: Network, examples: int, fewer: Mapping[int, Shapes] | None = None):
        super().__init__(network, examples, fewer)
        self.keys: list[object] = []
        "In place of prints, the keys that tensors have in a flow; None without gradients."
        self.held: list[Tensor] = []
        "Their tensors, as keys are ids of what is there."
        self.derived: list[int] = []
        "Numbers of calls of what counts as made of parameters alone."
        self.doubtful = False
        "Whether some of it may be made once for each example."

    def run(self, x: Tensor, policy: BatchNormPolicy) -> Tensor:
        with torch.enable_grad(), constant_parameters(self.network.parameters.values()):
            return super().run(x, policy)

    def _growth(self, func: Function, number: int, shapes: Shapes) -> tuple[Places, Places]:
        if self.fewer or func not in SPREADING:
            return super()._growth(func, number, shapes)
        (before, *_), (after, *_) = shapes
        sizes = (1,) * (len(after) - len(before)) + tuple(before)
        grown = [dim for dim, size in enumerate(after) if size == SEEN != sizes[dim]]
        return (None,) * len(shapes[0]), (Place(grown[0]) if len(grown) == 1 else None,)

    def given(self, kind: Kind, outputs: Any) -> Any:
        if kind == "derived":
            found = [t for t in tree_leaves(outputs) if isinstance(t, Tensor)]
            self.doubtful |= any(possible(t.shape) for t in found)
            self.derived.append(self.number)
        if kind == "derived" or not torch.is_grad_enabled():
            return outputs

        def begin(output: Any) -> Any:
            if not isinstance(output, Tensor) or not output.is_floating_point():
                return output
            return guarded(output.requires_grad_())

        return tree_map(begin, outputs)

    def grown(self, fewer: "Traced") -> bool:
        """Whether what counts as made of parameters alone has another shape for fewer examples."""
        return any(fewer.shapes.get(number) != self.shapes[number] for number in self.derived)

    def _print(self, tensor: Tensor) -> int:
        self.keys.append(key_of(tensor) if tensor.requires_grad else None)
        self.held.append(tensor)
        return len(self.keys) - 1


def _kind(names: Sequence[str | None], growth: tuple[Places, Places], formula: bool) -> Kind:
    """A call of parameters and constants gives such, unless it does so once for each example."""
    inputs, outputs = growth
    if not any(outputs):
        return "derived"
    return "layer" if formula and not names[0] and inputs[0] else "spread"


TRANSPOSED: frozenset[Function] = frozenset(
    {F.conv_transpose1d, F.conv_transpose2d, F.conv_transpose3d}
)
PRODUCTS: frozenset[Function] = frozenset(
    {torch.matmul, Tensor.matmul, torch.mm, Tensor.mm, torch.addmm}
)
CONTRACTING: dict[Function, int] = {
    **dict.fromkeys((F.linear, F.conv1d, F.conv2d, F.conv3d, *TRANSPOSED, *PRODUCTS), 1),
    torch.addmm: 2,
}
"""Functions that multiply a weight (o x a) at every position of their output, and which of their
tensors it is, after the input; `TRANSPOSED` ones do so at those of the input, and `PRODUCTS` have
the weight as (a x o)."""
