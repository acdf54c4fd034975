"""How much memory there is, and which errors say that it ran out.

Any subpackage may import this; it imports none.
"""

import errno
import os
import re
import resource
from contextlib import suppress
from pathlib import Path

import torch

_ALLOCATOR = re.compile(
    r"\[enforce fail at alloc_cpu\.cpp:\d+\] .*DefaultCPUAllocator: "
    r"(can't allocate|not enough) memory: you tried to allocate \d+ bytes"
)
"""How torch's allocator on the CPU says that malloc failed. It raises a plain RuntimeError, which
no type tells apart from others; everything else does."""
_CUDA_OUT_OF_MEMORY = 2  # cudaErrorMemoryAllocation


def out_of_memory(error: BaseException) -> bool:
    """Whether an error says that memory ran out, by its type."""
    if isinstance(error, MemoryError | torch.cuda.OutOfMemoryError):
        return True
    if isinstance(error, OSError):
        return error.errno == errno.ENOMEM
    if type(error) is RuntimeError:
        with suppress(Exception):  # whatever its author made of `str`
            return _ALLOCATOR.match(str(error)) is not None
    accelerator = getattr(torch, "AcceleratorError", ())  # from torch 2.8 on
    return isinstance(error, accelerator) and (
        getattr(error, "error_code", None) == _CUDA_OUT_OF_MEMORY
    )


def memory_of(device: str) -> float:
    """Bytes that a process may use there at most."""
    if device.startswith("cuda"):
        return float(torch.cuda.get_device_properties(device).total_memory)
    machine = float(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"))
    limits = [limit for limit in resource.getrlimit(resource.RLIMIT_AS) if limit > 0]
    container = Path("/sys/fs/cgroup/memory.max")  # `max` where there is no limit
    with suppress(OSError, ValueError):
        limits.append(int(container.read_text(encoding="ascii")))
    return min([machine, *map(float, limits)])
