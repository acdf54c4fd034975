"""What networks do with parameters of their own making, against what comes out of them."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from test_weights import generator
from torch import Tensor, nn
from torch.nn.utils import prune
from torch.nn.utils.parametrizations import weight_norm
from zoo import Net

from untrained.networks.uses import uses_on
from untrained.networks.weights import draw_weights, ntk_parametrisation

randn = torch.randn


class Conv1D(nn.Module):
    """GPT-2's."""

    def __init__(self, inputs: int, outputs: int):
        super().__init__()
        self.nf = outputs
        self.weight = nn.Parameter(randn(inputs, outputs))
        self.bias = nn.Parameter(torch.ones(outputs))

    def forward(self, x: Tensor) -> Tensor:
        flat = torch.addmm(self.bias, x.view(-1, x.shape[-1]), self.weight)
        return flat.view(*x.shape[:-1], self.nf)


class Turned(nn.Linear):
    """A subclass of a layer of torch's that stores its weight the other way."""

    def __init__(self, inputs: int, outputs: int):
        super().__init__(outputs, inputs)
        self.bias = nn.Parameter(torch.ones(outputs))

    def forward(self, x: Tensor) -> Tensor:
        return x @ self.weight + self.bias


class Standardised(nn.Conv2d):
    """Its weight is computed with before it meets the examples: a layer as its class says."""

    def forward(self, x: Tensor) -> Tensor:
        return F.conv2d(x, self.weight / self.weight.norm(), self.bias)


class Gained(nn.Conv2d):
    """Standardised by a function for batches, with a gain: a layer of normalizer-free networks."""

    def __init__(self, inputs: int, outputs: int, side: int):
        super().__init__(inputs, outputs, side)
        self.gain = nn.Parameter(3 * torch.ones(outputs, 1, 1, 1))

    def forward(self, x: Tensor) -> Tensor:
        flat, gain = self.weight.reshape(1, self.out_channels, -1), self.gain.view(-1)
        weight = F.batch_norm(flat, None, None, weight=gain, training=True)
        return F.conv2d(x, weight.reshape_as(self.weight), self.bias)


def by_hand(m: Net, x: Tensor) -> Tensor:
    return torch.einsum("bti,ihd->bthd", x, m.w).flatten(2)


