"""What a network does with its parameters: which axes of a weight are inputs, and which outputs.

A shape does not tell: (8, 4) is a linear layer of 4 inputs in `F.linear(x, W)`, of 8 in `x @ W`,
and none at all in `x + W`. The calls of one forward pass do.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import product
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_leaves, tree_map_only

from untrained.networks.batchnorm import evaluating
from untrained.networks.borrowed import same_attributes
from untrained.networks.interception import Function, Interception
from untrained.networks.maps import (
    ENTRYWISE,
    LAYERS,
    MAPS,
    OTHER,
    RESHAPING,
    SCALING,
    UNCLEAR,
    Use,
    parts_of,
)
from untrained.networks.provenance import tensors_in
from untrained.networks.sites import name_of

Uses = dict[str, list[Use]]


def uses_on(model: nn.Module, x: Tensor, names: Sequence[str]) -> tuple[Uses, str]:
    """The uses of parameters of these names in one pass over x, and why it ended early, if so.

    The model is left as it was, and so is the random state.
    """
    parameters, x = dict(model.named_parameters(remove_duplicate=False)), x.clone()
    watch = _Watch({name: parameters[name] for name in names}, x)
    try:
        with _borrowed(model, x), torch.no_grad(), watch:
            model(x)
    except Exception as error:  # anybody's network; what was seen until then is true
        return watch.uses, f"{type(error).__name__}: {error}"
    return watch.uses, ""


@contextmanager
def _borrowed(model: nn.Module, x: Tensor) -> Iterator[None]:
    """A network in evaluation mode, which is left as it was, as is the random state."""
    devices = [x.device] if x.is_cuda else []
    with same_attributes(model), evaluating(model), torch.random.fork_rng(devices):
        yield


def has_influence(model: nn.Module, x: Tensor, name: str) -> bool:
    """Whether the outputs for x depend on a parameter, by a backward pass; True if that fails."""
    parameter = model.get_parameter(name)
    try:
        with _borrowed(model, x), torch.enable_grad():
            outputs = [t for t in tree_leaves(model(x.clone())) if isinstance(t, Tensor)]
            total = torch.stack([t.sum().real for t in outputs if t.requires_grad]).sum()
            return torch.autograd.grad(total, parameter, allow_unused=True)[0] is not None
    except Exception:  # anybody's network
        return True


def uses_alone(model: nn.Module, name: str) -> list[Use]:
    """The uses of one parameter when the module that has it is tried on inputs that may fit.

    Of the modules around it, innermost first, the first that use it on inputs of sizes that its
    parameters have: in the first pass that succeeds or, where sizes never fit as those of images
    often do not, in what passes do until they fail. Empty if there are none.
    """
    path = name.split(".")[:-1]
    # A vector is a scale or a slope unless its own module says more.
    least = len(path) if model.get_parameter(name).ndim < 2 else 0
    for depth in range(len(path), least - 1, -1):
        prefix = ".".join(path[:depth])
        module, inner = model.get_submodule(prefix), name[len(prefix) + 1 if prefix else 0 :]
        owner = module.get_submodule(".".join(path[depth:]))
        seen: list[Use] = []
        for x in _inputs([*owner.parameters(recurse=False), *module.parameters()]):
            uses, failure = uses_on(module, x, [inner])
            found = uses.get(inner, [])
            if found and not failure:
                return found
            _add(seen, found)
        if seen:
            return seen
    return []


def _add(known: list[Use], found: Sequence[Use]) -> None:
    known += [use for use in found if not any(use.same(other) for other in known)]


BATCH = 7
"Examples of an input that is tried: a number that no other size is likely to be."


def _inputs(parameters: Sequence[Tensor]) -> Iterator[Tensor]:
    """Vectors, sequences of them, signals, images and words, in sizes that parameters have."""
    like, sizes = parameters[0], dict.fromkeys(size for p in parameters for size in p.shape)
    few = [size for size in sizes if size > 1][:6]
    for d in few:
        for shape in ((d,), (5, d), (d, 16), (d, 16, 16)):
            yield like.new_ones((BATCH, *shape))
    yield torch.zeros(BATCH, 5, dtype=torch.long, device=like.device)
    for pair in product(few, repeat=2):
        yield like.new_ones((BATCH, *pair))


class _Watch(Interception):
    """Follows parameters through changes of shape to the calls where they meet the examples."""

    def __init__(self, parameters: Mapping[str, Tensor], x: Tensor):
        super().__init__()
        self.uses: Uses = {}
        # By id, with the tensors themselves: a freed tensor's id may come again.
        self.examples: dict[int, Tensor] = {id(x): x}
        self.made: dict[int, tuple[Tensor, frozenset[str], Tensor | None]] = {}
        for name, p in parameters.items():
            index = torch.arange(p.numel(), device=p.device).view(p.shape)
            shared = self.made[id(p)][1] if id(p) in self.made else frozenset[str]()
            self.made[id(p)] = p, shared | {name}, index

    def call(self, func: Function, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Any:
        tensors = [*tensors_in(args), *tensors_in(kwargs.values())]
        ours = [t for t in tensors if id(t) in self.made]
        meets = any(id(t) in self.examples for t in tensors)
        name = name_of(func).strip("_")
        if ours and not meets:  # a token that a layer sees is an example like others
            meets = name in LAYERS and [id(t) for t in ours] == [id(t) for t in args[:1]]
        if ours and (meets or (len(ours) > 1 and name in MAPS)):
            self.meet(name, args, kwargs, ours)
        result = func(*args, **kwargs)
        found = [t for t in tree_leaves(result) if isinstance(t, Tensor)]
        if meets:
            changed = [args[0]] if name == "setitem" else []
            self.examples |= {id(t): t for t in [*found, *changed]}
        elif ours:
            self.derive(name, func, args, kwargs, result)
        return result

    def derive(
        self,
        name: str,
        func: Function,
        args: Sequence[Any],
        kwargs: Mapping[str, Any],
        result: Any,
    ) -> None:
        """From now on, what was made of parameters alone is known, and where its entries lie."""
        found = [t for t in tree_leaves(result) if isinstance(t, Tensor)]
        tensors = [*tensors_in(args), *tensors_in(kwargs.values())]
        sources = [self.made[id(t)] for t in tensors if id(t) in self.made]
        names = frozenset[str]().union(*(source[1] for source in sources))
        indices: list[Tensor | None] = [None] * len(found)
        if len(sources) == 1 and (index := sources[0][2]) is not None:
            if name in RESHAPING:
                args, kwargs = tree_map_only(
                    Tensor, lambda t: index if t is sources[0][0] else t, (args, kwargs)
                )
                again = func(*args, **kwargs)
                indices = [t for t in tree_leaves(again) if isinstance(t, Tensor)]
            elif name in SCALING and found[0].shape == index.shape:
                indices = [index]
        for t, index in zip(found, indices, strict=True):
            self.made[id(t)] = t, names, index

    def meet(
        self, name: str, args: Sequence[Any], kwargs: Mapping[str, Any], ours: Sequence[Tensor]
    ) -> None:
        """Notes how each parameter in a call with examples is used."""
        try:
            parts = {id(tensor): part for tensor, part in parts_of(name, args, kwargs)}
        except (TypeError, ValueError, KeyError, IndexError):  # called as no formula foresees
            parts = {id(t): UNCLEAR for t in ours}
        for t in ours:
            _, names, index = self.made[id(t)]
            part = parts.get(id(t), OTHER if name in ENTRYWISE else UNCLEAR)
            for source in names:
                _add(self.uses.setdefault(source, []), [part.use(index)])
