"""Features before the readout, against what the networks say of themselves."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from untrained.networks.features import features
from untrained.spaces import get_space, prunable


class Head(nn.Module):
    """Keeps the features that its forward pass, which is given, hands to the readout."""

    def __init__(self, forward: Callable[["Head", Tensor], Any]):
        super().__init__()
        self.body = nn.Conv2d(3, 6, 3, padding=1)
        self.linear = nn.Linear(6, 4)
        self.conv = nn.Conv2d(6, 4, 1)
        self.whole = nn.Conv2d(6, 4, 5)
        self.grouped = nn.Conv2d(6, 4, 1, groups=2)
        self.dropout = nn.Dropout(0.9)
        self.given = forward

    def forward(self, x: Tensor) -> Any:
        h = F.relu(self.body(x))
        self.positions, self.pooled = h, h.mean((2, 3))
        return self.given(self, h)

    def tokens(self, h: Tensor) -> Tensor:
        return h.flatten(2).transpose(1, 2)


def changed_in_place(f: Head, h: Tensor) -> Tensor:
    y = f.linear(f.pooled)
    y += f.linear.bias
    return y


def written_into(f: Head, h: Tensor) -> Tensor:
    y = f.linear(f.pooled)
    y[:, 0] = 0
    return y


# name: forward, what enters the readout, its name
POOLED, POSITIONS = (lambda f: f.pooled), (lambda f: f.positions)
READ: dict[str, tuple[Callable[[Head, Tensor], Tensor], Callable[[Head], Tensor], str]] = {
    "linear": (lambda f, h: f.linear(f.pooled), POOLED, "linear"),
    "functional": (lambda f, h: F.linear(f.pooled, f.linear.weight), POOLED, "linear"),
    "keywords": (
        lambda f, h: F.linear(input=f.pooled, weight=f.linear.weight),
        POOLED,
        "linear",
    ),
    "product": (lambda f, h: f.pooled @ f.linear.weight.T, POOLED, "matmul"),
    "product and bias": (
        lambda f, h: f.pooled @ f.linear.weight.T + f.linear.bias,
        POOLED,
        "matmul",
    ),
    "bias and product": (
        lambda f, h: torch.addmm(f.linear.bias, f.pooled, f.linear.weight.T),
        POOLED,
        "addmm",
    ),
    "bias and product, keywords": (
        lambda f, h: torch.addmm(input=f.linear.bias, mat1=f.pooled, mat2=f.linear.weight.T),
        POOLED,
        "addmm",
    ),
    "another precision": (lambda f, h: f.linear(f.pooled).bfloat16().type_as(h), POOLED, "linear"),
    "dropout": (lambda f, h: f.dropout(f.linear(f.dropout(f.pooled))), POOLED, "linear"),
    "scaled": (lambda f, h: 0.1 * f.linear(f.pooled) / 2, POOLED, "linear"),
    "softmax": (lambda f, h: F.log_softmax(f.linear(f.pooled), 1), POOLED, "linear"),
    "shapes": (
        lambda f, h: f.linear(f.pooled).unsqueeze(2).squeeze().view(len(h), -1),
        POOLED,
        "linear",
    ),
    "unsqueezed": (lambda f, h: f.linear(f.pooled).unsqueeze(1).flatten(1), POOLED, "linear"),
    "convolution, pooled": (
        lambda f, h: F.adaptive_avg_pool2d(f.conv(h), 1).flatten(1),
        POOLED,
        "conv2d",
    ),
    "convolution, mean": (lambda f, h: f.conv(h).mean((-1, -2)), POOLED, "conv2d"),
    "convolution, mean of flat": (lambda f, h: f.conv(h).flatten(2).mean(-1), POOLED, "conv2d"),
    "convolution, index": (
        lambda f, h: f.conv(F.avg_pool2d(h, 5))[:, :, 0, 0],
        POOLED,
        "conv2d",
    ),
    "convolution, all positions": (lambda f, h: f.conv(h).flatten(1), POSITIONS, "conv2d"),
    "convolution, whole image": (lambda f, h: f.whole(h).flatten(1), POSITIONS, "conv2d"),
    "tokens, mean": (lambda f, h: f.linear(f.tokens(h)).mean(1), POOLED, "linear"),
    "tokens, first": (
        lambda f, h: f.linear(f.tokens(h))[:, 0],
        lambda f: f.positions[:, :, 0, 0],
        "linear",
    ),
    "rows, then images": (
        lambda f, h: f.linear(f.tokens(h).flatten(0, 1)).view(len(h), -1),
        lambda f: f.tokens(f.positions),
        "linear",
    ),
}


@pytest.mark.parametrize("name", READ)
def test_what_enters_the_readout(name: str) -> None:
    forward, entered, readout = READ[name]
    model, x = Head(forward), torch.randn(3, 3, 5, 5)
    found = features(model, x)
    assert found.readout == readout
    expected = entered(model) if readout else model.eval()(x)
    torch.testing.assert_close(found.z, expected.detach().reshape(3, -1), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    "forward",
    [
        lambda f, h: F.relu(f.linear(f.pooled)),
        lambda f, h: f.linear(f.pooled) + f.pooled[:, :4],
        lambda f, h: f.linear(f.pooled) * f.pooled[:, :4],
        lambda f, h: f.conv(h).amax((2, 3)),
        lambda f, h: f.conv(h).softmax(1).mean((2, 3)),
        lambda f, h: f.linear(f.pooled) + f.positions[:, :4, 0, 0],
        lambda f, h: torch.addmm(f.pooled[:, :4], f.pooled, f.linear.weight.T),
        lambda f, h: f.conv(h).mean(1).flatten(1),
        lambda f, h: f.grouped(h).mean((2, 3)),
        lambda f, h: f.conv(h).view(len(h), -1, 4).mean(1),
        lambda f, h: f.pooled @ f.pooled.T,
        changed_in_place,
        written_into,
    ],
)
def test_without_a_readout_the_outputs_are_the_features(
    forward: Callable[[Head, Tensor], Tensor],
) -> None:
    model, x = Head(forward), torch.randn(3, 3, 5, 5)
    found = features(model, x)
    assert found.readout == ""
    assert torch.equal(found.z, model.eval()(x).reshape(3, -1))


@pytest.mark.parametrize(
    "forward",
    [lambda f, h: (f.linear(f.pooled), h), lambda f, h: f.linear(f.pooled).sum()],
)
def test_outputs_are_one_row_for_each_example(forward: Callable[[Head, Tensor], Any]) -> None:
    with pytest.raises(ValueError, match="first dimension is the batch"):
        features(Head(forward), torch.randn(3, 3, 5, 5))


def test_a_linear_network_hands_on_its_input() -> None:
    x = torch.randn(4, 3)
    assert torch.equal(features(nn.Linear(3, 2), x).z, x)


def test_chunks_and_statistics() -> None:
    space = prunable(get_space("nasbench201"))
    model = space.build(space.supernet(), space.scales["small"], inputs=(3, 32, 32), classes=7)
    x = torch.randn(10, 3, 8, 8)
    model(x)
    whole, chunked = features(model, x), features(model, x, chunk=3)
    assert whole.readout == "linear"
    assert whole.z.shape == (10, 12)
    torch.testing.assert_close(whole.z, chunked.z)
    by_batch = features(model, x, batchnorm="batch", chunk=3).z
    torch.testing.assert_close(by_batch, features(model, x, batchnorm="frozen").z)
    kept: list[Tensor] = []
    model.get_submodule("classifier").register_forward_pre_hook(
        lambda layer, inputs: kept.append(inputs[0])
    )
    model.train()(x)
    torch.testing.assert_close(by_batch, kept[0].detach())


class Coupling(nn.Module):
    """Subtracts the mean of the batch by itself."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.last = nn.Linear(3, 8), nn.Linear(8, 2)

    def forward(self, x: Tensor) -> Tensor:
        h = self.first(x).tanh()
        return self.last(h - h.mean(0))


