"""Functions of parameters, and networks of several inputs, as modules of one batch.

The inputs of all examples are held, and examples go by number: f(i) = f(theta, inputs[i]). So all
that is known of modules that are shown one tensor holds of any f(theta, x).
"""

import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.utils import _pytree as trees

from untrained.networks.arguments import Selection, check_inputs
from untrained.networks.unwrapping import check_module

Inputs = Tensor | NDArray[Any] | tuple[Tensor, ...] | Mapping[str, Tensor] | Iterable[Any]
"""A batch, also NumPy's, mapped from a file or not; several, as arguments by place or by name; or
an iterable of batches, of which those in pairs, as data loaders give, are inputs and labels."""
Gathered = Tensor | tuple[Tensor, ...] | dict[str, Tensor]
"Inputs of all examples."
EXPECTED = "expected inputs as a tensor, a tuple or dictionary of tensors, or an iterable of these"


class Called(nn.Module):
    """A network or a function, called with the inputs of examples that it is given by number."""

    def __init__(
        self,
        model: Callable[..., Any],
        params: Any,
        inputs: Sequence[Tensor],
        names: Sequence[str] | None,
        select: Callable[[Any], Tensor] | None,
    ):
        super().__init__()
        self.network = model
        leaves, self.structure = trees.tree_flatten_with_path(() if params is None else params)
        self.leaves = [_slashed(path) for path, _ in leaves]
        self.params = nn.ParameterDict(zip(self.leaves, (leaf for _, leaf in leaves), strict=True))
        self.inputs, self.names, self.select = tuple(inputs), names, select

    def forward(self, rows: Tensor) -> Any:
        """The outputs of these examples."""
        chosen = [each[rows] for each in self.inputs]
        first = () if isinstance(self.network, nn.Module) else (self._params(),)
        if self.names is None:
            found = self.network(*first, *chosen)
        else:
            found = self.network(*first, **dict(zip(self.names, chosen, strict=True)))
        return found if self.select is None else self.select(found)

    @torch.no_grad()
    def write(self, params: Any) -> None:
        """Other parameters of the same structure."""
        for name, leaf in zip(self.leaves, trees.tree_leaves(params), strict=True):
            self.params[name].copy_(leaf)

    def _params(self) -> Any:
        return trees.tree_unflatten([self.params[name] for name in self.leaves], self.structure)


def in_words(model: nn.Module, x: Tensor) -> str:
    """The batch x as the network, or the function, is shown it."""
    shown = [each[x] for each in model.inputs] if isinstance(model, Called) else [x]
    return ", ".join(f"shape {tuple(each.shape)} and type {each.dtype}" for each in shown)


def own_name(name: str) -> str:
    """That which a parameter of `Called` has in its network, or in the structure of `params`."""
    where, _, rest = name.partition(".")
    return rest.replace("/", ".") if where == "params" else rest


def _slashed(path: Sequence[Any]) -> str:
    """The way through a structure, which as a parameter's name must hold no dot."""
    keys = (getattr(key, "key", getattr(key, "idx", getattr(key, "name", key))) for key in path)
    return "/".join(str(key).replace(".", "/") for key in keys) or "params"