# name: network, inputs; all are linear, from 40 inputs to an output
MAPS: dict[str, tuple[Callable[[], nn.Module], tuple[int, ...]]] = {
    "x @ W": (lambda: Net(lambda m, x: x @ m.w, w=randn(40, 90)), (40,)),
    "x @ W, keywords": (
        lambda: Net(lambda m, x: torch.matmul(input=x, other=m.w), w=randn(40, 90)),
        (40,),
    ),
    "torch.mm": (lambda: Net(lambda m, x: x.mm(m.w), w=randn(40, 90)), (40,)),
    "W @ x": (lambda: Net(lambda m, x: (m.w @ x.T).T, w=randn(90, 40)), (40,)),
    "F.linear": (lambda: Net(lambda m, x: F.linear(x, m.w), w=randn(90, 40)), (40,)),
    "F.linear of W.T": (lambda: Net(lambda m, x: F.linear(x, m.w.T), w=randn(40, 90)), (40,)),
    "F.linear of W.t()": (lambda: Net(lambda m, x: F.linear(x, m.w.t()), w=randn(40, 90)), (40,)),
    "addmm": (lambda: Conv1D(40, 90), (40,)),
    "addmm of words": (lambda: Conv1D(40, 90), (3, 40)),
    "subclass": (lambda: Turned(40, 90), (40,)),
    "einsum": (
        lambda: Net(lambda m, x: torch.einsum("bi,io->bo", x, m.w), w=randn(40, 90)),
        (40,),
    ),
    "einsum, dots": (
        lambda: Net(lambda m, x: torch.einsum("...i,oi->...o", x, m.w), w=randn(90, 40)),
        (40,),
    ),
    "einsum, implicit": (
        lambda: Net(lambda m, x: torch.einsum("bi,io", x, m.w), w=randn(40, 90)),
        (40,),
    ),
    "einsum, heads": (lambda: Net(by_hand, w=randn(40, 9, 10)), (5, 40)),
    "einsum, out of heads": (
        lambda: Net(lambda m, x: torch.einsum("bthd,hdo->bto", x, m.w), w=randn(4, 10, 90)),
        (5, 4, 10),
    ),
    "experts": (
        lambda: Net(
            lambda m, x: torch.einsum("bi,eio->beo", x, m.w).flatten(1), w=randn(3, 40, 30)
        ),
        (40,),
    ),
    "experts, bmm": (
        lambda: Net(lambda m, x: torch.bmm(x.transpose(0, 1), m.w)[0], w=randn(3, 40, 90)),
        (3, 40),
    ),
    "tensordot": (lambda: Net(lambda m, x: torch.tensordot(x, m.w, 1), w=randn(40, 90)), (40,)),
    "packed": (
        lambda: Net(lambda m, x: torch.cat([x @ w for w in m.w.chunk(3, 1)], 1), w=randn(40, 90)),
        (40,),
    ),
    "a list": (
        lambda: Net(lambda m, x: x @ m.ws[0], ws=nn.ParameterList([randn(40, 90)])),
        (40,),
    ),
    "convolution of a matrix": (
        lambda: Net(lambda m, x: F.conv2d(x, m.w.view(90, 10, 2, 2)), w=randn(90, 40)),
        (10, 6, 6),
    ),
    "convolution, stored as in JAX": (
        lambda: Net(lambda m, x: F.conv2d(x, m.w.permute(3, 2, 0, 1)), w=randn(2, 2, 10, 90)),
        (10, 6, 6),
    ),
    "convolution in groups": (
        lambda: Net(lambda m, x: F.conv1d(x, m.w, groups=3), w=randn(90, 20, 2)),
        (60, 6),
    ),
    "vector": (lambda: Net(lambda m, x: (x @ m.w)[:, None], w=randn(4000)), (4000,)),
    "pruned by none": (lambda: prune.identity(Conv1D(40, 90), "weight"), (40,)),
    "weight norm": (lambda: weight_norm(Conv1D(40, 90)), (40,)),
    "low rank": (
        lambda: Net(lambda m, x: x @ m.a.T @ m.b.T / 2**0.5, a=randn(300, 40), b=randn(90, 300)),
        (40,),
    ),
}
LAWS = {"kaiming_fan_in": 2.0, "lecun_normal": 1.0, "orthogonal": 2.0, "torch_default": 1 / 3}


def second_moment(net: nn.Module, shape: tuple[int, ...]) -> float:
    """E y^2 for inputs of mean 0 and variance 1."""
    with torch.no_grad():
        return net(randn(400, *shape, generator=generator(1))).square().mean().item()


@pytest.mark.parametrize("given", [False, True])
@pytest.mark.parametrize("name", MAPS)
def test_a_map_keeps_the_second_moment_however_it_is_stored(name: str, given: bool) -> None:
    """var y = fan_in var W, and kaiming_fan_in makes that 2; no other fan would."""
    torch.manual_seed(0)
    make, shape = MAPS[name]
    net = make()
    options: dict[str, Any] = {"x": randn(1, *shape)} if given else {}
    draw_weights(net, "kaiming_fan_in", generator(), **options)
    assert second_moment(net, shape) == pytest.approx(2, rel=0.12)


@pytest.mark.parametrize("method", LAWS)
@pytest.mark.parametrize("name", ["x @ W", "addmm", "subclass", "einsum, heads", "experts"])
def test_other_laws_of_maps(name: str, method: str) -> None:
    torch.manual_seed(0)
    make, shape = MAPS[name]
    net = make()
    draw_weights(net, method, generator())
    bias = 1 / 3 / 40 if method == "torch_default" and name == "addmm" else 0
    if method == "orthogonal" and name == "x @ W":
        w = net.get_parameter("w")
        torch.testing.assert_close(w @ w.T, 2 * torch.eye(40), atol=1e-5, rtol=0)
    if method != "torch_default" or name != "subclass":
        share = 40 / 90 if method == "orthogonal" else 1  # 40 inputs fill 40 of 90 directions
        assert second_moment(net, shape) == pytest.approx(LAWS[method] * share + bias, rel=0.1)


