"""Products of float32 in full, where torch may round their factors to TF32 or bfloat16."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch

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
def full_float32() -> Iterator[None]:
    """Inside, products of float32 are not rounded to TF32 (three digits) or bfloat16 (two)."""
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
    matmul, cudnn = _BACKENDS.cuda.matmul, _BACKENDS.cudnn
    kept = matmul.allow_tf32, cudnn.allow_tf32
    matmul.allow_tf32 = cudnn.allow_tf32 = False
    try:
        yield
    finally:
        matmul.allow_tf32, cudnn.allow_tf32 = kept
