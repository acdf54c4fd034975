"""Weights of a file, to begin a training from."""

import pickle
from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

LEAST = 0.5
"Share of the network's tensors that a file must have, to be taken for one of its kind."
WRAPPED = ("state_dict", "model")
"Keys under which training scripts keep the weights beside other things."


def load_pretrained(network: nn.Module, path: Path) -> tuple[str, ...]:
    """Gives the network the weights of a file, wherever name and shape are the same.

    The others keep their values: those of a classifier for other classes, as a rule. Buffers, such
    as BatchNorm's statistics, count as weights.

    Args:
        network: changed in place.
        path: a .safetensors file, or what `torch.save` wrote of a `state_dict`; code in it is not
            run.

    Returns:
        The names that keep their values.

    Raises:
        ValueError: the file cannot be read, or has less than half of the network's tensors.
        OSError: it is not there.
    """
    found, mine = _read(path), network.state_dict()
    fitting = {n: w for n, w in found.items() if n in mine and mine[n].shape == w.shape}
    if len(fitting) < LEAST * len(mine):
        raise ValueError(
            f"{path}: expected weights of this network, got a file with {len(fitting)} of its "
            f"{len(mine)} tensors, by name and shape; name the architecture, scale and channels "
            f"that it was trained with"
        )
    network.load_state_dict({**mine, **fitting})
    return tuple(name for name in mine if name not in fitting)


def _read(path: Path) -> Mapping[str, Tensor]:
    try:
        if path.suffix == ".safetensors":
            return load_file(path)
        loaded = torch.load(path, map_location="cpu", weights_only=True)
        wrapped = next((loaded[key] for key in WRAPPED if key in loaded), loaded)
        return {name: w for name, w in wrapped.items() if isinstance(w, Tensor)}
    except FileNotFoundError:
        raise
    except (SafetensorError, pickle.UnpicklingError, RuntimeError, EOFError, ValueError,
            AttributeError, TypeError, LookupError) as error:  # fmt: skip
        raise ValueError(
            f"{path}: expected weights as safetensors or as torch.save writes a state_dict, got a "
            f"file that cannot be read as such ({type(error).__name__})"
        ) from error
