"""Weight draws: a network's random initial weights, from an explicit generator.

Each parameter has a random stream of its own, seeded by one number from the generator and by the
parameter's name. So two networks that share a layer share its weights on the same draw: a supernet
and the same supernet without one operation differ by that operation alone.

    kaiming_fan_out   W ~ N(0, 2 / fan_out)
    kaiming_fan_in    W ~ N(0, 2 / fan_in)
    torch_default     W ~ U(-1, 1) / sqrt(fan_in), biases too

With Kaiming draws biases are zero; normalisation layers are always gamma = 1, beta = 0.

Source: He et al., "Delving Deep into Rectifiers", ICCV 2015, https://arxiv.org/abs/1502.01852.
"""

import hashlib
from collections.abc import Callable
from difflib import get_close_matches
from math import prod

import torch
from torch import Tensor, nn


def draw_weights(model: nn.Module, method: str, generator: torch.Generator) -> None:
    """Redraws every parameter of `model` in place, and resets its buffers of statistics.

    Parameters of two or more dimensions are weights, of shape (outputs, inputs / groups, kernel).
    One-dimensional ones called bias are zero, or drawn as the weight beside them under
    `torch_default`; normalisation layers start anew; other one-dimensional ones, such as the
    slope of PReLU, stay as they are.

    Raises:
        ValueError: unknown method.
    """
    check_weights(method)
    base = int(torch.randint(2**62, (), generator=generator))
    with torch.no_grad():
        for prefix, module in model.named_modules():
            if isinstance(module, _NORMALISATION):
                module.reset_parameters()
                continue
            weight = getattr(module, "weight", None)
            for name, parameter in module.named_parameters(recurse=False):
                if parameter.ndim < 2 and "bias" not in name:
                    continue  # a slope or a scale, which no draw of weights is about
                shape = (weight if isinstance(weight, Tensor) else parameter).shape
                stream = _stream(base, f"{prefix}.{name}")
                drawn = WEIGHTS[method](parameter.shape, shape, stream)
                parameter.copy_(drawn)


def check_weights(method: str) -> None:
    """Refuse an unknown method, naming the nearest."""
    if method not in WEIGHTS:
        near = get_close_matches(str(method), WEIGHTS, n=1, cutoff=0)
        raise ValueError(
            f"unknown weight draw: expected one of {', '.join(WEIGHTS)}, got {method!r}; "
            f"did you mean {near[0]}?"
        )


# The abstract ancestor of BatchNorm and InstanceNorm has no public name.
_NORMALISATION = (nn.modules.batchnorm._NormBase, nn.LayerNorm, nn.GroupNorm, nn.RMSNorm)


def _stream(base: int, name: str) -> torch.Generator:
    digest = hashlib.blake2b(f"{base}/{name}".encode(), digest_size=7).digest()
    return torch.Generator().manual_seed(int.from_bytes(digest))


def _kaiming(fan: Callable[[torch.Size], int]) -> Callable[..., Tensor]:
    def draw(shape: torch.Size, weight: torch.Size, stream: torch.Generator) -> Tensor:
        if len(shape) < 2:
            return torch.zeros(shape)
        return torch.randn(shape, generator=stream) * (2 / fan(shape)) ** 0.5

    return draw


def _fan_in(weight: torch.Size) -> int:
    return prod(weight[1:])


def _fan_out(weight: torch.Size) -> int:
    return weight[0] * prod(weight[2:])


def _torch_default(shape: torch.Size, weight: torch.Size, stream: torch.Generator) -> Tensor:
    bound = max(_fan_in(weight), 1) ** -0.5
    return (2 * torch.rand(shape, generator=stream) - 1) * bound


WEIGHTS: dict[str, Callable[[torch.Size, torch.Size, torch.Generator], Tensor]] = {
    "kaiming_fan_out": _kaiming(_fan_out),
    "kaiming_fan_in": _kaiming(_fan_in),
    "torch_default": _torch_default,
}
