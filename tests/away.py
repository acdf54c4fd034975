"""A device that is not there: its tensors compute on the CPU, but never with the CPU's own.

`FakeTensorMode` cannot be used for this with a torch that is built without CUDA, whose autograd
asks for guards of the device; and it has no numbers, which the survey and the spectrum need. So
torch's hooks for backends written in Python stand in for a GPU.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves, tree_map
from torch.utils.backend_registration import _setup_privateuseone_for_python_backend

_setup_privateuseone_for_python_backend("away")  # for the rest of the process
DEVICE = torch.device("away", 0)

COPIES = {"_to_copy", "copy_"}
INDEXING = {"index", "index_put", "index_put_", "_index_put_impl_"}
"May take indices from the CPU, as on CUDA."


class Away(Tensor):
    """A tensor on the device; its numbers are in `here`."""

    here: Tensor

    @staticmethod
    def __new__(cls, here: Tensor) -> "Away":
        made = Tensor._make_wrapper_subclass(
            cls, here.shape, strides=here.stride(), storage_offset=here.storage_offset(),
            dtype=here.dtype, layout=here.layout, device=DEVICE,
        )  # fmt: skip
        made.here = here
        return made

    def tolist(self) -> Any:
        return self.here.tolist()

    def new_tensor(self, data: Any, **kwargs: Any) -> Tensor:  # type: ignore[override]
        return torch.tensor(data, dtype=self.dtype, **kwargs).to(DEVICE)

    def as_subclass(self, kind: type[Tensor]) -> Tensor:  # type: ignore[override]
        return self  # an object is of one class; that of kernels adds words alone

    def __repr__(self) -> str:  # type: ignore[override]
        return f"Away({self.here!r})"

    __torch_function__ = torch._C._disabled_torch_function_impl  # type: ignore[assignment]

    @classmethod
    def __torch_dispatch__(  # type: ignore[override]
        cls, func: Any, types: Any, args: Sequence[Any] = (), kwargs: Any = None
    ) -> Any:
        return computed(func, args, kwargs or {})


class Machine(TorchDispatchMode):
    """Inside, tensors can be made on the device."""

    def __torch_dispatch__(
        self, func: Any, types: Any, args: Sequence[Any] = (), kwargs: Any = None
    ) -> Any:
        return computed(func, args, kwargs or {})


def computed(func: Any, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Any:
    """One operation, where its tensors and its `device` say."""
    tensors = [leaf for leaf in tree_leaves((args, kwargs)) if isinstance(leaf, Tensor)]
    away = [t for t in tensors if isinstance(t, Away)]
    name = func.__name__.partition(".")[0]
    strangers = [t for t in tensors if not isinstance(t, Away) and t.ndim]
    if name in INDEXING and isinstance(args[0], Away):
        strangers = []
    if away and strangers and name not in COPIES:
        raise RuntimeError(f"{name} of tensors on two devices, the CPU's {strangers[0].shape}")
    asked = kwargs.get("device")
    there = bool(away) if asked is None else torch.device(asked).type == DEVICE.type
    generators = [g for g in tree_leaves((args, kwargs)) if isinstance(g, torch.Generator)]
    if there and generators:
        raise RuntimeError(f"{name} on the device by a generator of the CPU")
    if name == "copy_":
        there = isinstance(args[0], Away)
    held = {id(t.here): t for t in away}
    kwargs = {**kwargs, "device": torch.device("cpu")} if asked is not None else kwargs
    plain = tree_map(lambda t: t.here if isinstance(t, Away) else t, (args, kwargs))
    made = func(*plain[0], **plain[1])

    def placed(t: Any) -> Any:
        if not isinstance(t, Tensor) or not there:
            return t
        return held.get(id(t)) if id(t) in held else Away(t)

    return tree_map(placed, made)


def _by_way_of_the_cpu(make: Callable[..., Tensor]) -> Callable[..., Tensor]:
    def made(data: Any, *, device: Any = None, **kwargs: Any) -> Tensor:
        if isinstance(data, Away) or device is None:
            return make(data, **kwargs) if device is None else data.to(device, **kwargs)
        return make(data, **kwargs).to(device)

    return made


for name in ("tensor", "as_tensor"):  # which make tensors below all modes
    setattr(torch, name, _by_way_of_the_cpu(getattr(torch, name)))
DEVICE_MODULE = torch.get_device_module(DEVICE)
DEVICE_MODULE.get_amp_supported_dtype = lambda: [torch.float16]
