"""How torch computes inside our passes: as a network itself says, whoever calls.

In full float32, where torch may round the factors of products to TF32 (three digits) or bfloat16
(two); and recurrent layers without cuDNN, which cannot differentiate them in evaluation mode.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel

from untrained.networks.recomputing import none_left_out

_BACKENDS: Any = torch.backends
BY_OPERATION = hasattr(_BACKENDS, "fp32_precision")
"""From torch 2.9 on each operation of a backend has a precision; before, two flags for CUDA.

The flags, once some operation has a precision of its own, raise an error when they are read.
"""


def _operations() -> tuple[Any, ...]:
    if not BY_OPERATION:
        return ()
    cpu: Any = _BACKENDS.mkldnn
    operations = (cpu.matmul, cpu.conv, cpu.rnn)
    if not _BACKENDS.cuda.is_built():
        return operations
    return (*operations, _BACKENDS.cuda.matmul, _BACKENDS.cudnn.conv, _BACKENDS.cudnn.rnn)


OPERATIONS = _operations()
"Those that a precision is set for, of the backends that this torch is built with."
PRECISIONS = (_BACKENDS, _BACKENDS.cudnn, _BACKENDS.mkldnn, *OPERATIONS) if BY_OPERATION else ()
"All that a precision is set for: what is nearer to the operation holds."
FULL = frozenset({"ieee", "none"})
"`none` is torch's own default, which is full float32."


@contextmanager
def as_written(x: Tensor) -> Iterator[None]:
    """Inside, autograd applies to a network that is shown x as the network itself says.

    Inference tensors have no versions, by which changes in place are noticed; autocast around the
    call would round the products too.
    """
    kind = x.device.type
    rounds = torch.amp.is_autocast_available(kind) and torch.is_autocast_enabled(kind)
    full = torch.autocast(kind, enabled=False) if rounds else nullcontext()
    with torch.inference_mode(False), full, none_left_out():
        yield


@contextmanager
def exact_backends(modules: Sequence[nn.Module]) -> Iterator[None]:
    """Inside, a network of these modules computes in full float32 and can be differentiated."""
    cudnn = _BACKENDS.cudnn.enabled
    if recurrent := any(isinstance(module, nn.RNNBase) for module in modules):
        _BACKENDS.cudnn.enabled = False
    try:
        with full_float32():
            yield
    finally:
        if recurrent:
            _BACKENDS.cudnn.enabled = cudnn


@contextmanager
def unfused_attention() -> Iterator[None]:
    """Inside, attention is plain products, and not one operation, nor a whole layer one."""
    fast = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        with sdpa_kernel(SDPBackend.MATH):
            yield
    finally:
        torch.backends.mha.set_fastpath_enabled(fast)


@contextmanager
def full_float32() -> Iterator[None]:
    """Inside, the factors of float32 products are not rounded."""
    if not BY_OPERATION:
        with _without_tf32():
            yield
        return
    rounded = [each for each in OPERATIONS if each.fp32_precision not in FULL]
    kept = [(each, _own(each)) for each in rounded]
    for each in rounded:
        each.fp32_precision = "ieee"
    try:
        yield
    finally:
        for each, own in kept:
            each.fp32_precision = own


def _own(operation: Any) -> str:
    """Of the operation itself: `none` where it has that of its backend, or of all."""
    shown: str = operation.fp32_precision
    operation.fp32_precision = "none"
    return "none" if operation.fp32_precision == shown else shown


@contextmanager
def _without_tf32() -> Iterator[None]:
    kept = torch.get_float32_matmul_precision(), _BACKENDS.cudnn.allow_tf32
    torch.set_float32_matmul_precision("highest")  # CUDA's allow_tf32 has two of its three values
    _BACKENDS.cudnn.allow_tf32 = False
    try:
        yield
    finally:
        torch.set_float32_matmul_precision(kept[0])
        _BACKENDS.cudnn.allow_tf32 = kept[1]