def test_a_batch_whose_examples_influence_each_other_passes_whole() -> None:
    model, x = Coupling(), torch.randn(10, 3)
    h = model.first(x).tanh().detach()
    torch.testing.assert_close(features(model, x, chunk=3).z, h - h.mean(0))


def test_noise_is_the_same_every_time_and_nobody_elses() -> None:
    class Noisy(nn.Sequential):
        def forward(self, x: Tensor) -> Tensor:
            return super().forward(x + torch.randn(3))

    model, x = Noisy(nn.Linear(3, 8), nn.ReLU(), nn.Linear(8, 2)), torch.randn(5, 3)
    state = torch.random.get_rng_state()
    assert torch.equal(features(model, x).z, features(model, x).z)
    assert torch.equal(state, torch.random.get_rng_state())


def test_the_network_and_its_input_are_left_as_they_were() -> None:
    model = nn.Sequential(nn.ReLU(inplace=True), nn.Linear(3, 3), nn.BatchNorm1d(3), nn.Dropout())
    before = {k: v.clone() for k, v in model.state_dict().items()}
    x = torch.randn(4, 3)
    kept, random = x.clone(), torch.random.get_rng_state()
    features(model, x, batchnorm="frozen")
    assert torch.equal(x, kept)
    assert model.training
    assert model[3].training
    assert torch.equal(random, torch.random.get_rng_state())
    assert all(torch.equal(v, before[k]) for k, v in model.state_dict().items())


def test_features_under_inference_mode() -> None:
    model = nn.Sequential(nn.Linear(3, 8), nn.ReLU(inplace=True), nn.Linear(8, 2))
    x = torch.randn(4, 3)
    expected = features(model, x)
    with torch.inference_mode():
        found = features(model, x.clone())
    assert found.readout == expected.readout == "linear"
    assert torch.equal(found.z, expected.z)


def test_wrong_use() -> None:
    with pytest.raises(ValueError, match="at least one example"):
        features(nn.Linear(3, 2), torch.ones(0, 3))
    with pytest.raises(ValueError, match="chunk of at least one"):
        features(nn.Linear(3, 2), torch.ones(4, 3), chunk=0)
    with pytest.raises(ValueError, match=r"expected real outputs, got torch\.complex64"):
        features(Head(lambda f, h: torch.fft.fft(f.linear(f.pooled))), torch.ones(4, 3, 5, 5))
