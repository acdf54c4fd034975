"""BatchNorm of what is no example's: weights, parameters, constants; under every policy.

The truth is the same network with its weights standardised beforehand, or autograd's rows.
"""

import copy
from collections.abc import Callable

import naive
import pytest
import torch
import torch.nn.functional as F
import zoo
from compare import deviation
from torch import Tensor, nn
from zoo import Net

from untrained.kernels.choice import METHODS
from untrained.kernels.ntk import ntk
from untrained.networks.choices import Policy
from untrained.networks.features import features
from untrained.networks.provenance import Provenance
from untrained.regions.counting import count_regions

POLICIES: tuple[Policy, ...] = ("running", "frozen", "batch")


def standardised(kind: str, w: Tensor, gain: Tensor) -> Tensor:
    """Each output's weights to mean zero and variance one, in the ways of published codes."""
    rows = w.reshape(1, len(w), -1)
    if kind == "batch_norm":
        rows = F.batch_norm(rows, None, None, gain, training=True, momentum=0.0, eps=1e-6)
    elif kind == "instance_norm":
        rows = F.instance_norm(rows) * gain[:, None]
    elif kind == "group_norm":
        rows = F.group_norm(rows, len(w), gain)
    else:
        variance, mean = torch.var_mean(rows, -1, keepdim=True)
        rows = gain[:, None] * (rows - mean) / (variance + 1e-6).sqrt()
    return rows.reshape(w.shape)


class StandardisedConv(nn.Conv2d):
    """As in BiT and NFNet, of weights that are pruned."""

    mask: Tensor

    def __init__(self, kind: str, inputs: int, outputs: int):
        super().__init__(inputs, outputs, 3)
        self.kind = kind
        self.gain = nn.Parameter(torch.rand(outputs) + 0.5)
        self.register_buffer("mask", torch.rand(self.weight.shape).gt(0.2).float())

    def forward(self, x: Tensor) -> Tensor:
        w = standardised(self.kind, self.weight * self.mask, self.gain)
        return F.conv2d(x, w, self.bias)


KINDS = ("batch_norm", "instance_norm", "group_norm", "var_mean")


def network(kind: str) -> tuple[nn.Sequential, Tensor]:
    torch.manual_seed(0)
    first, second = StandardisedConv(kind, 3, 8), StandardisedConv(kind, 8, 8)
    layers = [first, nn.GroupNorm(2, 8), nn.ReLU(), second, nn.ReLU(), nn.Flatten()]
    model = nn.Sequential(*layers, nn.Linear(32, 2)).double()
    return model, torch.randn(6, 3, 6, 6, dtype=torch.float64)


def beforehand(model: nn.Sequential) -> nn.Sequential:
    """The same with plain convolutions."""
    model = copy.deepcopy(model)
    for k, layer in enumerate(model):
        if isinstance(layer, StandardisedConv):
            plain = nn.Conv2d(layer.in_channels, layer.out_channels, 3).double()
            w = standardised(layer.kind, (layer.weight * layer.mask).detach(), layer.gain.detach())
            plain.weight, plain.bias = nn.Parameter(w), layer.bias
            model[k] = plain
    return model


@pytest.mark.parametrize("policy", POLICIES)
@pytest.mark.parametrize("kind", KINDS)
def test_weights_standardised(kind: str, policy: Policy) -> None:
    model, x = network(kind)
    expected = naive.ntk(model.eval(), x, zoo.trainable(model))
    for method in ("auto", *METHODS):
        if policy == "batch" and method in ("structured", "vmap"):
            continue
        found = ntk(model, x, batchnorm=policy, method=method)
        assert method != "auto" or found.plan.method == "structured", found.plan.reason
        assert deviation(found, expected) < 1e-10, method


@pytest.mark.parametrize("policy", POLICIES)
def test_features_and_regions_of_weights_standardised(policy: Policy) -> None:
    model, x = network("batch_norm")
    plain = beforehand(model)
    found, expected = (features(m, x, batchnorm=policy).z for m in (model, plain))
    assert deviation(found, expected) < 1e-10
    assert count_regions(model, x, batchnorm=policy) == count_regions(plain, x, batchnorm=policy)


def test_examples_are_normalised_beside_weights() -> None:
    """Statistics held constant are those of the examples alone, in the order of their layers."""
    model, x = network("batch_norm")
    model[1] = nn.BatchNorm2d(8).double()
    plain = beforehand(model).eval()
    h = plain[0](x).transpose(0, 1).flatten(1).detach()
    layer, of_plain = model[1], plain[1]
    assert isinstance(layer, nn.BatchNorm2d)
    assert isinstance(of_plain, nn.BatchNorm2d)
    for each in (layer, of_plain):
        each.running_mean, each.running_var = h.mean(1), h.var(1, unbiased=False)
    expected = naive.ntk(model.eval(), x, zoo.trainable(model))
    layer.running_mean, layer.running_var = torch.zeros(8).double(), torch.ones(8).double()
    for method in ("auto", *METHODS):
        assert deviation(ntk(model, x, batchnorm="frozen", method=method), expected) < 1e-10
    assert deviation(ntk(model, x, x[:2], batchnorm="frozen"), expected[:, :2]) < 1e-10


def test_queries_are_normalised_as_the_network_has_it() -> None:
    torch.manual_seed(0)
    model = Net(
        lambda m, x: m.b(torch.relu(m.a(x) + m.norm(m.queries).sum(0))),
        a=nn.Linear(4, 8), b=nn.Linear(8, 2), norm=nn.BatchNorm1d(8), queries=torch.randn(3, 8),
    ).double()  # fmt: skip
    x = torch.randn(6, 4, dtype=torch.float64)
    expected = naive.ntk(model.eval(), x, zoo.trainable(model))
    for policy in POLICIES:
        assert deviation(ntk(model, x, batchnorm=policy), expected) < 1e-10


def test_what_is_no_examples() -> None:
    w, x = torch.ones(3), torch.ones(2, 3)
    own = Provenance([w])

    def call(func: Callable[..., Tensor], *args: object, **kwargs: object) -> Tensor:
        made = own.makes(func, args, kwargs)
        found = func(*args, **kwargs)
        if made:
            own.add(found)
        return found

    double, positions = call(torch.mul, w, 2), call(torch.arange, 3)
    shared = call(torch.stack, [w, double])
    like = call(torch.zeros_like, x)
    for each in (double, positions, shared, like):
        assert each in own
    for each in (x, call(torch.mul, w, x), call(torch.tensor, [1.0])):
        assert each not in own
    part = call(Tensor.select, like, 0, 1)
    call(Tensor.copy_, part, x[0])
    assert part not in own
    assert like not in own  # an example was written into its memory
    assert shared in own
