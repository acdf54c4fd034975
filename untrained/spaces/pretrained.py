"""Weights that a model has learnt, from a local file, for other classes than it was trained on."""

import pickle
from collections.abc import Iterable, Mapping
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

WRAPPERS = ("state_dict", "model", "model_state_dict")
"Keys beneath which a checkpoint keeps the weights."
PREFIX = "module."
"What `nn.DataParallel` puts before every name."


def load_weights(network: nn.Module, path: Path) -> tuple[str, ...]:
    """Gives a network the weights of a file, but for its head where that is of other classes.

    All that the file lacks, or has in another shape, must be of one module, the head, whose
    weights stay as they are; all that it has besides, too.

    Args:
        network: whose parameters and buffers are written.
        path: a .safetensors file, or one that `torch.save` made of tensors alone.

    Returns:
        The names that keep their values.

    Raises:
        ValueError: it cannot be read, or is of another network.
    """
    kept, own = read_weights(path), network.state_dict()
    lacking = [name for name, value in own.items() if _shape(kept.get(name)) != value.shape]
    besides = [name for name in kept if name not in own]
    if len(lacking) == len(own) or any(len(_modules(some)) > 1 for some in (lacking, besides)):
        raise ValueError(
            f"{path}: expected weights of this network, but for a head of other classes, got "
            f"{_few(lacking)} missing or of another shape, and {_few(besides)} that it does not "
            f"have"
        )
    network.load_state_dict(own | {n: kept[n] for n in own if n not in lacking})
    return tuple(lacking)


def read_weights(path: Path) -> dict[str, Tensor]:
    """The tensors of a file, by name.

    Raises:
        ValueError: it holds something else, or more than tensors.
    """
    try:
        if path.suffix == ".safetensors":
            found: object = load_file(path)
        else:
            found = torch.load(path, map_location="cpu", weights_only=True)
    except (pickle.UnpicklingError, SafetensorError, RuntimeError, EOFError, OSError) as error:
        raise ValueError(
            f"{path}: expected a .safetensors file, or a state dict that torch.save wrote, got "
            f"{type(error).__name__}: {str(error).splitlines()[0] if str(error) else error}"
        ) from error
    for wrapper in WRAPPERS:
        if isinstance(found, Mapping) and isinstance(found.get(wrapper), Mapping):
            found = found[wrapper]
    if not isinstance(found, Mapping) or not found or not _all_tensors(found):
        raise ValueError(f"{path}: expected tensors by name, got {type(found).__name__}")
    if all(name.startswith(PREFIX) for name in found):
        return {name.removeprefix(PREFIX): value for name, value in found.items()}
    return dict(found)


def _all_tensors(found: Mapping[object, object]) -> bool:
    return all(isinstance(n, str) and isinstance(v, Tensor) for n, v in found.items())


def _shape(value: Tensor | None) -> torch.Size | None:
    return None if value is None else value.shape


def _modules(names: Iterable[str]) -> set[str]:
    return {name.rpartition(".")[0] for name in names}


def _few(names: list[str]) -> str:
    if not names:
        return "nothing"
    return ", ".join(names[:3]) + (f" and {len(names) - 3:,} more" if len(names) > 3 else "")
