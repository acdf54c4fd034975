"""The layers of one forward pass, in the order of the program, and what they use of each other."""

from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.utils._pytree import tree_leaves
from torch.utils.weak import WeakTensorKeyDictionary

from untrained.inspection.signal import Backward, Signal, backward_of, signal_of
from untrained.inspection.slope import Slope, slope_of
from untrained.inspection.trunk import INPUT
from untrained.networks.maps import RESHAPING

MOVING = RESHAPING | {
    *("to", "float", "double", "half", "bfloat16", "type", "type_as", "requires_grad"),
    *("cat", "concat", "concatenate", "stack", "hstack", "vstack", "pad", "roll", "flip"),
    *("unfold", "fold", "repeat", "repeat_interleave", "pixel_shuffle", "pixel_unshuffle"),
    *("setitem", "channel_shuffle", "rot90", "gather", "zero", "copy"),
}
"Functions that put entries elsewhere, beside each other, or in another type: no layers."
ACROSS = ("conv", "batch_norm", "group_norm", "instance_norm")
"Begin the names of functions whose units are the second dimension."
ALONG = frozenset({"linear", "layer_norm", "rms_norm", "matmul", "einsum"})
"Functions whose units are the last."


class Seen(NamedTuple):
    """One layer, as it was called."""

    module: str
    "Path of the innermost module that called it."
    whole: bool
    "Whether that module has no parts of its own."
    operation: str
    shape: tuple[int, ...]
    sources: frozenset[int]
    "Numbers of the layers whose outputs it used, or `INPUT`."
    parameters: tuple[str, ...]
    "Names of those that it used."
    axis: int
    "Dimension of its output that counts units."
    signal: Signal
    slope: Slope | None
    "If it acts entry by entry, without being linear."


class Call(NamedTuple):
    """What is known of a call before it gives anything."""

    module: str
    whole: bool
    operation: str
    sources: frozenset[int]
    parameters: Iterable[str]
    entered: Tensor | None
    "A copy of the only tensor that enters."
    again: Callable[[Tensor], Any]
    "The same call on another tensor in its place."


class Ledger:
    """Notes layers, and later the gradients that come back to their outputs."""

    def __init__(self, n: int, generator: torch.Generator, doubled: int | None = None):
        self.n, self.generator = n, generator
        self.doubled = doubled
        "Number of a layer whose output is passed on twice as large."
        self.layers: list[Seen] = []
        self.gradients: dict[int, Backward] = {}
        self.listening = True
        "Whether gradients that come back are noted."
        self._made = WeakTensorKeyDictionary()  # tensor -> the layers that it holds outputs of
        self._known: dict[tuple[int, int], Tensor] = {}  # by memory and its version

    def enter(self, x: Tensor) -> None:
        """From now on this tensor is the images."""
        self.follow([x], frozenset({INPUT}))

    def end(self, outputs: Tensor) -> frozenset[int]:
        """The layers that the outputs come from; tensors are let go."""
        self._known.clear()
        return self._made.get(outputs, frozenset())

    def know(self, tensors: Iterable[Tensor]) -> None:
        """What has the same memory, unchanged, is nothing new."""
        for t in tensors:
            self._known.setdefault(_memory(t), t)

    def follow(self, tensors: Sequence[Tensor], sources: frozenset[int]) -> None:
        """From now on these hold outputs of these layers."""
        for t in tensors:
            self._made[t] = sources
        self.know(tensors)

    def sources(self, tensors: Iterable[Tensor]) -> frozenset[int]:
        """The layers that tensors come from; what was made unseen comes from the last one."""
        found = frozenset[int]()
        for t in tensors:
            if t in self._made:
                found |= self._made[t]
            elif t.requires_grad:
                found |= {len(self.layers) - 1}
        return found

    def note(self, call: Call, result: Any) -> Any:
        """Makes a layer of a call if it is one; returns what the network shall go on with."""
        given = [t for t in tree_leaves(result) if isinstance(t, Tensor)]
        new = [t for t in given if t.is_floating_point() and _memory(t) not in self._known]
        if call.operation in MOVING or not call.sources or not new or new[0].numel() < self.n:
            self.follow(given, call.sources)
            return result
        number = len(self.layers)
        if number == self.doubled and isinstance(result, Tensor):
            result = 2 * result
            given = new = [result]
        self.follow(given, frozenset({number}))
        self.layers.append(self._seen(call, new[0]))
        if new[0].requires_grad:
            new[0].register_hook(lambda gradient: self._came_back(number, gradient))
        return result

    def _seen(self, call: Call, output: Tensor) -> Seen:
        axis = self._axis(call, output)
        slope = None
        with torch._C.DisableTorchFunction():  # of policies that are still in force
            if call.entered is not None and call.entered.shape == output.shape:
                slope = slope_of(call.again, call.entered, axis, self.generator)
            signal = signal_of(output, self.n)
        shape, parameters = tuple(output.shape), tuple(sorted(call.parameters))
        return Seen(*call[:3], shape, call.sources, parameters, axis, signal, slope)

    def _axis(self, call: Call, output: Tensor) -> int:
        """The dimension of units: of channels for maps, of features for vectors and tokens."""
        if call.operation.startswith(ACROSS):
            return 1
        if call.operation in ALONG:
            return output.ndim - 1
        before = [self.layers[k] for k in sorted(call.sources) if k != INPUT]
        alike = [seen.axis for seen in before if len(seen.shape) == output.ndim]
        return alike[-1] if alike else output.ndim - 1 if output.ndim == 3 else 1

    def _came_back(self, number: int, gradient: Tensor) -> None:
        if self.listening:
            self.gradients[number] = backward_of(gradient, self.n)


def _memory(tensor: Tensor) -> tuple[int, int]:
    return tensor.untyped_storage()._cdata, tensor._version
