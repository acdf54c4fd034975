"""Each call that a network of infinite width may make: what of its units, and by which rule."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from untrained.wide.dual import DualOf, dual_of_function, dual_of_module, identity
from untrained.wide.layers import Window
from untrained.wide.units import Units

NO_LIMIT = "has no limit of infinite width that is known here; see `untrained.infinite`"


@dataclass(frozen=True)
class Layer:
    """What is known after some call."""

    units: Units
    values: Any
    "As the rules have it."


@dataclass(frozen=True)
class Steps:
    """Calls of layers by rules, as those of `WideLayers` are; `name` is for errors."""

    rules: Any

    def settled(self, layer: Layer) -> Any:
        """Values with what the scales of a norm add to Theta, if they are the last thing seen."""
        return self.rules.settled(layer.values) if layer.units.scaled else layer.values

    def embedding(self, module: nn.Embedding, name: str, words: Any) -> Layer:
        """Words, which are the inputs: two batches of them."""
        if not isinstance(words, tuple) or module.max_norm is not None:
            raise ValueError(
                f"{name}: expected an nn.Embedding of the inputs, without max_norm, got another"
            )
        one_hot = [F.one_hot(each, module.num_embeddings)[:, :, None].double() for each in words]
        if module.padding_idx is not None:
            for each in one_hot:
                each[..., module.padding_idx] = 0
        return Layer(Units((1,)).weighted(name), self.rules.embedded(*one_hot))

    def dense(self, module: nn.Linear, name: str, layer: Layer) -> Layer:
        """Of vectors, or of each position."""
        layer.units.check_channels(1 + len(layer.units.axes), name)
        layer.units.check_count(module.in_features, "numbers an input", name)
        values = self.rules.dense(self.settled(layer), module.bias is not None)
        return Layer(layer.units.weighted(name), values)

    def convolution(self, module: nn.Conv1d | nn.Conv2d, name: str, layer: Layer) -> Layer:
        """Of sequences or images."""
        layer.units.check_positions(len(module.kernel_size), name)
        layer.units.check_channels(1, name)
        layer.units.check_count(module.in_channels, "channels", name)
        if module.groups != 1 or module.padding_mode != "zeros":
            raise ValueError(
                f"{name}: expected a convolution without groups, padded by zeros, got {module}"
            )
        window, bias = Window.of(module), module.bias is not None
        values = self.rules.convolution(self.settled(layer), window, bias)
        return Layer(layer.units.weighted(name), values)

    def attention(
        self,
        module: nn.MultiheadAttention,
        name: str,
        query: Layer,
        key: Any,
        value: Any,
        key_padding_mask: Any = None,
        need_weights: bool = True,
        attn_mask: Tensor | None = None,
        average_attn_weights: bool = True,
        is_causal: bool = False,
    ) -> tuple[Layer, None]:
        """Of a sequence to itself, with torch's arguments; without the weights."""
        query.units.check_positions(1, name)
        query.units.check_channels(2, name)
        plain = module.batch_first and module.bias_k is None and not module.add_zero_attn
        if not (plain and query is key is value and key_padding_mask is None):
            raise ValueError(
                f"{name}: expected attention of a sequence to itself, with batch_first=True, and "
                f"without padding or further keys, got another"
            )
        biases = module.in_proj_bias is not None, module.out_proj.bias is not None
        values = self.rules.attention(self.settled(query), biases, attn_mask)
        return Layer(query.units.weighted(name), values), None

    def normalised(self, module: nn.LayerNorm | nn.RMSNorm, name: str, layer: Layer) -> Layer:
        """Over channels."""
        if len(module.normalized_shape) != 1:
            raise ValueError(f"{name}: expected a norm over channels alone, got {module}")
        layer.units.check_channels(1 + len(layer.units.axes), name)
        if isinstance(module, nn.LayerNorm) and not layer.units.gaussian:
            raise ValueError(
                f"{name}: expected Gaussian units before a LayerNorm, as after a layer with "
                f"weights or a sum of such, got inputs, activations or a sum with these"
            )
        eps = torch.finfo(torch.float32).eps if module.eps is None else module.eps
        scale, shift = (getattr(module, key, None) is not None for key in ("weight", "bias"))
        units = layer.units
        units = replace(units, scaled=scale, mixed=units.scaled or units.mixed)
        return Layer(units, self.rules.normalised(self.settled(layer), eps, shift))

    def pooled(
        self, pool: Callable[[Tensor], Tensor], kind: str, name: str, layer: Layer
    ) -> Layer:
        """By averages over windows, of a pool with the name `kind`."""
        one = kind.endswith("1d")
        layer.units.check_positions(1 if one else 2, name)
        layer.units.check_channels(1, name)
        along = (lambda x: pool(x[..., 0])[..., None]) if one else pool
        return Layer(layer.units, self.rules.pooled(layer.values, along))

    def averaged(self, name: str, layer: Layer, dim: Any = (), keepdim: bool = False) -> Layer:
        """Over all positions."""
        axes, count = layer.units.axes, 2 + len(layer.units.axes)
        dims = {d % count for d in ((dim,) if isinstance(dim, int) else dim)}
        if not axes or dims != set(axes) or keepdim:
            raise ValueError(f"{name}: expected a mean over all positions, kept nowhere")
        return Layer(layer.units.at(()), self.rules.averaged(layer.values))

    def flattened(self, name: str, layer: Layer, start: int = 0, end: int = -1) -> Layer:
        """All but examples, or positions alone."""
        axes, count = layer.units.axes, 2 + len(layer.units.axes)
        joined = tuple(range(start % count, end % count + 1))
        if not axes and joined == (1,):
            return layer
        if joined == tuple(range(1, count)):
            units = layer.units.at((), alike=set(layer.values.places) == {1})
            return Layer(replace(units, count=None), self.rules.flattened(layer.values))
        if joined == axes:
            return Layer(layer.units.at(axes[:1]), self.rules.in_a_row(layer.values))
        raise ValueError(
            f"{name}: expected all axes but the first to be flattened, or all of positions"
        )

    def moved(self, name: str, layer: Layer, *order: Any) -> Layer:
        """Channels in another place."""
        axes = list(range(2 + len(layer.units.axes)))
        if name == "permute":
            given = order[0] if isinstance(order[0], tuple | list) else order
            axes = [axes[axis] for axis in given]
        else:
            first, second = order
            axes[first], axes[second] = axes[second], axes[first]
        kept = [axis for axis in axes if axis in layer.units.axes]
        if axes[0] != 0 or kept != sorted(kept):
            raise ValueError(f"{name}: expected channels to be moved, and nothing else")
        places = tuple(k for k, axis in enumerate(axes) if axis in kept)
        return Layer(layer.units.at(places), layer.values)

    def selected(self, name: str, layer: Any, index: Any) -> Any:
        """One position of a sequence; or one of several results."""
        if isinstance(layer, tuple) and isinstance(index, int):
            return layer[index]
        if isinstance(layer, Layer) and isinstance(index, tuple) and len(layer.units.axes) == 1:
            chosen = dict(enumerate(index))
            place = chosen.pop(layer.units.axes[0], None)
            if isinstance(place, int) and all(each == slice(None) for each in chosen.values()):
                return Layer(layer.units.at(()), self.rules.selected(layer.values, place))
        raise ValueError(f"{name}: expected one position of a sequence, as x[:, -1], got {index}")

    def activated(
        self, phi: Callable[[Tensor], Tensor], dual: DualOf | None, name: str, layer: Layer
    ) -> Layer:
        """By unit."""
        if dual is None:
            raise ValueError(f"{name}: an activation of this kind {NO_LIMIT}")
        if dual is identity:
            return layer
        values = self.rules.activated(layer.values, phi, dual, layer.units.scaled)
        return Layer(layer.units.activated(name), values)

    def summed(self, name: str, a: Any, b: Any) -> Layer:
        """Of two branches, or their difference."""
        if not (isinstance(a, Layer) and isinstance(b, Layer)):
            raise ValueError(f"{name}: a number or tensor that is added {NO_LIMIT}")
        units = a.units.added(b.units, name)
        if a.values.places != b.values.places:
            raise ValueError(f"{name}: expected branches of equally many positions, got others")
        return Layer(units, self.rules.summed(self.settled(a), self.settled(b)))

    def scaled(self, layer: Layer, factor: float) -> Layer:
        """By a number."""
        return Layer(layer.units, self.rules.scaled(layer.values, factor))

    def encoder(
        self,
        module: nn.TransformerEncoder,
        name: str,
        layer: Layer,
        mask: Any = None,
        src_key_padding_mask: Any = None,
        is_causal: bool | None = None,
    ) -> Layer:
        """Its blocks, with torch's arguments."""
        for number, block in enumerate(module.layers):
            _check_type(block, nn.TransformerEncoderLayer, f"{name}.layers.{number}")
            layer = self.block(block, f"{name}.layers.{number}", layer, mask, src_key_padding_mask)
        if module.norm is None:
            return layer
        norm: Any = module.norm
        _check_type(norm, nn.LayerNorm | nn.RMSNorm, f"{name}.norm")
        return self.normalised(norm, f"{name}.norm", layer)

    def block(
        self,
        module: nn.TransformerEncoderLayer,
        name: str,
        layer: Layer,
        src_mask: Any = None,
        src_key_padding_mask: Any = None,
        is_causal: bool = False,
    ) -> Layer:
        """Attention and a perceptron, each added, with torch's arguments.

        x <- x + part(norm(x)), or norm(x + part(x))
        """

        for norm in ("norm1", "norm2"):
            _check_type(getattr(module, norm), nn.LayerNorm | nn.RMSNorm, f"{name}.{norm}")

        def attention(x: Layer) -> Layer:
            own = f"{name}.self_attn"
            given = src_key_padding_mask, False, src_mask
            return self.attention(module.self_attn, own, x, x, x, *given)[0]

        def perceptron(x: Layer) -> Layer:
            phi: Any = module.activation
            known = {F.relu: "relu", torch.relu: "relu", F.gelu: "gelu"}
            dual = dual_of_module(phi) if isinstance(phi, nn.Module) else None
            dual = dual_of_function(phi, known[phi]) if phi in known else dual
            x = self.dense(module.linear1, f"{name}.linear1", x)
            x = self.activated(phi, dual, f"{name}.activation", x)
            return self.dense(module.linear2, f"{name}.linear2", x)

        for part, norm in ((attention, "norm1"), (perceptron, "norm2")):
            of = partial(self.normalised, getattr(module, norm), f"{name}.{norm}")
            if module.norm_first:
                layer = self.summed(name, layer, part(of(layer)))
            else:
                layer = of(self.summed(name, layer, part(layer)))
        return layer


def _check_type(module: Any, expected: Any, name: str) -> None:
    if type(module) not in getattr(expected, "__args__", (expected,)):
        names = " or ".join(each.__name__ for each in getattr(expected, "__args__", (expected,)))
        raise ValueError(f"{name}: expected torch's own {names}, got {type(module).__name__}")
