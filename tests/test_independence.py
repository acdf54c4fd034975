"""What a graph proves of examples, against all derivatives of outputs by inputs."""

import random
from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from untrained.layerwise.independence import Layout, flow, key_of
from untrained.networks.few_channels import ConvolutionCall, convolution
from untrained.networks.places import Place

N, SHAPE = 3, (3, 4, 3, 6)
"Other sizes equal to the number of examples, so that sizes alone tell nothing."

STEPS: dict[str, Callable[[Tensor], Tensor]] = {
    "tanh": torch.tanh,
    "sum with itself": lambda x: x * 2 + x.sigmoid(),
    "scaled": lambda x: x * x.mean(-1, keepdim=True),
    "mean of a dimension": lambda x: x - x.mean(1, keepdim=True),
    "mean of the first": lambda x: x - x.mean(0, keepdim=True),
    "mean of all": lambda x: x - x.mean(),
    "largest": lambda x: x - x.amax(-1, keepdim=True),
    "softmax": lambda x: x.softmax(-1),
    "softmax of the first": lambda x: x.softmax(0),
    "cumulative": lambda x: x.cumsum(1),
    "cumulative over the first": lambda x: x.cumsum(0),
    "transposed": lambda x: x.transpose(0, 1),
    "transposed inside": lambda x: x.transpose(-1, -2),
    "permuted": lambda x: x.permute(*range(1, x.ndim), 0),
    "merged": lambda x: x.flatten(0, 1) if x.ndim > 2 else x,
    "merged inside": lambda x: x.flatten(1, 2) if x.ndim > 2 else x,
    "taken apart": lambda x: x.unflatten(0, (3, -1)) if len(x) % 3 == 0 else x,
    "taken apart inside": lambda x: x.unflatten(1, (-1, 3)) if x.shape[1] % 3 == 0 else x,
    "viewed as matrix": lambda x: x.reshape(len(x), -1),
    "viewed as rows": lambda x: x.reshape(-1, x.shape[-1]),
    "viewed otherwise": lambda x: x.reshape(3, -1),
    "squeezed": lambda x: x.unsqueeze(1).squeeze(1),
    "unsqueezed": lambda x: x.unsqueeze(0),
    "selected": lambda x: x.select(1, 0) if x.ndim > 2 else x,
    "selected first": lambda x: x.select(0, 0) if x.ndim > 2 else x,
    "sliced": lambda x: x[:, :2],
    "sliced first": lambda x: x[:2],
    "rolled": lambda x: x.roll(1, 1),
    "rolled first": lambda x: x.roll(1, 0),
    "rolled flat": lambda x: x.roll(1),
    "flipped": lambda x: x.flip(-1),
    "flipped first": lambda x: x.flip(0),
    "concatenated": lambda x: torch.cat([x, x.flip(1)], -1),
    "concatenated first": lambda x: torch.cat([x, x]),
    "split": lambda x: x.split(1, 1)[0] + x.split(1, 1)[-1],
    "expanded": lambda x: x[:1].expand_as(x),
    "multiplied": lambda x: x @ torch.ones(x.shape[-1], 4),
    "multiplied by itself": lambda x: x @ x.mT,
    "multiplied from the left": lambda x: torch.ones(3, x.shape[-2]) @ x,
    "linear": lambda x: F.linear(x, torch.ones(2, x.shape[-1]), torch.ones(2)),
    "attention": lambda x: F.scaled_dot_product_attention(x, x, x) if x.ndim == 4 else x,
    "layer norm": lambda x: F.layer_norm(x, x.shape[-1:]),
    "layer norm of most": lambda x: F.layer_norm(x, x.shape[1:]),
    "layer norm of all": lambda x: F.layer_norm(x, x.shape),
    "pooled": lambda x: F.avg_pool2d(x, 2, 1, 1) if x.ndim == 4 else x,
    "padded": lambda x: F.pad(x, (1, 0)),
    "padded all over": lambda x: F.pad(x, (0, 0) * (x.ndim - 1) + (1, -1)),
    "convolved": lambda x: (
        F.conv2d(x, torch.ones(3, x.shape[1], 1, 1)) if x.ndim == 4 else x
    ),
    "convolved by formulas": lambda x: (
        convolution(F.conv2d, ConvolutionCall(x, torch.ones(3, x.shape[1], 1, 1)))
        if x.ndim == 4
        else x
    ),
    "batch norm, constant": lambda x: F.batch_norm(x, torch.zeros(c := x.shape[1]), torch.ones(c)),
    "batch norm": lambda x: F.batch_norm(x, None, None, training=True),
    "group norm": lambda x: F.group_norm(x, 1),
}  # fmt: skip


