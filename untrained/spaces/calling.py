"""Building a model for images: what its maker is called with, and what the model must then do.

A maker is called with those of these that its signature names:

    classes, num_classes                 how many logits
    inputs, in_channels, in_chans        channels of the images
    size, image_size, img_size           their side in pixels
"""

import inspect
import traceback
from collections.abc import Callable
from copy import deepcopy
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from untrained.memory import out_of_memory
from untrained.spaces.space import Shape

CLASSES = ("classes", "num_classes")
CHANNELS = ("inputs", "in_channels", "in_chans")
SIZE = ("size", "image_size", "img_size")


def call_maker(path: str, maker: Any, *, inputs: Shape, classes: int) -> nn.Module:
    """The model that a maker gives for images of shape `inputs`; an nn.Module is copied.

    Args:
        path: the model's, for the error.
        maker: a function, a class or an nn.Module.
        inputs: channels, height and width.
        classes: how many logits it is to give.

    Raises:
        ValueError: it asks for something else, raises, or gives no module.
    """
    if isinstance(maker, nn.Module):
        return deepcopy(maker)
    given = given_to(path, maker, inputs, classes)
    said = ", ".join(f"{name}={value}" for name, value in given.items()) or "nothing"
    try:
        network: object = maker(**given)
    except Exception as error:  # somebody else's function may raise anything
        if out_of_memory(error):
            raise
        raise ValueError(f"model {path!r}, called with {said}: {_said(error)}") from error
    if not isinstance(network, nn.Module):
        raise ValueError(f"model {path!r}: expected it to give an nn.Module, got {network!r}")
    return network


def given_to(
    path: str, maker: Callable[..., object], inputs: Shape, classes: int
) -> dict[str, int]:
    """What a maker is called with: those that its signature names.

    Raises:
        ValueError: it asks for something else.
    """
    known = {
        **dict.fromkeys(CLASSES, classes),
        **dict.fromkeys(CHANNELS, inputs[0]),
        **dict.fromkeys(SIZE, inputs[-1]),
    }
    try:
        parameters = inspect.signature(maker).parameters.values()
    except (TypeError, ValueError):  # a builtin, which tells nothing of itself
        return {}
    several = inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD
    needed = [p.name for p in parameters if p.default is p.empty and p.kind not in several]
    if unknown := [name for name in needed if name not in known]:
        raise ValueError(
            f"model {path!r}: expected parameters among {', '.join(known)}, or ones with "
            f"defaults, got {', '.join(unknown)}; try a function that calls it with them"
        )
    given = {p.name: known[p.name] for p in parameters if p.name in known}
    takes_any = any(p.kind is p.VAR_KEYWORD for p in parameters)
    if takes_any and not {*CLASSES} & given.keys():  # such as torchvision's functions
        given["num_classes"] = classes
    return given


def check_takes(path: str, network: nn.Module, inputs: Shape, classes: int) -> None:
    """Refuse a model that does not turn two images of shape `inputs` into two rows of logits.

    Lazy layers have their parameters from then on; nothing else of the model changes.

    Raises:
        ValueError: it takes something else, or gives something else; what that is.
    """
    shape = f"images of shape {tuple(inputs)}"
    if others := _needed_besides(network):
        raise ValueError(
            f"model {path!r}: expected one that takes images alone, got one whose forward needs "
            f"{', '.join(others)} too; try a module that calls it with them"
        )
    modes = {module: module.training for module in network.modules()}
    try:
        with torch.no_grad():
            found: object = network.eval()(torch.zeros(2, *inputs))
    except Exception as error:  # somebody else's network may raise anything
        if out_of_memory(error):
            raise
        raise ValueError(
            f"model {path!r}: expected one that takes {shape}, got {_said(error)}; try another "
            f"--size, or a parameter called size or inputs"
        ) from error
    finally:
        for module, training in modes.items():
            module.training = training
    if not isinstance(found, Tensor) or found.shape != (2, classes):
        got = f"shape {tuple(found.shape)}" if isinstance(found, Tensor) else type(found).__name__
        raise ValueError(
            f"model {path!r}: expected outputs of shape (2, {classes}) for two {shape} of "
            f"{classes} classes, got {got}; try a parameter called classes or num_classes"
        )


def _said(error: Exception) -> str:
    """An error by its kind and text; where it has none, by the line outside torch that raised it.

    Networks check their inputs by `torch._assert`, often without a word.
    """
    said = str(error)
    if not said:
        lines = traceback.extract_tb(error.__traceback__)
        outside = [each for each in lines if "/torch/" not in Path(each.filename).as_posix()]
        said = (outside or lines)[-1].line or ""
    return f"{type(error).__name__}: {said}"


def _needed_besides(network: nn.Module) -> list[str]:
    """Parameters of `forward` after the first that have no default."""
    try:
        parameters = list(inspect.signature(network.forward).parameters.values())
    except (TypeError, ValueError):
        return []
    several = inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD
    return [p.name for p in parameters[1:] if p.default is p.empty and p.kind not in several]


def bytes_of(maker: Any, *, inputs: Shape, classes: int) -> int | None:
    """The bytes of a model's parameters, found without the memory for them.

    None where that cannot be found so: the maker computes with what it makes.
    """
    if isinstance(maker, nn.Module):
        return None
    try:
        with torch.device("meta"):
            network = call_maker("", maker, inputs=inputs, classes=classes)
        return sum(p.nbytes for p in network.parameters())
    except Exception:  # which building it for real will tell
        return None
