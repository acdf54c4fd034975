"""The tensors that a module computes with, and how to write them, however they are parametrised.

    plain               W := drawn
    weight norm         v := drawn, g := ||drawn||, so that W = g v / ||v|| = drawn
    pruning             original := drawn, the mask stays: W = mask * drawn
    spectral norm       original := drawn, u and v its first singular vectors: W = drawn / sigma
    orthogonal          W := the orthogonal factor of drawn, as torch makes of a new layer
    NTK                 w := drawn
    any other           by its own `right_inverse`, if W is then what was drawn, or part of it

Source: Salimans & Kingma, "Weight Normalization", NeurIPS 2016, https://arxiv.org/abs/1602.07868;
Miyato et al., "Spectral Normalization", ICLR 2018, https://arxiv.org/abs/1802.05957.
"""

from collections.abc import Callable, Collection, Iterator, Sequence
from copy import deepcopy
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.utils.parametrizations import _Orthogonal, _SpectralNorm, _WeightNorm
from torch.nn.utils.parametrize import ParametrizationList, is_parametrized
from torch.nn.utils.prune import BasePruningMethod
from torch.nn.utils.spectral_norm import SpectralNorm
from torch.nn.utils.weight_norm import WeightNorm


class Scaled(nn.Module):
    """w -> scale w, the NTK parametrisation."""

    def __init__(self, scale: float | int):
        super().__init__()
        self.scale = scale

    def forward(self, w: Tensor) -> Tensor:
        return self.scale * w

    def right_inverse(self, weight: Tensor) -> Tensor:
        return weight / self.scale if self.scale else weight


class Held(NamedTuple):
    """A tensor that a module computes with."""

    key: str
    "The attribute of the module."
    shape: torch.Size
    parts: tuple[str, ...]
    "The parameters it is made of, as the module names them."
    write: Callable[[Tensor], object]
    "Makes it what was drawn, as far as its parametrisation can."
    standard: bool = False
    "Whether it is a w of `ntk_parametrisation`."

    @property
    def plain(self) -> bool:
        return self.parts == (self.key,)


def held_by(module: nn.Module, path: str, kept: Collection[int] = ()) -> Iterator[Held]:
    """The tensors of a module's own that hold parameters, less those of ids in `kept`.

    Raises:
        ValueError: a parametrisation that cannot be made to give a weight that was drawn.
    """
    own = {key: p for key, p in module._parameters.items() if p is not None}
    hooked = list(_by_hooks(module))
    for held in hooked:
        if not set(held.parts) <= set(own):
            raise ValueError(
                f"{_name(path, held.key)!r} is parametrised twice: expected one of weight norm, "
                f"spectral norm and pruning, whose weights can be drawn; try to make one of them "
                f"permanent, as torch.nn.utils.prune.remove does"
            )
    taken = {part for held in hooked for part in held.parts}
    plain = [Held(k, p.shape, (k,), p.copy_) for k, p in own.items() if k not in taken]
    for held in (*hooked, *plain):
        if not any(id(own[part]) in kept for part in held.parts):
            yield held
    if is_parametrized(module):
        yield from _by_lists(module, path, kept)


def _name(path: str, key: str) -> str:
    return f"{path}.{key}" if path else key


def _by_hooks(module: nn.Module) -> Iterator[Held]:
    """The tensors that a hook makes before each forward pass."""
    for hook in module._forward_pre_hooks.values():
        if isinstance(hook, WeightNorm):
            yield _normed(module, hook)
        elif isinstance(hook, SpectralNorm):
            yield _spectral(module, hook)
        elif isinstance(hook, BasePruningMethod):
            yield _pruned(module, hook)


def _normed(module: nn.Module, hook: WeightNorm) -> Held:
    key = hook.name

    def write(drawn: Tensor) -> None:
        g, v = _length_and_direction(drawn, hook.dim)
        getattr(module, f"{key}_g").copy_(g)
        getattr(module, f"{key}_v").copy_(v)
        with torch.enable_grad():  # as each forward pass leaves it
            setattr(module, key, hook.compute_weight(module))

    return Held(key, getattr(module, key).shape, (f"{key}_g", f"{key}_v"), write)


def _spectral(module: nn.Module, hook: SpectralNorm) -> Held:
    key = hook.name

    def write(drawn: Tensor) -> None:
        original = getattr(module, f"{key}_orig")
        original.copy_(drawn)
        u, v = _leading(hook.reshape_weight_to_matrix(original))
        getattr(module, f"{key}_u").copy_(u)
        getattr(module, f"{key}_v").copy_(v)
        with torch.enable_grad():
            setattr(module, key, hook.compute_weight(module, do_power_iteration=False))

    return Held(key, getattr(module, key).shape, (f"{key}_orig",), write)


