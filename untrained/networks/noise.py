"""Networks that draw noise of their own draw the same in every pass that is compared."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor


@contextmanager
def same_noise(x: Tensor) -> Iterator[None]:
    """Inside, torch's default generators begin at one seed; afterwards they are as they were.

    Those of the CPU and of x's device, and no other: `torch.manual_seed` seeds every kind of
    device there may be, which takes longer than a small network.
    """
    with torch.random.fork_rng([x.device] if x.is_cuda else []):
        torch.default_generator.manual_seed(0)
        if x.is_cuda:
            torch.cuda.manual_seed(0)
        yield