def test_gradients_keep_their_moment_by_fan_out() -> None:
    net = Net(lambda m, x: x @ m.w, w=randn(90, 40))
    draw_weights(net, "kaiming_fan_out", generator())
    back = randn(400, 40, generator=generator(1)) @ net.w.detach().T
    assert back.square().mean().item() == pytest.approx(2, rel=0.1)


def test_ntk_parametrisation_of_a_turned_weight() -> None:
    net = nn.Sequential(Conv1D(40, 90), nn.ReLU(), Conv1D(90, 3))
    scaled = ntk_parametrisation(net)
    draw_weights(scaled, "ntk", generator(2))
    draw_weights(net, "kaiming_fan_in", generator(2))
    x = randn(5, 40)
    torch.testing.assert_close(scaled(x), net(x))
    drawn = scaled.get_parameter("0.parametrizations.weight.original")
    assert drawn.std().item() == pytest.approx(1, rel=0.05)


def test_draws_of_weights_that_are_stored_as_torch_does_stay_as_they_are() -> None:
    """A weight (outputs, inputs) has the numbers of nn.Linear of that name."""
    raw, layer = Net(lambda m, x: F.linear(x, m.weight), weight=randn(3, 4)), nn.Linear(4, 3)
    for method in ("kaiming_fan_in", "kaiming_fan_out", "orthogonal", "torch_default"):
        draw_weights(raw, method, generator())
        draw_weights(layer, method, generator())
        assert torch.equal(raw.weight, layer.weight)


# What meets the examples entry by entry


