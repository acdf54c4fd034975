"""Which GPU each local worker computes on."""

import os

import torch

VISIBLE = "CUDA_VISIBLE_DEVICES"
"The environment variable that says which GPUs a process sees."


def shared_devices(device: str) -> tuple[str, ...]:
    """The GPUs that workers take in turn, as `VISIBLE` names them.

    None where a GPU is asked for by its number, or where there is one at most: then each worker
    sees what its driver does. Where there are more workers than GPUs, several share one.
    """
    count = torch.cuda.device_count() if device == "cuda" else 0
    if count < 2:
        return ()
    named = os.environ.get(VISIBLE)
    return tuple(map(str, range(count)) if named is None else named.split(",")[:count])
