"""Kernels that know how they were computed, and how far their eigenvalues can be trusted."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from jaxtyping import Float64
from torch import Tensor

from untrained.analysis.plan import Plan
from untrained.analysis.rounding import Rounding, carried


class Kernel(Tensor):
    """A kernel, with how it was computed; parts, multiples and sums of kernels are kernels.

    What is made of a kernel in a way that rounding cannot be followed through, or by way of other
    libraries, is a plain tensor, of which `spectrum` believes no more than float32 gives. A kernel
    that was changed in place in such a way resolves nothing.

    Example:
        >>> kernel = rounded(torch.eye(3, dtype=torch.float64), torch.float32)
        >>> type(kernel[:2, :2] / 10).__name__, type(kernel.exp()).__name__
        ('Kernel', 'Tensor')
    """

    plan: Plan
    "How it was computed, or the first kernel that it is made of; kernels of `nngp` have none."
    rounding: Rounding

    @property
    def resolution(self) -> float:
        """The share of the largest eigenvalue below which eigenvalues are rounding noise.

        Of a part of a kernel, the share of the largest entry of the whole if that is larger.
        """
        return self.rounding.share(len(self))

    @classmethod
    def __torch_function__(
        cls,
        func: Callable[..., Any],
        types: Sequence[type],
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        kwargs = kwargs or {}
        name = _name(func)
        with torch._C.DisableTorchFunctionSubclass():
            result = func(*args, **kwargs)
            target = _changed(name, args, kwargs, result)
            if target is not None:
                target.rounding = carried(name, args, kwargs, target) or _UNKNOWN
                return result
            if not isinstance(result, Tensor | tuple | list):
                return result
            found = carried(name, args, kwargs, result)
            return result if found is None else _wrapped(result, found, _plan(args))

    def __deepcopy__(self, memo: dict[int, Any]) -> "Kernel":
        copy = self.clone().as_subclass(Kernel)
        copy.__dict__.update(self.__dict__)
        memo[id(self)] = copy
        return copy


_UNKNOWN = Rounding(0.0, torch.finfo(torch.float64).eps, torch.inf)

# `torch.load` takes the classes that it knows.
torch.serialization.add_safe_globals([Kernel, Plan, Rounding])


def rounded(
    theta: Float64[Tensor, "n m"],
    factors: torch.dtype,
    entries: float = 0.0,
    plan: Plan | None = None,
) -> Kernel:
    """A kernel that was computed as J1 J2^T, without a copy.

    Args:
        theta: the products, summed in float64.
        factors: the type in which J was computed.
        entries: the rounding of the products, see `contraction.ROUNDING`.
        plan: how they were computed.
    """
    kernel = theta.as_subclass(Kernel)
    low, high = theta.detach().aminmax() if theta.numel() else (0.0, 0.0)
    size = max(-float(low), float(high))
    kernel.rounding = Rounding(
        torch.finfo(factors).eps,
        max(entries, torch.finfo(torch.float64).eps),
        size if size < torch.inf else torch.inf,
    )
    if plan is not None:
        kernel.plan = plan
    return kernel


def plain(kernel: Tensor) -> Float64[Tensor, "n m"]:
    """A kernel as a tensor in float64, without gradients or a memory of how it was computed."""
    return kernel.detach().as_subclass(Tensor).double()


def symmetric(kernel: Tensor) -> Float64[Tensor, "n n"]:
    """(K + K^T) / 2 as a plain tensor; K itself, if that is what it is.

    Raises:
        ValueError: the kernel is not square.
    """
    if kernel.ndim != 2 or kernel.shape[0] != kernel.shape[1]:
        raise ValueError(f"expected a square kernel, got shape {tuple(kernel.shape)}")
    k = plain(kernel)
    return k if torch.equal(k, k.T) else (k + k.T).div_(2)


def is_finite(k: Tensor) -> bool:
    """Whether no entry is NaN or infinite; without a copy."""
    return not k.numel() or all(torch.isfinite(extreme) for extreme in k.aminmax())


def _name(func: Callable[..., Any]) -> str:
    """A name of torch's; of an attribute that is read, `T`, and that is set, `T=`."""
    name = getattr(func, "__name__", str(func))
    if name not in ("__get__", "__set__"):
        return name
    attribute = getattr(func, "__self__", None)
    return getattr(attribute, "__name__", "") + ("=" if name == "__set__" else "")


def _changed(
    name: str, args: Sequence[Any], kwargs: Mapping[str, Any], result: Any
) -> Kernel | None:
    """The kernel that a call has changed in place."""
    if name == "__setitem__" or name.endswith("="):
        target = args[0]
    else:
        in_place = name.endswith("_") and not name.endswith("__")
        target = args[0] if in_place and args else kwargs.get("out")
    return target if isinstance(target, Kernel) else None


def _wrapped(result: Any, found: Rounding, plan: Plan | None) -> Any:
    """Matrices, and stacks of such, as kernels; rows and numbers as they are."""
    if isinstance(result, tuple | list):
        return type(result)(_wrapped(part, found, plan) for part in result)
    if not isinstance(result, Tensor) or result.ndim < 2 or not result.is_floating_point():
        return result
    if isinstance(result, Kernel):  # the very kernel that went in, such as of `cpu()`
        return result
    kernel = result.as_subclass(Kernel)
    kernel.rounding = found
    if plan is not None:
        kernel.plan = plan
    return kernel


def _plan(args: Sequence[Any]) -> Plan | None:
    """That of the first kernel."""
    for value in args:
        known = _plan(value) if isinstance(value, list | tuple) else getattr(value, "plan", None)
        if known is not None:
            return known
    return None
