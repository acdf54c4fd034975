"""One pass as its survey has it: hooks on every call that uses a parameter asked for.

Each hook turns the gradient D of the call's output into rows of J, or into what these are made
from, and hands them to the collector.
"""

from collections.abc import Mapping, Sequence
from itertools import count
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_map, tree_map_only

from untrained.layerwise.collector import CHANGED, Collector
from untrained.layerwise.derivation import Derivation
from untrained.layerwise.independence import flow, key_of
from untrained.layerwise.influence import Influence
from untrained.layerwise.layers import LAYERS, operation, spread
from untrained.layerwise.operation import Operation
from untrained.layerwise.terms import Layer
from untrained.networks.interception import Function
from untrained.networks.places import Place, Unstructured
from untrained.networks.provenance import tensors_in
from untrained.networks.sites import DERIVED, ParameterCalls, Site, guarded, name_of


class Recorder(ParameterCalls):
    """Hooks the output of every call that uses a parameter asked for.

    Calls that are understood take those parameters as constants: whatever else uses one leaves a
    trace in the graph of the outputs.
    """

    def __init__(
        self,
        parameters: Mapping[str, nn.Parameter],
        sites: Sequence[Site],
        examples: int,
        collector: Collector,
        chunk: int,
    ):
        self.constants = {
            id(p): p.detach() for p in parameters.values() if id(p) in collector.names
        }
        self.originals = {
            id(self.constants[id(p)]): p for p in parameters.values() if id(p) in self.constants
        }
        super().__init__((*parameters.values(), *self.constants.values()))
        self.sites = sites
        self.examples = examples
        self.collector = collector
        self.chunk = chunk
        self.names = {id(c): collector.names[key] for key, c in self.constants.items()}
        "Of what rows are asked for."
        self.labels = {id(p): name for name, p in parameters.items()}
        "Of all parameters, and of what is made of them."
        self.histories: dict[int, Tensor] = {}
        "Of what is made of parameters, by the ids of the constants that the network sees."
        self.roots: dict[int, dict[str, Tensor]] = {}
        "The parameters in these, and the leaves of their histories."
        self.leaves: list[Tensor] = []
        self.hooked: list[tuple[Place | None, object]] = []
        "Where outputs hold the examples, and their keys in a flow."
        self.pending: dict[int, Pending] = {}
        "Calls without a formula, by their sites."
        self.influence: Influence | None = None
        "Where the graph does not prove that examples are apart."
        self.site = 0
        self.q = 0

    def use(
        self,
        func: Function,
        args: Sequence[Any],
        kwargs: Mapping[str, Any],
        tensors: Sequence[Tensor],
    ) -> Any:
        """What the call gives, by a formula if there is one, with hooks that gather its rows."""
        index, site = self._next(func, tensors)
        args = [self._constant(each) for each in args]
        kwargs = {key: self._constant(each) for key, each in kwargs.items()}
        wanted = {id(self.constants.get(id(t), t)) for t in tensors} & self.names.keys()
        if not torch.is_grad_enabled():  # the network lets no gradient pass here
            wanted = set()
        if site.kind == "derived":
            return self._derived(index, func, args, kwargs)
        if not wanted:
            return func(*args, **kwargs)
        try:
            if site.kind == "spread":
                return self._layer(index, site, spread(site, self.examples, func, args, kwargs))
            layer = LAYERS[func](site, self.examples, *args, **kwargs)
            if not wanted <= {id(term.parameter) for term in layer.terms}:
                raise Unstructured("a formula for other parameters than those asked for")
        except (KeyError, Unstructured):  # falls back for this call alone
            call = operation(site, self.examples, func, args, kwargs, wanted)
            return self._operation(index, site, call, func(*args, **kwargs))
        return self._layer(index, site, layer)

    def _constant(self, value: Any) -> Any:
        if isinstance(value, Tensor):
            return self.constants.get(id(value), value)
        if isinstance(value, list | tuple) and any(isinstance(v, Tensor) for v in value):
            return type(value)(self._constant(each) for each in value)
        return value

    def _next(self, func: Function, tensors: Sequence[Tensor]) -> tuple[int, Site]:
        """The site that this call is at."""
        index = self.site
        if index < len(self.sites):
            site = self.sites[index]
            names = [self.labels.get(id(t)) for t in tensors]
            if site.name == name_of(func) and names == [name or None for name in site.parameters]:
                self.site += 1
                return index, site
        raise Unstructured(CHANGED)

    def check_end(self) -> None:
        """Refuses a program that ended before its survey did."""
        if self.site != len(self.sites):
            raise Unstructured(CHANGED)

    def apart(self, outputs: Tensor) -> bool:
        """Whether the graph of the outputs proves that examples are apart, as sites have them.

        Raises:
            Unstructured: it has a use of a parameter that was not seen.
        """
        shown = flow(outputs)
        for key in self.constants:
            if key in shown.leaves:
                name = self.collector.names[key]
                raise Unstructured(f"the use of parameter {name!r} was not understood")
        if self.examples == 1:
            return True
        hooked, self.hooked = self.hooked, []
        return shown.proven and all(
            place == shown.place(key) for place, key in hooked if key in shown.layouts
        )

    def check_influence(self) -> None:
        """Refuses examples that depend on each other, where that was compared."""
        if self.influence is not None:
            self.influence.check()

    def _derived(
        self, index: int, func: Function, args: Sequence[Any], kwargs: Mapping[str, Any]
    ) -> Any:
        """What is made of parameters alone: a constant for the network, of which we know how."""
        given = [*tensors_in((*args, *kwargs.values()))]
        tracked = {id(self._tracked(t)): (t, self._tracked(t)._version) for t in given}
        args, kwargs = tree_map_only(Tensor, self._tracked, (tuple(args), dict(kwargs)))
        numbers = count()
        roots = {name: leaf for t in given for name, leaf in self.roots.get(id(t), {}).items()}

        def constant(made: Any) -> Any:
            if not isinstance(made, Tensor):
                return made
            name = f"{DERIVED}{index}.{next(numbers)}"
            if id(made) in tracked:  # given back
                own, version = tracked[id(made)]
                if made._version != version:
                    raise Unstructured("a tensor made of parameters is changed in place")
                return self.originals.get(id(own), own)
            output = made.detach()
            self.derive(output)
            self.labels[id(output)] = name
            if made.requires_grad:
                self.names[id(output)] = name
                self.histories[id(output)] = made
                self.roots[id(output)] = roots
                self.collector.derivations[name] = Derivation(made, roots)
            return output

        return tree_map(constant, func(*args, **kwargs))

    def _tracked(self, tensor: Tensor) -> Tensor:
        """A parameter's constant, or what was made of such, with its history."""
        key = id(tensor)
        if key in self.names and key not in self.histories:
            leaf = self.histories[key] = tensor.detach().requires_grad_()
            self.roots[key] = {self.names[key]: leaf}
        return self.histories.get(key, tensor)

    def _layer(self, index: int, site: Site, layer: Layer) -> Tensor:
        output, kept, terms = layer  # the hook must not hold the output, which holds the hook
        (place,) = site.outputs
        output = self._begun(output, place)
        version = kept._version
        pieces = [
            (name, term.gradient, self.collector.piece(name, (index, k), self.chunk, term.outer))
            for k, term in enumerate(terms)
            if (name := self.names.get(id(term.parameter))) is not None
        ]

        def add(d: Tensor) -> None:
            if self._weighs((index, 0), place, d):
                return
            if kept._version != version:
                raise Unstructured("the input of a layer was changed in place")
            for name, gradient, piece in pieces:
                piece.add(self.q, gradient(d), last=self.q == self.collector.columns[-1])
                for take, share in self.collector.due(name):
                    take(share)

        output.register_hook(add)
        return guarded(output)

    def _operation(self, index: int, site: Site, call: Operation, outputs: Any) -> Any:
        places = iter(site.outputs)
        numbers = iter(range(len(site.outputs)))
        pending = self.pending[index] = Pending(call, site.outputs, {})

        def hooked(output: Any) -> Any:
            if not isinstance(output, Tensor):
                return output
            place, number = next(places), next(numbers)
            if not output.is_floating_point():
                return output
            if place is None:
                raise Unstructured("what a parameter gives does not depend on the example")
            output = self._begun(output, place)

            def add(d: Tensor) -> None:
                if not self._weighs((index, number), place, d):
                    pending.gradients[number] = d

            output.register_hook(add)
            return guarded(output)

        return tree_map(hooked, outputs)

    def _weighs(self, use: tuple[int, int], place: Place | None, d: Tensor) -> bool:
        """Whether a gradient is for the comparison alone; whatever is compared passes here."""
        if self.influence is None:
            return False
        if place is None:
            raise Unstructured("a layer's output does not depend on the example")
        column = self.collector.columns.index(self.q) if not self.influence.weighing else 0
        self.influence.take(use, place.front(d, self.examples), column)
        return self.influence.weighing

    def _begun(self, output: Tensor, place: Place | None) -> Tensor:
        if not output.requires_grad:
            output.requires_grad_()
            self.leaves.append(output)
        self.hooked.append((place, key_of(output)))
        return output

    def flush(self) -> None:
        """Rows of the calls without a formula, now that all their gradients are there."""
        for index, (call, places, gradients) in self.pending.items():
            if not gradients:
                continue
            rows = call.rows(gradients, places, self.examples)
            gradients.clear()
            for k, row in zip(call.wanted, rows, strict=True):
                name = self.names[id(call.whole[k])]
                self.collector.piece(name, (index, k), self.chunk, None).add(self.q, row)
                for add, share in self.collector.due(name):
                    add(share)


class Pending(NamedTuple):
    """A call without a formula, until its gradients are there."""

    call: Operation
    places: Sequence[Place | None]
    "Of the examples in its outputs."
    gradients: dict[int, Tensor]
    "D of each output that has one."
