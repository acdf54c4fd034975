"""What one forward pass shows of a network: the calls that use parameters, and their amounts."""

from collections.abc import Container, Mapping, Sequence
from typing import Any, Literal, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils._pytree import tree_leaves

from untrained.kernels.batchnorm import BatchNormPolicy
from untrained.kernels.interception import Function
from untrained.kernels.places import Prints
from untrained.kernels.readout import flattened
from untrained.kernels.sites import DERIVED, ParameterCalls

RICH = 16
"Channels from which a convolution is faster on a CPU with its channels last in memory."


class Network:
    """A model with its parameters and buffers looked up once, and functions with a formula."""

    def __init__(self, model: nn.Module, layers: Container[Function]):
        self.model = model
        self.layers = layers
        self.parameters = dict(model.named_parameters())
        self.names = {id(p): name for name, p in self.parameters.items()}
        self.buffers = {id(b): b for b in model.buffers()}


class Call(NamedTuple):
    """One call that uses parameters, as seen."""

    func: Function
    kind: Literal["layer", "derived", "spread"]
    formula: bool
    inputs: tuple[int | None, ...]
    "Numbers of prints; None for parameters, what is made of them, and buffers."
    outputs: tuple[int, ...]


class Watch(ParameterCalls):
    """One forward pass: prints of what parameters meet."""

    def __init__(self, network: Network, examples: int):
        super().__init__(network.parameters.values())
        self.network = network
        self.examples = examples
        self.calls: list[Call] = []
        self.prints = Prints()
        self.names = dict(network.names)

    def run(self, x: Tensor, policy: BatchNormPolicy, grad: bool = False) -> Tensor:
        """The outputs for x, a row for each example."""
        devices = [x.device] if x.is_cuda else []
        with torch.set_grad_enabled(grad), torch.random.fork_rng(devices), self, policy:
            torch.manual_seed(0)  # a network that draws noise draws the same every time
            outputs = self.network.model(x.clone())
        return flattened(outputs, len(x))

    def use(
        self,
        func: Function,
        args: Sequence[Any],
        kwargs: Mapping[str, Any],
        tensors: Sequence[Tensor],
    ) -> Any:
        buffers = self.network.buffers
        names = [self.names.get(id(t), "" if id(t) in buffers else None) for t in tensors]
        # Taken before the call, which may change its arguments in place.
        inputs = tuple(
            self.prints.take(t) if name is None else None
            for t, name in zip(tensors, names, strict=True)
        )
        outputs = func(*args, **kwargs)
        found = [t for t in tree_leaves(outputs) if isinstance(t, Tensor)]
        kind: Literal["layer", "derived", "spread"] = "layer"
        if None not in names:
            kind = "derived"
            if func in SPREADING and self._spreads(outputs, tensors[0]):
                kind = "spread"
            else:
                self.derive(outputs)
                number = len(self.calls)
                self.names |= {id(t): f"{DERIVED}{number}.{k}" for k, t in enumerate(found)}
        self.measure(func, tensors, names, found)
        prints = tuple(self.prints.take(self.other(t)) for t in found)
        self.calls.append(Call(func, kind, func in self.network.layers, inputs, prints))
        return outputs

    def measure(
        self,
        func: Function,
        tensors: Sequence[Tensor],
        names: Sequence[str | None],
        outputs: Sequence[Tensor],
    ) -> None:
        """What the first pass asks of a call."""

    def _spreads(self, output: Tensor, parameter: Tensor) -> bool:
        """Whether a parameter is repeated once for each example, as a class token is."""
        return len(output) == self.examples and (
            output.numel() == self.examples * parameter.numel()
        )


class Measure(Watch):
    """A watch that also takes the amounts of the pass's work."""

    def __init__(self, network: Network, examples: int):
        super().__init__(network, examples)
        self.uses: dict[str, int] = {}
        self.kept: dict[str, int] = {}
        self.weights: list[tuple[int, int, int]] = []
        self.bytes = self.widest = self.functions = self.macs = 0
        self.rich = False

    def other(self, value: Any) -> Any:
        self.functions += 1
        if isinstance(value, Tensor) and not value._is_view():
            self.bytes += value.nbytes
            self.widest = max(self.widest, value.nbytes)
        return value

    def measure(
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
            self.uses[name] = self.uses.get(name, 0) + 1
            least = min(tensor.nbytes, factors) if func in self.network.layers else tensor.nbytes
            self.kept[name] = self.kept.get(name, 0) + least
        if func not in CONTRACTING:
            self.macs += sum(t.numel() for t in outputs)
            return
        image, weight = tensors[0], tensors[1]
        outs, numbers = len(weight), weight.numel()
        positions = (image if CONTRACTING[func] else outputs[0]).numel() // outs
        self.weights.append((outs, numbers // outs, positions // n))
        self.macs += numbers * positions
        self.rich |= func is F.conv2d and image.shape[1] >= RICH


SPREADING = frozenset({Tensor.expand, Tensor.repeat, torch.broadcast_to, Tensor.broadcast_to})
# Functions that multiply a weight (o x a) at every position; whether positions are the input's.
CONTRACTING: dict[Function, bool] = {
    F.linear: False,
    **dict.fromkeys((F.conv1d, F.conv2d, F.conv3d), False),
    **dict.fromkeys((F.conv_transpose1d, F.conv_transpose2d, F.conv_transpose3d), True),
}