def owners(x: Tensor, f: Tensor) -> Tensor:
    """Which outputs depend on each number of x: (n, numbers of x), true or false."""
    rows = [
        torch.autograd.grad(f[i].square().sum(), x, retain_graph=True, allow_unused=True)[0]
        for i in range(len(f))
    ]
    return torch.stack([torch.zeros_like(x) if r is None else r for r in rows]).flatten(1) != 0


def examples(x: Tensor, dim: int, inner: int) -> Tensor:
    """The example of each number of x, where a dimension holds them so."""
    ids = torch.arange(x.shape[dim]) // inner % N
    return ids.view(-1, *[1] * (x.ndim - dim - 1)).expand(x.shape).flatten()


def test_no_chain_of_steps_is_taken_for_independent_that_is_not() -> None:
    """And many that are independent are known as such."""
    dice, proven, independent = random.Random(0), 0, 0
    for _ in range(700):
        x = torch.randn(SHAPE, generator=torch.Generator().manual_seed(0)).requires_grad_()
        y = torch.tanh(x)
        try:
            for name in dice.sample(list(STEPS), dice.randint(1, 4)):
                y = STEPS[name](y)
            f = y.reshape(N, -1)
        except (RuntimeError, ValueError, IndexError):
            continue  # the steps do not fit together
        shown = flow(f)
        dependent = owners(x, f)
        # Where the examples lie in x is for the graph to say: any place that is right will do.
        right = [
            Layout(dim, inner)
            for dim, size in enumerate(x.shape)
            for inner in range(1, size + 1)
            if size % (N * inner) == 0
            and not (dependent & (examples(x, dim, inner) != torch.arange(N)[:, None])).any()
        ]
        independent += bool(right)
        if shown.proven:
            proven += 1
            assert shown.layouts[key_of(x)][0] in right
    assert proven > 0.5 * independent > 100


def test_uses_of_a_leaf_are_found_whatever_is_proven() -> None:
    w, x = torch.ones(3, requires_grad=True), torch.randn(4, 3, requires_grad=True)
    shown = flow((x * x.mean(0)) * w)
    assert shown.leaves.keys() == {id(w), id(x)}
    assert not shown.proven


@pytest.mark.parametrize("training", [False, True])
def test_a_convolutional_network_and_a_transformer_are_proven(training: bool) -> None:
    """Those of the benchmarks, and not where they normalise over the batch."""
    net = nn.Sequential(
        nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.ReLU(), nn.MaxPool2d(2),
        nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 2),
    ).train(training)  # fmt: skip
    layer = nn.TransformerEncoderLayer(8, 2, 16).train(training)
    for p in (*net.parameters(), *layer.parameters()):
        p.requires_grad_(False)
    x, words = (torch.randn(s, requires_grad=True) for s in ((4, 3, 8, 8), (5, 4, 8)))
    assert flow(net(x)).proven != training
    shown = flow(layer(words)[0])
    assert shown.proven
    assert shown.place(key_of(words)) == Place(1)


def test_a_function_of_its_own_proves_nothing() -> None:
    class ReluBackward0(torch.autograd.Function):
        """Named as one of torch's."""

        @staticmethod
        def forward(ctx: object, x: Tensor) -> Tensor:
            return x - x.mean(0)

        @staticmethod
        def backward(ctx: object, *gradients: Tensor) -> Tensor:
            return gradients[0] - gradients[0].mean(0)

    assert not flow(ReluBackward0.apply(torch.ones(3, 2, requires_grad=True))).proven