def _pruned(module: nn.Module, hook: BasePruningMethod) -> Held:
    key = hook._tensor_name

    def write(drawn: Tensor) -> None:
        getattr(module, f"{key}_orig").copy_(drawn)
        with torch.enable_grad():
            setattr(module, key, hook.apply_mask(module))

    return Held(key, getattr(module, key).shape, (f"{key}_orig",), write)


def _length_and_direction(drawn: Tensor, dim: int) -> tuple[Tensor, Tensor]:
    """g and v of weight norm; what is zero, as the row of a padding word, has any direction."""
    g = torch.norm_except_dim(drawn, 2, dim)
    return g, torch.where(g == 0, torch.ones_like(drawn), drawn)


def _leading(matrix: Tensor) -> tuple[Tensor, Tensor]:
    """The singular vectors of the largest singular value."""
    u, _, vh = torch.linalg.svd(matrix.detach().float(), full_matrices=False)
    return u[:, 0], vh[0]


def _by_lists(module: nn.Module, path: str, kept: Collection[int]) -> Iterator[Held]:
    """The tensors that `torch.nn.utils.parametrize` makes at each access."""
    lists = module.parametrizations
    assert isinstance(lists, nn.ModuleDict)
    for key, by in lists.items():
        assert isinstance(by, ParametrizationList)
        if not any(id(p) in kept for p in by.parameters(recurse=False)):
            yield _parametrised(key, by, path)


def _parametrised(key: str, by: ParametrizationList, path: str) -> Held:
    names = ["original"] if by.is_tensor else [f"original{k}" for k in range(by.ntensors)]
    parts = tuple(f"parametrizations.{key}.{name}" for name in names)
    originals = [getattr(by, name) for name in names]
    if isinstance(by[0], Scaled):
        return Held(key, originals[0].shape, parts, originals[0].copy_, standard=True)

    def write(drawn: Tensor) -> None:
        values: tuple[Tensor, ...]
        if isinstance(by[0], _WeightNorm) and len(by) == 1:
            values = _length_and_direction(drawn, by[0].dim)
        else:
            values = _inverse(by, drawn.to(originals[0]))
        for original, value in zip(originals, values, strict=True):
            original.copy_(value)
        if isinstance(by[0], _SpectralNorm) and drawn.ndim > 1:
            u, v = _leading(by[0]._reshape_weight_to_matrix(originals[0]))
            by[0]._u.copy_(u)
            by[0]._v.copy_(v)

    if isinstance(by[0], _SpectralNorm | _Orthogonal) and len(by) == 1:
        shape = originals[0].shape
    else:
        shape = _checked_shape(by, _name(path, key), parts)
    return Held(key, shape, parts, write)


def _inverse(by: ParametrizationList, value: Tensor) -> tuple[Tensor, ...]:
    """The originals that shall give `value`; itself where a parametrisation has no inverse."""
    made: Tensor | tuple[Tensor, ...] = value
    for step in reversed(list(by)):
        if hasattr(step, "right_inverse"):
            made = step.right_inverse(made)  # type: ignore[operator]  # by the line above
    return (made,) if isinstance(made, Tensor) else tuple(made)


def _checked_shape(by: ParametrizationList, name: str, parts: Sequence[str]) -> torch.Size:
    """The shape of the weight, if a copy of the parametrisation gives what it is asked for.

    A mask is fine: what it leaves is what was asked for.
    """
    with torch.no_grad():
        try:
            tried = deepcopy(by).eval()
            shape = tried().shape
            first = next(tried.parameters())
            drawn = torch.randn(shape, generator=torch.Generator().manual_seed(0)).to(first)
            originals = _inverse(tried, drawn)
            for parameter, value in zip(tried.parameters(recurse=False), originals, strict=True):
                parameter.copy_(value)
            made = tried()
            if torch.allclose(made, torch.where(made == 0, made, drawn), rtol=1e-2, atol=1e-2):
                return shape
            got = "another weight"
        except Exception as error:  # anybody's module
            got = f"{type(error).__name__}: {error}"
    kinds = ", ".join(type(step).__name__ for step in by)
    raise ValueError(
        f"{name!r} is parametrised by {kinds}: expected a `right_inverse` after which it is the "
        f"weight that was assigned, got {got}; try to draw it yourself, with keep={[*parts]!r}"
    )
