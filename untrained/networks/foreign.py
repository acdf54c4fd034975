"""What a network's own code raises: anything at all, and here alone made one line."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor

_ACCELERATOR = getattr(torch, "AcceleratorError", torch.cuda.OutOfMemoryError)  # from torch 2.8 on
DEVICE_ERRORS = (MemoryError, torch.cuda.OutOfMemoryError, _ACCELERATOR)
"Of memory, or of a GPU: not the fault of a network or a method, and never taken for it."


def first_line(error: BaseException) -> str:
    """What an error says, in one line; its kind, where it says nothing."""
    return next((line for line in str(error).splitlines() if line.strip()), type(error).__name__)


@contextmanager
def foreign(x: Tensor) -> Iterator[None]:
    """Inside, whatever a network raises on being shown x is a ValueError; `DEVICE_ERRORS` stay."""
    try:
        yield
    except (ValueError, *DEVICE_ERRORS):
        raise
    except Exception as error:
        raise ValueError(
            f"the network does not take inputs of shape {tuple(x.shape)} and type {x.dtype}: "
            f"{first_line(error)}"
        ) from error
