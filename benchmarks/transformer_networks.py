"""Transformers in plain torch, each with what its kind does otherwise than the rest.

They differ in how positions come in, in where examples lie inside, and in what is made of
parameters alone. Sizes are arguments: benchmarks take large ones, tests small ones.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn


def scores(q: Tensor, k: Tensor) -> Tensor:
    """q k^T / sqrt(d)"""
    return q @ k.transpose(-2, -1) / q.shape[-1] ** 0.5


def in_heads(x: Tensor, heads: int) -> Tensor:
    """(n, t, c) -> (n, h, t, d)"""
    return x.view(*x.shape[:2], heads, -1).transpose(1, 2)


def joined(x: Tensor) -> Tensor:
    """The inverse of `in_heads`."""
    return x.transpose(1, 2).flatten(2)


def perceptron(channels: int) -> nn.Module:
    """Two linear layers, four times as wide between them."""
    return nn.Sequential(
        nn.Linear(channels, 4 * channels), nn.GELU(), nn.Linear(4 * channels, channels)
    )


class Attention(nn.Module):
    """softmax(Q K^T / sqrt(d)) V in several heads, and a linear layer."""

    def __init__(self, channels: int, heads: int):
        super().__init__()
        self.heads = heads
        self.inwards = nn.Linear(channels, 3 * channels)
        self.outwards = nn.Linear(channels, channels)

    def forward(self, x: Tensor) -> Tensor:
        heads = self.inwards(x).unflatten(2, (3, self.heads, -1))  # n t 3 h d
        q, k, v = heads.permute(2, 0, 3, 1, 4)
        mixed = F.scaled_dot_product_attention(q, k, v)  # n h t d
        return self.outwards(mixed.transpose(1, 2).flatten(2))


class Block(nn.Module):
    """Attention and two linear layers, each after LayerNorm and beside the identity."""

    def __init__(self, channels: int, attention: nn.Module):
        super().__init__()
        self.norm1 = nn.LayerNorm(channels)
        self.attention = attention
        self.norm2 = nn.LayerNorm(channels)
        self.mlp = perceptron(channels)

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.attention(self.norm1(x))
        return x + self.mlp(self.norm2(x))


class VisionTransformer(nn.Module):
    """Dosovitskiy et al. 2021, small: 32 px in 64 patches, ten classes, 1.2e6 parameters.

    `distilled` as in Touvron et al. 2021: a second token, with a classifier of its own.
    """

    def __init__(
        self,
        size: int = 32,
        patch: int = 4,
        channels: int = 128,
        blocks: int = 6,
        heads: int = 4,
        distilled: bool = False,
    ):
        super().__init__()
        self.patches = nn.Conv2d(3, channels, patch, patch)
        self.token = nn.Parameter(torch.zeros(1, 1, channels))
        self.second = nn.Parameter(torch.zeros(1, 1, channels)) if distilled else None
        tokens = (size // patch) ** 2 + 1 + distilled
        self.position = nn.Parameter(0.02 * torch.randn(1, tokens, channels))
        self.blocks = nn.Sequential(
            *(Block(channels, Attention(channels, heads)) for _ in range(blocks))
        )
        self.norm = nn.LayerNorm(channels)
        self.classifier = nn.Linear(channels, 10)
        self.other = nn.Linear(channels, 10) if distilled else None

    def forward(self, x: Tensor) -> Tensor:
        x = self.patches(x).flatten(2).mT
        tokens = [self.token] if self.second is None else [self.token, self.second]
        x = torch.cat([*(each.expand(len(x), -1, -1) for each in tokens), x], 1) + self.position
        x = self.norm(self.blocks(x))
        if self.other is None:
            return self.classifier(x[:, 0])
        return (self.classifier(x[:, 0]) + self.other(x[:, 1])) / 2


class Projection(nn.Module):
    """x W + b with W stored as (inputs, outputs)."""

    def __init__(self, inputs: int, outputs: int):
        super().__init__()
        self.weight = nn.Parameter(torch.randn(inputs, outputs) / inputs**0.5)
        self.bias = nn.Parameter(torch.zeros(outputs))

    def forward(self, x: Tensor) -> Tensor:
        found = torch.addmm(self.bias, x.view(-1, x.shape[-1]), self.weight)
        return found.view(*x.shape[:-1], -1)


class CausalAttention(nn.Module):
    """Of each token to those before it, by a mask that is a buffer."""

    mask: Tensor

    def __init__(self, channels: int, heads: int, length: int):
        super().__init__()
        self.heads = heads
        self.inwards = Projection(channels, 3 * channels)
        self.outwards = Projection(channels, channels)
        self.register_buffer("mask", torch.ones(length, length, dtype=torch.bool).tril())

    def forward(self, x: Tensor) -> Tensor:
        q, k, v = (in_heads(part, self.heads) for part in self.inwards(x).chunk(3, 2))
        seen = torch.where(self.mask[: x.shape[1], : x.shape[1]], scores(q, k), -1e4)
        return self.outwards(joined(seen.softmax(-1) @ v))


class LanguageModel(nn.Module):
    """Radford et al. 2019 (GPT-2): the logits of the next word, its readout tied to the words."""

    def __init__(
        self,
        words: int = 500,
        length: int = 64,
        channels: int = 128,
        blocks: int = 4,
        heads: int = 4,
    ):
        super().__init__()
        self.words = nn.Embedding(words, channels)
        self.positions = nn.Embedding(length, channels)
        self.blocks = nn.Sequential(
            *(Block(channels, CausalAttention(channels, heads, length)) for _ in range(blocks))
        )
        self.norm = nn.LayerNorm(channels)
        self.readout = nn.Linear(channels, words, bias=False)
        self.readout.weight = self.words.weight

    def forward(self, x: Tensor) -> Tensor:
        places = torch.arange(x.shape[1], device=x.device)
        x = self.blocks(self.words(x) + self.positions(places))
        return self.readout(self.norm(x)[:, -1])


class Encoder(nn.Module):
    """Devlin et al. 2019 (BERT): words, positions and segments; word 0 is not attended to."""

    places: Tensor
    first: Tensor

    def __init__(
        self,
        words: int = 500,
        length: int = 64,
        channels: int = 128,
        blocks: int = 4,
        heads: int = 4,
    ):
        super().__init__()
        self.heads = heads
        self.words = nn.Embedding(words, channels, padding_idx=0)
        self.positions = nn.Embedding(length, channels)
        self.segments = nn.Embedding(2, channels)
        self.norm = nn.LayerNorm(channels)
        self.register_buffer("places", torch.arange(length)[None])
        self.register_buffer("first", torch.zeros(1, length, dtype=torch.long))
        self.layers = nn.ModuleList()
        for _ in range(blocks):
            parts = {name: nn.Linear(channels, channels) for name in ("q", "k", "v", "out")}
            norms = {name: nn.LayerNorm(channels) for name in ("norm1", "norm2")}
            self.layers.append(nn.ModuleDict({**parts, **norms, "mlp": perceptron(channels)}))
        self.pooler = nn.Linear(channels, channels)
        self.classifier = nn.Linear(channels, 10)

    def forward(self, x: Tensor) -> Tensor:
        n, t = x.shape
        hidden = -1e4 * (x == 0)[:, None, None]
        x = self.words(x) + self.segments(self.first[:, :t].expand(n, t))
        x = self.norm(x + self.positions(self.places[:, :t]))
        for layer in self.layers:
            assert isinstance(layer, nn.ModuleDict)
            q, k, v = (in_heads(layer[name](x), self.heads) for name in ("q", "k", "v"))
            mixed = (scores(q, k) + hidden).softmax(-1) @ v
            x = layer["norm1"](x + layer["out"](joined(mixed)))
            x = layer["norm2"](x + layer["mlp"](x))
        return self.classifier(self.pooler(x[:, 0]).tanh())


class WindowAttention(nn.Module):
    """Within windows of an image that may be shifted, with a bias for each relative position."""

    index: Tensor

    def __init__(self, channels: int, heads: int, window: int, shifted: bool):
        super().__init__()
        self.heads, self.window, self.shift = heads, window, window // 2 if shifted else 0
        self.inwards = nn.Linear(channels, 3 * channels)
        self.outwards = nn.Linear(channels, channels)
        self.table = nn.Parameter(0.02 * torch.randn((2 * window - 1) ** 2, heads))
        line = torch.arange(window)
        at = torch.cartesian_prod(line, line)
        apart = at[:, None] - at + window - 1  # t t 2
        self.register_buffer("index", apart[..., 0] * (2 * window - 1) + apart[..., 1])

    def forward(self, x: Tensor) -> Tensor:
        n, height, width, c = x.shape
        w, t = self.window, self.window**2
        x = x.roll((-self.shift, -self.shift), (1, 2)) if self.shift else x
        x = x.view(n, height // w, w, width // w, w, c).permute(0, 1, 3, 2, 4, 5)
        x = x.reshape(-1, t, c)  # examples and windows in one dimension
        q, k, v = (in_heads(part, self.heads) for part in self.inwards(x).chunk(3, 2))
        bias = self.table[self.index.view(-1)].view(t, t, -1).permute(2, 0, 1).contiguous()
        x = self.outwards(joined((scores(q, k) + bias[None]).softmax(-1) @ v))
        x = x.view(n, height // w, width // w, w, w, c).permute(0, 1, 3, 2, 4, 5)
        x = x.reshape(n, height, width, c)
        return x.roll((self.shift, self.shift), (1, 2)) if self.shift else x


class WindowTransformer(nn.Module):
    """Liu et al. 2021 (Swin), in two stages, without masks at the borders of shifted windows."""

    def __init__(
        self, size: int = 32, patch: int = 2, channels: int = 64, heads: int = 4, window: int = 4
    ):
        super().__init__()
        self.patches = nn.Conv2d(3, channels, patch, patch)
        both = (False, True)
        self.first = nn.Sequential(
            *(Block(channels, WindowAttention(channels, heads, window, on)) for on in both)
        )
        wide = 2 * channels
        self.merge = nn.Sequential(
            nn.LayerNorm(4 * channels), nn.Linear(4 * channels, wide, bias=False)
        )
        self.second = nn.Sequential(
            *(Block(wide, WindowAttention(wide, heads, window, on)) for on in both)
        )
        self.norm = nn.LayerNorm(wide)
        self.classifier = nn.Linear(wide, 10)

    def forward(self, x: Tensor) -> Tensor:
        x = self.first(self.patches(x).permute(0, 2, 3, 1))
        quarters = [x[:, i::2, j::2] for j in (0, 1) for i in (0, 1)]
        x = self.norm(self.second(self.merge(torch.cat(quarters, -1))))
        pooled = F.adaptive_avg_pool1d(x.flatten(1, 2).mT, 1)
        return self.classifier(pooled.flatten(1))


class TalkingHeads(nn.Module):
    """Attention whose heads are mixed before and after the softmax."""

    def __init__(self, channels: int, heads: int):
        super().__init__()
        self.heads = heads
        self.inwards = nn.Linear(channels, 3 * channels)
        self.before, self.after = nn.Linear(heads, heads), nn.Linear(heads, heads)
        self.outwards = nn.Linear(channels, channels)

    def forward(self, x: Tensor) -> Tensor:
        q, k, v = (in_heads(part, self.heads) for part in self.inwards(x).chunk(3, 2))
        mixed = self.before(scores(q, k).permute(0, 2, 3, 1)).softmax(2)
        return self.outwards(joined(self.after(mixed).permute(0, 3, 1, 2) @ v))


class ClassAttention(nn.Module):
    """Of the first token alone to all."""

    def __init__(self, channels: int, heads: int):
        super().__init__()
        self.heads = heads
        self.q, self.k, self.v = (nn.Linear(channels, channels) for _ in range(3))
        self.outwards = nn.Linear(channels, channels)

    def forward(self, x: Tensor) -> Tensor:
        q = in_heads(self.q(x[:, 0])[:, None], self.heads)
        k, v = in_heads(self.k(x), self.heads), in_heads(self.v(x), self.heads)
        return self.outwards(joined(scores(q, k).softmax(-1) @ v))


class ClassAttentionTransformer(nn.Module):
    """Touvron et al. 2021 (CaiT): scales of layers, and a token that comes in at the end."""

    def __init__(
        self, size: int = 32, patch: int = 4, channels: int = 96, blocks: int = 4, heads: int = 4
    ):
        super().__init__()
        self.patches = nn.Conv2d(3, channels, patch, patch)
        self.position = nn.Parameter(0.02 * torch.randn(1, (size // patch) ** 2, channels))
        self.token = nn.Parameter(0.02 * torch.randn(1, 1, channels))
        self.blocks = nn.ModuleList(
            Block(channels, TalkingHeads(channels, heads)) for _ in range(blocks)
        )
        self.scales = nn.ParameterList(0.1 * torch.ones(channels) for _ in range(2 * blocks + 2))
        self.last = Block(channels, ClassAttention(channels, heads))
        self.norm = nn.LayerNorm(channels)
        self.classifier = nn.Linear(channels, 10)

    def forward(self, x: Tensor) -> Tensor:
        x = self.patches(x).flatten(2).mT + self.position
        scales = iter(self.scales)
        for block in self.blocks:
            assert isinstance(block, Block)
            x = x + next(scales) * block.attention(block.norm1(x))
            x = x + next(scales) * block.mlp(block.norm2(x))
        token = self.token.expand(len(x), -1, -1)
        seen = self.last.norm1(torch.cat([token, x], 1))
        token = token + next(scales) * self.last.attention(seen)
        token = token + next(scales) * self.last.mlp(self.last.norm2(token))
        return self.classifier(self.norm(torch.cat([token, x], 1))[:, 0])
