"""Small networks, one for each way in which a parameter may be used.

Every network has fewer than 3,000 parameters, 3 to 5 examples, and in `eval` mode no example
influences another. `make` gives one in float64, with its inputs.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.parametrizations import weight_norm

from untrained.spaces import CellScale, get_space, prunable

Step = Callable[["Net", Tensor], Tensor]


class Case(NamedTuple):
    build: Callable[[], nn.Module]
    make_inputs: Callable[[], Tensor]


class Residual(nn.Module):
    """x + f(x)."""

    def __init__(self, *layers: nn.Module):
        super().__init__()
        self.body = nn.Sequential(*layers)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.body(x)


class Net(nn.Module):
    """Layers and parameters by name, and a function that says how they meet."""

    def __init__(self, step: Step, **parts: nn.Module | Tensor):
        super().__init__()
        self.step = step
        for name, part in parts.items():
            setattr(self, name, nn.Parameter(part) if isinstance(part, Tensor) else part)

    def forward(self, x: Tensor) -> Tensor:
        return self.step(self, x)

    if TYPE_CHECKING:  # which parts it has, only its caller knows

        def __getattr__(self, name: str) -> Any: ...


def make(name: str, seed: int = 0) -> tuple[nn.Module, Tensor]:
    """The network in training mode, and its inputs."""
    torch.manual_seed(seed)
    model, x = ZOO[name].build(), ZOO[name].make_inputs()
    with torch.no_grad():
        for parameter in model.parameters():  # biases of 0 and scales of 1 would hide errors
            parameter.add_(0.1 * torch.randn_like(parameter))
        model.train()(x.clone())  # moves the running statistics
    return model.double(), x.double() if x.is_floating_point() else x


def trainable(model: nn.Module) -> list[str]:
    """Names of the parameters that a kernel is over by default."""
    return [name for name, parameter in model.named_parameters() if parameter.requires_grad]


def reals(*shape: int) -> Callable[[], Tensor]:
    return lambda: torch.randn(shape)


def words(n: int, length: int, vocabulary: int = 7) -> Callable[[], Tensor]:
    """Word 0 is padding; the second example has a word twice, and so has the first."""

    def draw() -> Tensor:
        x = torch.randint(1, vocabulary, (n, length))
        x[0, :2], x[1, -2:] = 3, torch.tensor([3, 0])
        x[1, 0] = 3
        return x

    return draw


# Sharing and bookkeeping


def twice() -> nn.Module:
    """One layer used twice, with another between."""
    return Net(
        lambda m, x: m.readout(torch.tanh(m.shared(m.other(torch.tanh(m.shared(x)))))),
        shared=nn.Linear(4, 4),
        other=nn.Linear(4, 4),
        readout=nn.Linear(4, 3),
    )


def convolution_twice() -> nn.Module:
    def step(m: Net, x: Tensor) -> Tensor:
        x = F.relu(m.conv(x))
        return m.readout(F.relu_(m.conv(x) + x).mean((2, 3)))

    return Net(step, conv=nn.Conv2d(2, 2, 3, padding=1), readout=nn.Linear(2, 3))


def tied() -> nn.Module:
    """The embedding is the readout: (n, t, 7) outputs."""
    return Net(
        lambda m, x: F.linear(torch.tanh(m.mix(m.embed(x))), m.embed.weight),
        embed=nn.Embedding(7, 4),
        mix=nn.Linear(4, 4),
    )


def tied_autoencoder() -> nn.Module:
    """A square weight by which one convolution goes there and its transpose back."""
    return Net(
        lambda m, x: F.conv_transpose1d(torch.tanh(F.conv1d(x, m.weight)), m.weight).flatten(1),
        weight=torch.randn(12, 12, 1) / 3,
    )


def unused() -> nn.Module:
    return Net(lambda m, x: m.layer(x), layer=nn.Linear(4, 3), unused=torch.ones(4))


def frozen() -> nn.Module:
    """A frozen layer, a frozen bias, and a network that trains the rest."""
    model = nn.Sequential(nn.Linear(4, 5), nn.Tanh(), nn.Linear(5, 5), nn.Tanh(), nn.Linear(5, 2))
    model[2].requires_grad_(False)
    model[4].bias.requires_grad_(False)
    return model


# Parameters in functional operations


def functional_convolution() -> nn.Module:
    def step(m: Net, x: Tensor) -> Tensor:
        x = F.relu(F.conv2d(x, m.kernel, m.bias, stride=2, padding=1))
        return F.conv2d(x, m.kernel2).flatten(1)

    return Net(
        step,
        kernel=torch.randn(4, 3, 3, 3) / 5,
        bias=torch.randn(4),
        kernel2=torch.randn(2, 4, 2, 2) / 4,
    )


def products() -> nn.Module:
    """matmul, @ on either side, and einsum."""

    def step(m: Net, x: Tensor) -> Tensor:
        x = torch.tanh(torch.matmul(x, m.right))  # n t c
        x = torch.tanh(m.left @ x)
        return torch.einsum("ntc,tck->nk", x, m.tensor)

    return Net(
        step,
        right=torch.randn(4, 5) / 2,
        left=torch.randn(3, 3) / 2,
        tensor=torch.randn(3, 5, 2) / 4,
    )


def arithmetic() -> nn.Module:
    """Sums and products with parameters that broadcast; a power, and a scalar parameter."""

    def step(m: Net, x: Tensor) -> Tensor:
        x = torch.tanh(x * m.scale + m.shift) / (1 + m.divisor**2)
        return m.temperature * (x - m.centre).flatten(1)

    return Net(
        step,
        scale=torch.ones(4),
        shift=torch.zeros(3, 1),
        divisor=torch.ones(3, 4),
        centre=torch.zeros(1, 3, 4),
        temperature=torch.tensor(2.0),
    )


def layer_scale() -> nn.Module:
    def step(m: Net, x: Tensor) -> Tensor:
        for branch, gamma in ((m.first, m.gamma1), (m.second, m.gamma2)):
            x = x + gamma * torch.tanh(branch(x))
        return m.readout(x)

    return Net(
        step,
        first=nn.Linear(4, 4),
        second=nn.Linear(4, 4),
        gamma1=torch.full((4,), 0.3),
        gamma2=torch.full((4,), 0.3),
        readout=nn.Linear(4, 2),
    )


# Attention


def attention(batch_first: bool) -> nn.Module:
    """(n, t, c) inside and out; sequence-first in between where asked."""

    def step(m: Net, x: Tensor) -> Tensor:
        x = m.norm(m.embed(x))
        x = x if batch_first else x.transpose(0, 1)
        x = m.attention(x, x, x, need_weights=False)[0]
        return x.mean(1 if batch_first else 0)

    return Net(
        step,
        embed=nn.Linear(4, 8),
        norm=nn.LayerNorm(8),
        attention=nn.MultiheadAttention(8, 2, batch_first=batch_first),
    )


def learned_queries() -> nn.Module:
    """Queries that are parameters; keys and values of another size, so with weights apart."""
    return Net(
        lambda m, x: m.attention(m.queries.expand(len(x), -1, -1), x, x)[0].flatten(1),
        queries=torch.randn(2, 6),
        attention=nn.MultiheadAttention(6, 3, kdim=4, vdim=4, batch_first=True),
    )


def transformer(batch_first: bool, norm_first: bool) -> nn.Module:
    def step(m: Net, x: Tensor) -> Tensor:
        x = m.layer(x if batch_first else x.transpose(0, 1))
        return m.readout(x.mean(1 if batch_first else 0))

    layer = nn.TransformerEncoderLayer(
        8, 2, 12, dropout=0.1, batch_first=batch_first, norm_first=norm_first
    )
    return Net(step, layer=layer, readout=nn.Linear(8, 3))


def vision_transformer() -> nn.Module:
    """Patches, class token, position embedding, attention written by hand."""

    def step(m: Net, x: Tensor) -> Tensor:
        x = m.patches(x).flatten(2).mT
        x = torch.cat([m.token.expand(len(x), -1, -1), x], 1) + m.position
        q, k, v = m.inwards(m.norm(x)).unflatten(2, (3, 2, 4)).permute(2, 0, 3, 1, 4)
        mixed = F.scaled_dot_product_attention(q, k, v)
        x = x + m.outwards(mixed.transpose(1, 2).flatten(2))
        return m.readout(F.gelu(x[:, 0]))

    return Net(
        step,
        patches=nn.Conv2d(3, 8, 2, 2),
        token=torch.zeros(1, 1, 8),
        position=torch.zeros(5, 8),
        norm=nn.LayerNorm(8),
        inwards=nn.Linear(8, 24),
        outwards=nn.Linear(8, 8, bias=False),
        readout=nn.Linear(8, 3),
    )


# Normalisation


def normalised(norm: nn.Module) -> nn.Module:
    """A convolution, a normalisation of its (n, 6, 4, 4) outputs, and a readout."""
    return nn.Sequential(
        nn.Conv2d(3, 6, 3, padding=1), norm, nn.Tanh(), nn.Flatten(), nn.Linear(96, 2)
    )


def layer_norms() -> nn.Module:
    """Over the last dimension, over the last two, and without a bias; and RMSNorm."""
    return nn.Sequential(
        nn.Linear(4, 5),
        nn.LayerNorm(5),
        nn.Tanh(),
        nn.LayerNorm((3, 5)),
        nn.Linear(5, 4),
        nn.LayerNorm(4, bias=False),
        nn.Tanh(),
        nn.RMSNorm(4),
        nn.Flatten(),
        nn.Linear(12, 2),
    )


def batch_norms() -> nn.Module:
    """On (n, c) and on (n, c, t), one without parameters."""
    return nn.Sequential(
        nn.Conv1d(2, 4, 3),
        nn.BatchNorm1d(4),
        nn.Tanh(),
        nn.BatchNorm1d(4, affine=False),
        nn.Flatten(),
        nn.Linear(16, 5),
        nn.BatchNorm1d(5),
        nn.Tanh(),
        nn.Linear(5, 2),
    )


# Words


def embedding() -> nn.Module:
    return nn.Sequential(
        nn.Embedding(7, 3, padding_idx=0), nn.Flatten(), nn.Tanh(), nn.Linear(12, 2)
    )


def embedding_bag(mode: str) -> nn.Module:
    return nn.Sequential(nn.EmbeddingBag(7, 4, mode=mode), nn.Tanh(), nn.Linear(4, 2))


# Convolutions


def convolutions() -> nn.Module:
    """Strided, dilated, grouped and depthwise; unequal sides."""
    return nn.Sequential(
        nn.Conv2d(3, 18, (3, 1), stride=(2, 1), padding=(1, 0)),
        nn.ReLU(),
        nn.Conv2d(18, 12, 3, dilation=2, padding=2, groups=6, bias=False),
        nn.ReLU(),
        nn.Conv2d(12, 24, 3, stride=2, padding=1, groups=12),
        nn.Tanh(),
        nn.Conv2d(24, 4, 2, dilation=(1, 2), padding=1),
        nn.AdaptiveAvgPool2d(2),
        nn.Flatten(),
        nn.Linear(16, 3),
    )


def padded() -> nn.Module:
    """padding="same", "valid", and padding by other values than zero."""
    return nn.Sequential(
        nn.Conv2d(2, 3, (2, 3), padding="same", dilation=(2, 1)),
        nn.Tanh(),
        nn.Conv2d(3, 4, 3, padding=1, padding_mode="circular"),
        nn.Tanh(),
        nn.Conv2d(4, 3, 3, padding="same", padding_mode="reflect", dilation=2),
        nn.Tanh(),
        nn.Conv2d(3, 2, 3, padding="valid"),
        nn.Flatten(),
    )


def transposed() -> nn.Module:
    return nn.Sequential(
        nn.ConvTranspose2d(4, 6, 3, stride=2, padding=1, output_padding=1, groups=2),
        nn.Tanh(),
        nn.ConvTranspose2d(6, 2, (2, 1), dilation=2, bias=False),
        nn.Flatten(),
        nn.Linear(200, 2),
    )


def one_dimension() -> nn.Module:
    return nn.Sequential(
        nn.Conv1d(2, 6, 3, stride=2, padding=1, groups=2),
        nn.Tanh(),
        nn.ConvTranspose1d(6, 3, 2, stride=2),
        nn.Tanh(),
        nn.Conv1d(3, 3, 3, dilation=2, padding="same", padding_mode="circular"),
        nn.Flatten(),
        nn.Linear(24, 2),
    )


def three_dimensions() -> nn.Module:
    return nn.Sequential(
        nn.Conv3d(2, 4, (2, 3, 3), stride=(1, 2, 1), padding=(0, 1, 1), groups=2),
        nn.Tanh(),
        nn.ConvTranspose3d(4, 2, 2),
        nn.Tanh(),
        nn.AdaptiveAvgPool3d(2),
        nn.Flatten(),
        nn.Linear(16, 2),
    )


# Recurrence


def recurrent(cell: nn.RNNBase) -> nn.Module:
    """The readout of the last step of a recurrent layer, in the layout that it asks for."""
    return Net(
        lambda m, x: m.readout(
            m.cell(x)[0][:, -1] if cell.batch_first else m.cell(x.transpose(0, 1))[0][-1]
        ),
        cell=cell,
        readout=nn.Linear(cell.hidden_size, 2),
    )


def unrolled() -> nn.Module:
    """A cell called once a step."""

    def step(m: Net, x: Tensor) -> Tensor:
        h = x.new_zeros(len(x), 5)
        for x_t in x.unbind(1):
            h = m.cell(x_t, h)
        return m.readout(h)

    return Net(step, cell=nn.RNNCell(4, 5), readout=nn.Linear(5, 2))


# Other layers


def bilinear() -> nn.Module:
    return Net(
        lambda m, x: m.form(torch.tanh(m.left(x)), x),
        left=nn.Linear(4, 3),
        form=nn.Bilinear(3, 4, 2),
    )


def weight_normed() -> nn.Module:
    return nn.Sequential(
        weight_norm(nn.Conv2d(2, 4, 3)),
        nn.Tanh(),
        nn.Flatten(),
        weight_norm(nn.Linear(16, 3), dim=None),  # type: ignore[arg-type]  # torch's stub
    )


def slopes() -> nn.Module:
    """PReLU with one slope, and with one a channel."""
    return nn.Sequential(
        nn.Conv2d(2, 4, 3),
        nn.PReLU(4),
        nn.Flatten(),
        nn.Linear(16, 6),
        nn.PReLU(),
        nn.Linear(6, 2),
    )


def dropped() -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(2, 4, 3),
        nn.ReLU(),
        nn.Dropout2d(0.3),
        nn.Flatten(),
        nn.Dropout(0.5),
        nn.Linear(16, 3),
    )


def in_place() -> nn.Module:
    """ReLU in place after a convolution, after BatchNorm and after a linear layer."""
    return nn.Sequential(
        nn.Conv2d(2, 4, 3, padding=1),
        nn.ReLU(inplace=True),
        nn.Conv2d(4, 4, 3, bias=False),
        nn.BatchNorm2d(4),
        nn.ReLU(inplace=True),
        nn.Flatten(),
        nn.Linear(16, 6),
        nn.ReLU(inplace=True),
        nn.Linear(6, 2),
    )


def supernet() -> nn.Module:
    """NAS-Bench-201, one cell with every operation on every edge."""
    space = prunable(get_space("nasbench201"))
    return space.build(space.supernet(), CellScale(3, 1, stages=1), inputs=(3, 32, 32), classes=4)


def cells() -> nn.Module:
    """NAS-Bench-201, two stages."""
    space = prunable(get_space("nasbench201"))
    cell = space.parse(
        "|nor_conv_3x3~0|+|none~0|nor_conv_1x1~1|+|skip_connect~0|avg_pool_3x3~1|nor_conv_3x3~2|"
    )
    return space.build(cell, CellScale(4, 1, stages=2), inputs=(3, 32, 32), classes=4)


# Layouts


def sequences() -> nn.Module:
    """Outputs (n, t, k)."""
    return nn.Sequential(nn.Linear(4, 5), nn.Tanh(), nn.Linear(5, 2))


def scalars() -> nn.Module:
    """Outputs (n,)."""
    return nn.Sequential(nn.Linear(4, 5), nn.Tanh(), nn.Linear(5, 1), nn.Flatten(0))


def merged(time_major: bool) -> nn.Module:
    """Layers that see (n t, c), or (t n, c), so that rows are not examples."""

    def step(m: Net, x: Tensor) -> Tensor:
        n, t, _ = x.shape
        first, second = (t, n) if time_major else (n, t)
        x = x.transpose(0, 1) if time_major else x
        x = m.norm(torch.tanh(m.inwards(x.reshape(n * t, -1))))
        x = m.outwards(x).reshape(first, second, -1)
        return x.mean(0 if time_major else 1)

    return Net(step, inwards=nn.Linear(4, 5), norm=nn.BatchNorm1d(5), outwards=nn.Linear(5, 2))


def time_major() -> nn.Module:
    """Layers that see (t, n, c), with as many steps as examples, where only the code tells."""
    return Net(
        lambda m, x: (
            m.outwards(torch.tanh(m.inwards(x.transpose(0, 1)))).transpose(0, 1).flatten(1)
        ),
        inwards=nn.Linear(4, 5),
        outwards=nn.Linear(5, 2),
    )


def merged_images() -> nn.Module:
    """Frames of a clip, (n t) c h w, through one convolution."""

    def step(m: Net, x: Tensor) -> Tensor:
        frames = torch.tanh(m.conv(x.flatten(0, 1)))
        return m.readout(frames.mean((2, 3)).unflatten(0, x.shape[:2]).amax(1))

    return Net(step, conv=nn.Conv2d(2, 4, 3), readout=nn.Linear(4, 2))


ZOO: dict[str, Case] = {
    "linear": Case(lambda: nn.Linear(4, 3), reals(5, 4)),
    "layer used twice": Case(twice, reals(4, 4)),
    "convolution used twice": Case(convolution_twice, reals(4, 2, 5, 5)),
    "embedding tied to readout": Case(tied, words(3, 4)),
    "convolution tied to its transpose": Case(tied_autoencoder, reals(5, 12, 2)),
    "unused parameter": Case(unused, reals(5, 4)),
    "frozen parameters": Case(frozen, reals(4, 4)),
    "functional convolution": Case(functional_convolution, reals(4, 3, 5, 5)),
    "matmul and einsum": Case(products, reals(4, 3, 4)),
    "arithmetic": Case(arithmetic, reals(3, 3, 4)),
    "layer scale": Case(layer_scale, reals(5, 4)),
    "attention, batch first": Case(lambda: attention(True), reals(3, 5, 4)),
    "attention, sequence first": Case(lambda: attention(False), reals(4, 4, 4)),
    "attention, learned queries": Case(learned_queries, reals(4, 5, 4)),
    "transformer layer": Case(lambda: transformer(True, False), reals(3, 4, 8)),
    "transformer layer, sequence and norm first": Case(
        lambda: transformer(False, True), reals(4, 4, 8)
    ),
    "vision transformer": Case(vision_transformer, reals(4, 3, 4, 4)),
    "LayerNorm and RMSNorm": Case(layer_norms, reals(4, 3, 4)),
    "GroupNorm": Case(lambda: normalised(nn.GroupNorm(3, 6)), reals(4, 3, 4, 4)),
    "InstanceNorm": Case(lambda: normalised(nn.InstanceNorm2d(6, affine=True)), reals(4, 3, 4, 4)),
    "BatchNorm1d": Case(batch_norms, reals(5, 2, 6)),
    "BatchNorm2d": Case(lambda: normalised(nn.BatchNorm2d(6)), reals(4, 3, 4, 4)),
    "embedding": Case(embedding, words(4, 4)),
    "embedding bag, sum": Case(lambda: embedding_bag("sum"), words(4, 5)),
    "embedding bag, mean": Case(lambda: embedding_bag("mean"), words(4, 5)),
    "convolutions": Case(convolutions, reals(4, 3, 8, 6)),
    "paddings": Case(padded, reals(3, 2, 5, 5)),
    "transposed convolutions": Case(transposed, reals(3, 4, 4, 5)),
    "1-d convolutions": Case(one_dimension, reals(4, 2, 8)),
    "3-d convolutions": Case(three_dimensions, reals(3, 2, 4, 4, 4)),
    "GRU": Case(lambda: recurrent(nn.GRU(4, 3, batch_first=True)), reals(3, 5, 4)),
    "GRU, time-major": Case(lambda: recurrent(nn.GRU(4, 3)), reals(4, 4, 4)),
    "LSTM": Case(lambda: recurrent(nn.LSTM(4, 3, num_layers=2, batch_first=True)), reals(4, 3, 4)),
    "RNN cell, unrolled": Case(unrolled, reals(4, 3, 4)),
    "bilinear": Case(bilinear, reals(5, 4)),
    "weight norm": Case(weight_normed, reals(4, 2, 4, 4)),
    "PReLU": Case(slopes, reals(4, 2, 4, 4)),
    "dropout": Case(dropped, reals(4, 2, 4, 4)),
    "ReLU in place": Case(in_place, reals(4, 2, 4, 4)),
    "supernet": Case(supernet, reals(3, 3, 8, 8)),
    "cells": Case(cells, reals(3, 3, 8, 8)),
    "sequences as outputs": Case(sequences, reals(4, 3, 4)),
    "scalar outputs": Case(scalars, reals(5, 4)),
    "batch and time merged": Case(lambda: merged(False), reals(4, 3, 4)),
    "time and batch merged": Case(lambda: merged(True), reals(4, 4, 4)),
    "time-major": Case(time_major, reals(4, 4, 4)),
    "frames merged into the batch": Case(merged_images, reals(3, 2, 2, 4, 4)),
}
