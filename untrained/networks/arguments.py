"""What may be asked of a kernel: parameters by selection, inputs that are fit for it."""

from collections.abc import Callable, Iterable, Mapping
from functools import reduce
from math import isfinite

import torch
from torch import Tensor, nn

from untrained.networks.choices import Named

Selection = Named | Callable[[str, nn.Parameter], bool]


def check_inputs(x1: Tensor, x2: Tensor | None, batchnorm: str) -> None:
    """Refuses batches that no kernel can be made of.

    Raises:
        ValueError: no example, NaN or infinity, a second batch that is not like the first, or any
            under `batch`.
    """
    for name, x in (("x1", x1), ("x2", x2)):
        if x is None:
            continue
        if not isinstance(x, Tensor) or x.ndim == 0 or not len(x):
            got = tuple(x.shape) if isinstance(x, Tensor) else type(x).__name__
            raise ValueError(f"expected {name} as a tensor of one example or more, got {got}")
        if x.is_floating_point() and not _finite(x):
            bad = (~torch.isfinite(x)).reshape(len(x), -1).any(1)
            raise ValueError(
                f"{name} holds NaN or infinity in {int(bad.sum())} of {len(x)} examples, first in "
                f"number {int(bad.nonzero()[0])}: expected finite inputs; leave these out"
            )
    if x2 is None:
        return
    if batchnorm == "batch":
        raise ValueError(
            "batchnorm='batch' couples the examples of one batch: expected x2=None, got a second "
            "batch; use 'frozen' or 'running'"
        )
    if x1.shape[1:] != x2.shape[1:] or x1.dtype != x2.dtype:
        raise ValueError(
            f"expected x2 like x1, of examples {tuple(x1.shape[1:])} in {x1.dtype}, got "
            f"{tuple(x2.shape[1:])} in {x2.dtype}"
        )


def _finite(x: Tensor) -> bool:
    """Whether no number is NaN or infinite; a sum that is finite says so at once."""
    return isfinite(x.detach().sum()) or bool(torch.isfinite(x).all())


def chosen_parameters(model: nn.Module, parameters: Selection) -> dict[str, nn.Parameter]:
    """The trainable parameters that are chosen, by name, in the order of the model.

    Raises:
        ValueError: an unknown word, or no parameter.
    """
    head = f"{_head(model)}." if parameters == "weights_below_head" else ""
    keep: dict[str, Callable[[str, nn.Parameter], bool]] = {
        "all": lambda name, parameter: True,
        "weights": lambda name, parameter: "weight" in name,
        "weights_below_head": lambda name, parameter: (
            "weight" in name and not name.startswith(head)
        ),
    }
    if isinstance(parameters, str) and parameters not in keep:
        raise ValueError(
            f"unknown parameters: expected {', '.join(map(repr, keep))} or a function of name and "
            f"parameter, got {parameters!r}"
        )
    wanted = keep[parameters] if isinstance(parameters, str) else parameters
    chosen = {
        name: parameter
        for name, parameter in model.named_parameters()
        if parameter.requires_grad and wanted(name, parameter)
    }
    if not chosen:
        raise ValueError(
            f"the NTK needs parameters: expected at least one trainable parameter selected by "
            f"{parameters!r}, got none"
        )
    return chosen


def _head(model: nn.Module) -> str:
    """The name of the last linear layer."""
    linear = [name for name, module in model.named_modules() if isinstance(module, nn.Linear)]
    if not linear or not linear[-1]:
        raise ValueError(
            "expected a network with layers below its last linear one, got "
            + ("a linear layer alone" if linear else "none that is linear")
            + "; use parameters='weights'"
        )
    return linear[-1]


def finest(chosen: Mapping[str, nn.Parameter]) -> Tensor:
    """An empty tensor of the finest type that a parameter has, real, on the first's device."""
    dtypes = [p.dtype.to_real() for p in chosen.values()]
    device = next(iter(chosen.values())).device
    return torch.empty(0, dtype=reduce(torch.promote_types, dtypes), device=device)


def coarsest(tensors: Iterable[Tensor]) -> torch.dtype:
    """The type, of those of tensors that are no counts, that rounds most."""
    dtypes = {t.dtype for t in tensors if t.is_floating_point() or t.is_complex()}
    return max(dtypes, key=lambda dtype: torch.finfo(dtype).eps)


def plain(x: Tensor) -> Tensor:
    """x without a history of gradients, or of inference."""
    return x.clone() if x.is_inference() else x.detach()