@dataclass(frozen=True)
class Call:
    """What is asked of a function: its parameters, what of its outputs, where, how exactly."""

    params: Any = None
    "Tensors in any structure of dictionaries, lists and tuples; None for a module."
    select: Callable[[Any], Tensor] | None = None
    "The tensor of outputs, of what is returned; None where that is one."
    dtype: torch.dtype | None = None
    "To compute in; None is that of the network."
    device: torch.device | str | None = None
    "To compute on; None is that of the network."

    def on(
        self, model: Callable[..., Any], x1: Inputs, x2: Inputs | None
    ) -> tuple[nn.Module, Tensor, Tensor | None]:
        """As `on_all`, of two batches or one."""
        called, batches = self.on_all(model, [x1] if x2 is None else [x1, x2])
        return called, batches[0], None if x2 is None else batches[1]

    def on_all(
        self, model: Callable[..., Any], batches: Sequence[Inputs]
    ) -> tuple[nn.Module, list[Tensor]]:
        """A module, and batches that it is to be shown: itself and its own where these will do.

        Raises:
            ValueError: a function without parameters, a module with them, or batches that do not
                fit each other.
        """
        if self.params is not None and isinstance(model, nn.Module):
            raise ValueError(
                "params: expected them beside a function f(params, x), got them beside a module; "
                "give lambda params, x: torch.func.functional_call(module, params, (x,))"
            )
        if self.params is None:
            check_module(model)
        if isinstance(model, nn.Module) and (self.dtype or self.device):
            model = deepcopy(model).to(device=self.device, dtype=self.dtype)
        found = [self.gathered(batch) for batch in batches]
        tensors = [each for each in found if isinstance(each, Tensor)]
        if isinstance(model, nn.Module) and self.select is None and len(tensors) == len(found):
            return model, tensors
        params = None if self.params is None else trees.tree_map(self._placed, self.params)
        names, held, counts = _joined(found)
        rows = torch.arange(len(held[0]), device=held[0].device)
        return Called(model, params, held, names, self.select), list(rows.split(counts))

    def gathered(self, x: Inputs) -> Gathered:
        """Inputs of all examples, where they are to be.

        Raises:
            ValueError: none, or what are no inputs.
        """
        if isinstance(x, Tensor | np.ndarray):
            return self._placed(x)
        if isinstance(x, tuple):
            return tuple(map(self._placed, x))
        if isinstance(x, Mapping):
            return {name: self._placed(each) for name, each in x.items()}
        if not isinstance(x, Iterable):
            raise ValueError(f"{EXPECTED}, got one of type {type(x).__name__}")
        batches = [self.gathered(_inputs(batch)) for batch in x]
        if not batches:
            raise ValueError("expected one batch or more, got none")
        return trees.tree_map(lambda *parts: torch.cat(parts), *batches)

    def _placed(self, x: Any) -> Any:
        if isinstance(x, np.ndarray):
            with warnings.catch_warnings():  # of files that are mapped to be read, as inputs are
                warnings.filterwarnings("ignore", "The given NumPy array is not writable")
                x = torch.from_numpy(x)
        if not isinstance(x, Tensor):
            raise ValueError(f"expected tensors, got one of type {type(x).__name__}")
        exact = self.dtype if x.is_floating_point() else None
        return x.to(device=self.device, dtype=exact)


def told_own_names(model: nn.Module, parameters: Selection) -> Selection:
    """A choice of parameters that is told the names which these have in their own network."""
    if isinstance(parameters, str) or not isinstance(model, Called):
        return parameters
    return lambda name, parameter: parameters(own_name(name), parameter)


def _inputs(batch: Any) -> Any:
    """Of a pair, as data loaders give, the first."""
    found = batch[0] if isinstance(batch, list | tuple) and len(batch) == 2 else batch
    if not isinstance(found, Tensor | tuple | Mapping):
        raise ValueError(f"{EXPECTED}, got batches of type {type(found).__name__}")
    return found


def _joined(
    batches: Sequence[Gathered],
) -> tuple[tuple[str, ...] | None, list[Tensor], list[int]]:
    """The inputs' names, all batches of each as one, and how many examples each batch has."""
    structure = trees.tree_flatten(batches[0])[1]
    parts: list[list[Tensor]] = []
    counts: list[int] = []
    for batch in batches:
        leaves, other = trees.tree_flatten(batch)
        if other != structure:
            raise ValueError("expected x2 of the same structure as x1, got another")
        found = {len(each) if each.ndim else 0 for each in leaves}
        if len(found) != 1 or 0 in found:
            raise ValueError(
                f"expected inputs of equally many examples, one or more, got {sorted(found)}"
            )
        parts.append(leaves)
        counts += found
    for first, *others in zip(*parts, strict=True):
        for other in others or [None]:
            check_inputs(first, other, "running")
    names = tuple(batches[0]) if isinstance(batches[0], dict) else None
    if len(parts) == 1:
        return names, parts[0], counts
    return names, [torch.cat(each) for each in zip(*parts, strict=True)], counts
