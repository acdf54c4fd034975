"""Models of timm, where it is installed: its registry, and what builds one of them."""

import importlib
from collections.abc import Callable
from difflib import get_close_matches
from typing import Any

from torch import nn

TIMM = "timm"
"The module's name, before the colon."


def timm_names(pattern: str) -> list[str]:
    """The models of the registry whose names match a pattern.

    Raises:
        ValueError: timm is not installed.
    """
    return list(_timm().list_models(pattern))


def timm_maker(name: str) -> Callable[..., nn.Module]:
    """What builds a model of the registry, with random weights.

    Those that take one size of images are asked for it; all others take any.

    Raises:
        ValueError: timm is not installed, or has no such model.
    """
    timm = _timm()
    if not timm.is_model(name):
        near = get_close_matches(name, timm.list_models(), n=3, cutoff=0) or ["none"]
        raise ValueError(f"unknown model of timm: expected {' or '.join(near)}, got {name!r}")

    def of_any_size(num_classes: int, in_chans: int) -> nn.Module:
        found: nn.Module = timm.create_model(name, num_classes=num_classes, in_chans=in_chans)
        return found

    def of_size(num_classes: int, in_chans: int, img_size: int) -> nn.Module:
        found: nn.Module = timm.create_model(
            name, num_classes=num_classes, in_chans=in_chans, img_size=img_size
        )
        return found

    configuration = timm.get_pretrained_cfg(name)
    return of_size if getattr(configuration, "fixed_input_size", False) else of_any_size


def _timm() -> Any:
    try:
        return importlib.import_module(TIMM)
    except ImportError as error:
        raise ValueError(
            f"models: expected timm to be installed for {TIMM}:NAME, got {type(error).__name__}: "
            f"{error}; try pip install timm"
        ) from error