class Vision(nn.Module):
    """Patches, a class token, positions, layer scale, a temperature."""

    def __init__(self) -> None:
        super().__init__()
        self.patches = nn.Conv2d(3, 8, 2, 2)
        self.token = nn.Parameter(0.02 * randn(1, 1, 8))
        self.position = nn.Parameter(0.02 * randn(1, 5, 8))
        self.gamma = nn.Parameter(torch.full((1, 1, 8), 0.1))
        self.temperature = nn.Parameter(torch.tensor(2.0))
        self.block = nn.TransformerEncoderLayer(8, 2, 12, batch_first=True)
        self.head = nn.Linear(8, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = self.patches(x).flatten(2).mT
        x = torch.cat([self.token.expand(len(x), -1, -1), x], 1) + self.position
        return self.temperature * self.head(self.gamma * self.block(x)[:, 0])


def relative() -> nn.Module:
    """A table of biases by relative position, looked up by constants."""

    def step(m: Net, x: Tensor) -> Tensor:
        place = torch.arange(4)
        bias = m.table[place[:, None] - place + 3].permute(2, 0, 1)
        q = x.unflatten(2, (2, 4)).transpose(1, 2)
        return m.head(F.scaled_dot_product_attention(q, q, q, attn_mask=bias[None]).flatten(1))

    return Net(step, table=0.02 * randn(7, 2), head=nn.Linear(32, 3))


def queries() -> nn.Module:
    """Learned tokens that pass through layers as examples do."""
    return Net(
        lambda m, x: (m.ask(m.q) @ m.keys(x).mT).flatten(1),
        q=randn(2, 8),
        ask=nn.Linear(8, 6),
        keys=nn.Linear(8, 6),
    )


def decays() -> nn.Module:
    """A positive rate for each channel and state, as state space models have."""
    return Net(lambda m, x: (x[..., None] * m.rate.exp()).flatten(1), rate=randn(8, 3))


def positions() -> nn.Module:
    """A table with as many rows as the network takes words."""
    return Net(
        lambda m, x: m.head(F.relu(m.embed(x) + m.table).mean(1)),
        embed=nn.Linear(6, 8),
        table=0.02 * randn(11, 8),
        head=nn.Linear(8, 3),
    )


STAYING: dict[str, tuple[Callable[[], nn.Module], tuple[int, ...]]] = {
    "vision": (Vision, (3, 4, 4)),
    "relative positions": (relative, (4, 8)),
    "positions": (positions, (11, 6)),
    "queries": (queries, (5, 8)),
    "rates": (decays, (8,)),
}


@pytest.mark.parametrize(
    ("name", "given"),
    [
        (name, given)
        for name in STAYING
        for given in {True, name not in ("positions", "queries", "rates")}
    ],
)
def test_tables_tokens_and_scales_stay(name: str, given: bool) -> None:
    make, shape = STAYING[name]
    net = make()
    own = {key: p.clone() for key, p in net.named_parameters(recurse=False)}
    layers = {key: p.clone() for key, p in net.named_parameters() if "." in key}
    options: dict[str, Any] = {"x": randn(1, *shape)} if given else {}
    draw_weights(net, "kaiming_fan_in", generator(), **options)
    assert all(torch.equal(net.get_parameter(key), value) for key, value in own.items())
    weights = [key for key in layers if key.endswith("weight") and "norm" not in key]
    assert not any(torch.equal(net.get_parameter(key), layers[key]) for key in weights)


@pytest.mark.parametrize(
    "step", [lambda m, x: F.embedding(x, m.table).mean(1), lambda m, x: m.table[x].mean(1)]
)
def test_a_table_that_examples_look_up_is_an_embedding(step: Any) -> None:
    net = Net(step, table=randn(300, 40))
    for method, std in [("kaiming_fan_in", 2**0.5), ("orthogonal", 2**0.5), ("torch_default", 1)]:
        draw_weights(net, method, generator())
        assert net.table.std().item() == pytest.approx(std, rel=0.02)


def test_numbers_that_count_stay() -> None:
    net = Net(lambda m, x: m.layer(x[:, m.order]), layer=nn.Linear(4, 3))
    net.order = nn.Parameter(torch.tensor([3, 1, 0, 2]), requires_grad=False)
    draw_weights(net, "kaiming_fan_in", generator())
    assert net.order.tolist() == [3, 1, 0, 2]


@pytest.mark.parametrize("kind", [Standardised, Gained])
def test_a_subclass_that_computes_its_weight_is_the_layer_that_it_says(
    kind: type[nn.Conv2d],
) -> None:
    layer, plain = kind(8, 60, 3), nn.Conv2d(8, 60, 3)
    for network in (layer, plain):
        draw_weights(network, "kaiming_fan_in", generator(), x=randn(2, 8, 4, 4))
    assert torch.equal(layer.weight, plain.weight)
    assert not isinstance(layer, Gained) or (layer.gain == 3).all()


# What is not understood


def by_name(m: Net, x: Any) -> Tensor:
    return x["words"] @ m.w


REFUSED: dict[str, tuple[Callable[[], nn.Module], str]] = {
    "computed": (
        lambda: Net(lambda m, x: F.linear(x, m.w / m.w.norm()), w=randn(8, 4)),
        "no one law fits",
    ),
    "mixing": (
        lambda: Net(lambda m, x: m.w.softmax(1) @ x, w=randn(7, 7)),
        "no one law fits",
    ),
    "two ways": (
        lambda: Net(lambda m, x: x @ m.w @ m.w.T, w=randn(8, 4)),
        "no one law fits",
    ),
    "merged low rank": (
        lambda: Net(lambda m, x: F.linear(x, m.b @ m.a), a=randn(2, 8), b=randn(4, 2)),
        "no one law fits",
    ),
    "not seen": (lambda: Net(by_name, w=randn(8, 4)), "tried alone"),
    "complex": (
        lambda: Net(lambda m, x: (x + 0j) @ m.w, w=randn(4, 4, dtype=torch.complex64)),
        "real numbers",
    ),
    "lazy": (lambda: nn.LazyLinear(4), "has no numbers yet"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_not_understood_is_refused_by_name(name: str) -> None:
    make, message = REFUSED[name]
    net = nn.Sequential(nn.Linear(4, 8), make())
    before = net.get_parameter("0.weight").clone()
    with pytest.raises(ValueError, match=message) as raised:
        draw_weights(net, "kaiming_fan_in", generator())
    assert "'1." in str(raised.value)
    assert torch.equal(net.get_parameter("0.weight"), before)
    names = [f"1.{key}" for key, _ in net[1].named_parameters()]
    if name != "lazy":  # what the user draws needs no understanding
        draw_weights(net, "kaiming_fan_in", generator(), keep=names)
        assert not torch.equal(net.get_parameter("0.weight"), before)


class Choosy(nn.Module):
    """Takes images of one size, as many networks do."""

    def __init__(self) -> None:
        super().__init__()
        self.w = nn.Parameter(randn(40, 90))

    def forward(self, x: Tensor) -> Tensor:
        if x.shape[1:] != (5, 8):
            raise ValueError("expected images of 5 x 8")
        return x.flatten(1) @ self.w


def test_an_example_tells_what_trying_does_not() -> None:
    net = Choosy()
    with pytest.raises(ValueError, match="x=inputs"):
        draw_weights(net, "kaiming_fan_in", generator())
    draw_weights(net, "kaiming_fan_in", generator(), x=randn(1, 5, 8))
    assert net.w.std().item() == pytest.approx((2 / 40) ** 0.5, rel=0.05)
    with pytest.raises(ValueError, match="expected images of 5 x 8"):
        draw_weights(net, "kaiming_fan_in", generator(), x=randn(1, 5, 9))


def test_names_to_keep_are_names() -> None:
    with pytest.raises(ValueError, match="'weight', got 'weigth'"):
        draw_weights(nn.Linear(2, 2), "kaiming_fan_in", generator(), keep=["weigth"])


def test_looking_changes_nothing() -> None:
    net = Net(lambda m, x: m.norm(x @ m.w), w=randn(4, 3), norm=nn.BatchNorm1d(3))
    before = {key: value.clone() for key, value in net.state_dict().items()}
    state, x = torch.random.get_rng_state(), randn(5, 4)
    kept = x.clone()
    uses, failure = uses_on(net, x, ["w"])
    assert not failure
    (use,) = uses["w"]
    assert (use.kind, use.fan_in, use.fan_out) == ("map", 4, 3)
    assert torch.equal(x, kept)
    assert net.training
    assert all(torch.equal(value, before[key]) for key, value in net.state_dict().items())
    draw = randn(1)
    torch.random.set_rng_state(state)
    randn(5, 4)
    assert torch.equal(draw, randn(1))


# torch_default of modules that say how they begin


class Begins(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.w, self.inner = nn.Parameter(torch.empty(4, 8)), nn.Linear(4, 4)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        nn.init.normal_(self.w, 5)
        nn.init.zeros_(self.inner.weight)

    def forward(self, x: Tensor) -> Tensor:
        return self.inner(x) @ self.w


def test_a_module_that_says_how_it_begins_is_asked() -> None:
    one, two = Begins(), Begins()
    state = torch.random.get_rng_state()
    for net, seed in ((one, 3), (two, 3)):
        draw_weights(net, "torch_default", generator(seed))
    assert torch.equal(state, torch.random.get_rng_state())
    assert torch.equal(one.w, two.w)
    assert 4 < one.w.mean() < 6
    assert one.inner.weight.any()  # a layer of torch's has torch's law
    draw_weights(two, "torch_default", generator(4))
    assert not torch.equal(one.w, two.w)
    draw_weights(two, "kaiming_fan_in", generator(4))
    assert two.w.mean().abs() < 1
