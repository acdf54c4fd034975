"""The kernel from forward and backward passes of whole batches, without the n x p Jacobian.

Where examples do not influence each other, the gradient of sum_i g_q(x_i) with respect to a
layer's output holds each example's own gradient D_i. With the layer's input it gives that
example's rows of J (see `layers`), and those a share of the kernel,

    Theta[i, j] += J_i . J_j      from the rows J_i of this parameter, a part of them at a time, or
    Theta[i, j] += sum_{t, t'} (A_i[t] . A_j[t']) (D_i[t] . D_j[t'])

whichever is cheaper, as soon as the gradient is there. So n examples cost about as much as one
training step. A call that has no formula gets its rows from the call alone (see `operation`).

Source: Goodfellow, "Efficient Per-Example Gradient Computations", 2015,
https://arxiv.org/abs/1510.01799; Rochette et al., 2019, https://arxiv.org/abs/1912.06015; Novak
et al., "Fast Finite Width Neural Tangent Kernel", ICML 2022, https://arxiv.org/abs/2206.08720.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_leaves, tree_map

from untrained.kernels.batchnorm import BatchNormPolicy
from untrained.kernels.collector import Collector, Derivation
from untrained.kernels.interception import Function
from untrained.kernels.layers import LAYERS, Layer, operation, spread
from untrained.kernels.operation import Operation
from untrained.kernels.places import Unstructured
from untrained.kernels.readout import Readout, flattened, read
from untrained.kernels.sites import DERIVED, ParameterCalls, Site, name_of


def structured(
    model: nn.Module,
    chunks: Sequence[Tensor],
    readout: Readout,
    policy: BatchNormPolicy,
    sites: Sequence[Site],
    collector: Collector,
    columns: int,
) -> None:
    """Runs the passes over all chunks of examples, so many columns of the readout at a time.

    Raises:
        Unstructured: the network does not do what it did when it was surveyed, or changes the
            input of a layer in place.
    """
    for start in range(0, readout.columns, columns):
        collector.begin(range(readout.columns)[start : start + columns])
        for index, x in enumerate(chunks):
            run_pass(model, x, readout, policy, Recorder(model, sites, len(x), collector, index))
        collector.finish_all()


def run_pass(
    model: nn.Module, x: Tensor, readout: Readout, policy: BatchNormPolicy, recorder: "Recorder"
) -> None:
    """One forward pass, and a backward pass for each column of the readout."""
    with constant_parameters(model), torch.enable_grad():
        with recorder, policy:
            f = flattened(model(x.clone()), len(x))
        recorder.check_end()
        g = read(f, readout.matrix)
        columns = recorder.collector.columns
        for q in columns if g.requires_grad else ():  # else no parameter reaches the output
            recorder.q = q
            torch.autograd.grad(
                g[:, q].sum(), recorder.leaves, retain_graph=q != columns[-1], allow_unused=True
            )
            recorder.flush()
        recorder.leaves.clear()  # whose hooks hold the recorder: a cycle that would hold them all


@contextmanager
def constant_parameters(model: nn.Module) -> Iterator[None]:
    """No parameter requires a gradient for the time of the block."""
    flags = [(p, p.requires_grad) for p in model.parameters()]
    for p, _ in flags:
        p.requires_grad_(False)
    try:
        yield
    finally:
        for p, flag in flags:
            p.requires_grad_(flag)


class Recorder(ParameterCalls):
    """Hooks the output of every call that uses a parameter asked for."""

    def __init__(
        self,
        model: nn.Module,
        sites: Sequence[Site],
        examples: int,
        collector: Collector,
        chunk: int,
    ):
        super().__init__(model.parameters())
        self.sites = sites
        self.examples = examples
        self.collector = collector
        self.chunk = chunk
        self.names = dict(collector.names)
        self.leaves: list[Tensor] = []
        self.pending: dict[int, tuple[Operation, dict[int, Tensor], int]] = {}
        "Calls without a formula: site -> the call, its outputs' gradients, how many there are."
        self.site = 0
        self.q = 0

    def use(
        self,
        func: Function,
        args: Sequence[Any],
        kwargs: Mapping[str, Any],
        tensors: Sequence[Tensor],
    ) -> Any:
        index, site = self._next(func)
        wanted = {id(t) for t in tensors} & self.names.keys()
        if site.kind == "derived":
            outputs = func(*args, **kwargs)
            self.derive(outputs)
            if wanted:
                self._derived(index, operation(site, 1, func, args, kwargs, wanted), outputs)
            return outputs
        if not wanted:
            return func(*args, **kwargs)
        if site.kind == "spread":
            return self._layer(index, spread(self.examples, func, args, kwargs))
        try:
            layer = LAYERS[func](site, self.examples, *args, **kwargs)
        except (KeyError, Unstructured):  # falls back for this call alone
            call = operation(site, self.examples, func, args, kwargs, wanted)
            return self._operation(index, site, call, func(*args, **kwargs))
        return self._layer(index, layer)

    def _next(self, func: Function) -> tuple[int, Site]:
        """The site that this call is at."""
        index, name = self.site, name_of(func)
        if index >= len(self.sites) or self.sites[index].name != name:
            raise Unstructured("the network's program is not that of its survey")
        self.site += 1
        return index, self.sites[index]

    def check_end(self) -> None:
        """Refuses a program that ended before its survey did."""
        if self.site != len(self.sites):
            raise Unstructured("the network's program is not that of its survey")

    def _derived(self, index: int, call: Operation, outputs: Any) -> None:
        """What is made of parameters alone has rows of its own, to be pulled back to theirs."""
        found = [t for t in tree_leaves(outputs) if isinstance(t, Tensor)]
        sources = [self.names[id(call.leaves[k])] for k in call.wanted]
        for k, tensor in enumerate(found):
            name = f"{DERIVED}{index}.{k}"
            self.names[id(tensor)] = name
            others = [None] * k, [None] * (len(found) - k - 1)
            self.collector.derive(name, tensor.shape, Derivation(call, *others, sources))

    def _layer(self, index: int, layer: Layer) -> Tensor:
        output, kept, terms = layer  # the hook must not hold the output, which holds the hook
        output = self._leaf(output)
        version = kept._version
        pieces = [
            (name, term.gradient, self.collector.piece(name, (index, k), self.chunk, term.outer))
            for k, term in enumerate(terms)
            if (name := self.names.get(id(term.parameter))) is not None
        ]

        def add(d: Tensor) -> None:
            if kept._version != version:
                raise Unstructured("the input of a layer was changed in place")
            for name, gradient, piece in pieces:
                piece.add(self.q, gradient(d), last=self.q == self.collector.columns[-1])
                self.collector.arrived(name)

        output.register_hook(add)
        return self._guarded(output)

    def _operation(self, index: int, site: Site, call: Operation, outputs: Any) -> Any:
        places = iter(site.outputs)
        numbers = iter(range(len(site.outputs)))
        gradients: dict[int, Tensor] = {}
        self.pending[index] = call, gradients, len(site.outputs)

        def hooked(output: Any) -> Any:
            if not isinstance(output, Tensor):
                return output
            place, number = next(places), next(numbers)
            if not output.is_floating_point():
                return output
            if place is None:
                raise Unstructured("what a parameter gives does not depend on the example")
            output = self._leaf(output)

            def add(d: Tensor) -> None:
                gradients[number] = place.front(d, self.examples)

            output.register_hook(add)
            return self._guarded(output)

        return tree_map(hooked, outputs)

    def flush(self) -> None:
        """Rows of the calls without a formula, now that all their gradients are there."""
        for index, (call, gradients, outputs) in self.pending.items():
            if not gradients:
                continue
            rows = call.rows([gradients.get(k) for k in range(outputs)], self.examples)
            gradients.clear()
            for k, row in zip(call.wanted, rows, strict=True):
                name = self.names[id(call.leaves[k])]
                self.collector.piece(name, (index, k), self.chunk, None).add(self.q, row)
                self.collector.arrived(name)

    def _leaf(self, output: Tensor) -> Tensor:
        if not output.requires_grad:
            output.requires_grad_()
            self.leaves.append(output)
        return output

    def _guarded(self, output: Tensor) -> Tensor:
        """A network may change an output in place, which a leaf forbids."""
        return output.clone() if output.is_leaf else output
