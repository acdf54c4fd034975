"""Weight draws: their laws, common numbers, and NTK parametrisation."""

import copy

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.func import functional_call, vmap

from untrained.kernels.choice import Method
from untrained.kernels.ntk import ntk
from untrained.networks.weights import (
    WEIGHTS,
    Initialisation,
    draw_weights,
    ntk_parametrisation,
    stacked_weights,
)
from untrained.spaces import get_space, prunable


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@pytest.mark.parametrize(
    ("method", "std"),
    [
        ("kaiming_fan_out", (2 / (64 * 9)) ** 0.5),
        ("kaiming_fan_in", (2 / (32 * 9)) ** 0.5),
        ("lecun_normal", (1 / (32 * 9)) ** 0.5),
        ("orthogonal", (2 / (32 * 9)) ** 0.5),
        ("torch_default", (1 / (3 * 32 * 9)) ** 0.5),
        ("normal", 1.0),
    ],
)
def test_standard_deviations(method: str, std: float) -> None:
    layer = nn.Conv2d(32, 64, 3)
    draw_weights(layer, method, generator())
    assert layer.weight.std().item() == pytest.approx(std, rel=0.02)
    assert layer.weight.mean().abs().item() < 0.02 * std
    assert layer.get_parameter("bias").eq(0).all() == (method != "torch_default")


def test_same_law_as_torch_kaiming_normal() -> None:
    layer, other = nn.Linear(300, 200), nn.Linear(300, 200)
    draw_weights(layer, "kaiming_fan_in", generator())
    nn.init.kaiming_normal_(other.weight, mode="fan_in", nonlinearity="relu")
    assert layer.weight.std().item() == pytest.approx(other.weight.std().item(), rel=0.02)


@pytest.mark.parametrize("method", WEIGHTS)
def test_networks_that_share_a_layer_share_its_weights(method: str) -> None:
    space = prunable(get_space("nasbench201"))
    parent = space.supernet()
    child = space.without(parent, space.choices(parent)[5])
    networks = [
        space.build(a, space.scales["small"], inputs=(3, 32, 32), classes=10)
        for a in (parent, child)
    ]
    if method == "ntk":
        networks = [ntk_parametrisation(network) for network in networks]
    for network in networks:
        draw_weights(network, method, generator(7))
    weights, fewer = (dict(network.named_parameters()) for network in networks)
    assert set(fewer) < set(weights)
    assert all(torch.equal(fewer[name], weights[name]) for name in fewer)


def test_normalisation_starts_anew() -> None:
    layer = nn.Sequential(nn.BatchNorm2d(3))
    layer(torch.randn(4, 3, 2, 2) + 5)
    nn.init.constant_(layer.get_parameter("0.weight"), 3)
    draw_weights(layer, "kaiming_fan_in", generator())
    assert layer.get_parameter("0.weight").eq(1).all()
    assert layer.get_buffer("0.running_mean").eq(0).all()


def test_slopes_and_scales_are_not_weights() -> None:
    model = nn.Sequential(nn.Linear(3, 3), nn.PReLU(), nn.RMSNorm(3))
    draw_weights(model, "kaiming_fan_in", generator())
    assert model.get_parameter("1.weight").item() == 0.25
    assert model.get_parameter("2.weight").eq(1).all()


def test_other_seeds_other_weights_and_global_state_untouched() -> None:
    state = torch.random.get_rng_state()
    a, b, c = nn.Linear(4, 4), nn.Linear(4, 4), nn.Linear(4, 4)
    state = torch.random.get_rng_state()
    for layer, seed in ((a, 1), (b, 1), (c, 2)):
        draw_weights(layer, "torch_default", generator(seed))
    assert torch.equal(a.weight, b.weight)
    assert not torch.equal(a.weight, c.weight)
    assert torch.equal(state, torch.random.get_rng_state())


def test_unknown_method_names_the_nearest() -> None:
    with pytest.raises(ValueError, match="did you mean kaiming_fan_out"):
        draw_weights(nn.Linear(2, 2), "kaiming_fanout", generator())


def test_lecun_normal_is_cut_at_two_standard_deviations() -> None:
    layer = nn.Linear(100, 300)
    draw_weights(layer, "lecun_normal", generator())
    w = torch.linspace(-2, 2, 20001, dtype=torch.float64)
    density = (-(w**2) / 2).exp()
    left = ((density * w**2).sum() / density.sum()).sqrt().item()  # std of the cut law
    assert layer.weight.abs().max().item() == pytest.approx(2 * 0.1 / left, rel=1e-2)
    assert layer.weight.std().item() == pytest.approx(0.1, rel=0.02)


def test_draws_stay_as_they_are() -> None:
    """Stored runs are repeated from their seeds: these numbers must not change."""
    layer = nn.Conv2d(2, 1, 1)
    expected = {
        "kaiming_fan_out": [2.41932, 1.624738, 0.0],
        "kaiming_fan_in": [1.710718, 1.148863, 0.0],
        "torch_default": [0.016639, 0.214538, -0.501332],
        "normal": [1.710718, 1.148863, 0.0],
    }
    for method, numbers in expected.items():
        draw_weights(layer, method, generator(3))
        found = [*layer.weight.flatten().tolist(), layer.get_parameter("bias").item()]
        assert found == pytest.approx(numbers, abs=1e-6)


def test_a_transposed_convolution_keeps_the_second_moment() -> None:
    """As He asks: inputs of second moment 1 give outputs of variance 2, whatever the stride."""
    layer = nn.ConvTranspose2d(16, 24, 4, stride=2, groups=2, bias=False)
    draw_weights(layer, "kaiming_fan_in", generator())
    x = torch.randn(50, 16, 12, 12, generator=generator(1))
    inside = layer(x)[:, :, 4:-4, 4:-4]
    assert inside.square().mean().item() == pytest.approx(2, rel=0.05)
    draw_weights(layer, "kaiming_fan_out", generator())
    assert layer.weight.std().item() == pytest.approx((2 / (12 * 16)) ** 0.5, rel=0.05)


def test_embeddings_are_linear_layers_on_one_hot_inputs() -> None:
    layer = nn.Embedding(300, 40, padding_idx=3)
    for method, std in [("kaiming_fan_in", 2**0.5), ("orthogonal", 2**0.5), ("torch_default", 1)]:
        draw_weights(layer, method, generator())
        assert layer.weight.std().item() == pytest.approx(std, rel=0.02)
        assert not layer.weight[3].any()


@pytest.mark.parametrize("layer", [nn.LSTM(30, 50, 2), nn.GRUCell(30, 50)])
def test_recurrent_layers(layer: nn.Module) -> None:
    draw_weights(layer, "torch_default", generator())
    for parameter in layer.parameters():  # as the documentation of torch has it
        assert 0.9 * 50**-0.5 < parameter.abs().max().item() <= 50**-0.5
    draw_weights(layer, "kaiming_fan_in", generator())
    for name, parameter in layer.named_parameters():
        std = 0 if "bias" in name else (2 / parameter.shape[1]) ** 0.5
        assert parameter.std().item() == pytest.approx(std, rel=0.05)


@pytest.mark.parametrize(
    ("layer", "name", "blocks"),
    [
        (nn.Linear(8, 5), "weight", 1),
        (nn.Linear(5, 8), "weight", 1),
        (nn.Conv2d(12, 9, 3, groups=3), "weight", 3),
        (nn.Conv2d(6, 6, 3, groups=6), "weight", 6),
        (nn.ConvTranspose2d(6, 4, 2, groups=2), "weight", 2),
        (nn.LSTMCell(7, 5), "weight_hh", 4),
        (nn.MultiheadAttention(6, 2), "in_proj_weight", 3),
    ],
)
def test_orthogonal_blocks(layer: nn.Module, name: str, blocks: int) -> None:
    draw_weights(layer, "orthogonal", generator())
    for block in getattr(layer, name).chunk(blocks):
        w = block.flatten(1)
        gram = w @ w.T if w.shape[0] <= w.shape[1] else w.T @ w
        torch.testing.assert_close(gram, 2 * torch.eye(len(gram)))


def mixed() -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.PReLU(), nn.Flatten(), nn.Linear(16, 2)
    )


@pytest.mark.parametrize("method", sorted(set(WEIGHTS) - {"ntk"}))
def test_stacked_draws_are_successive_draws(method: str) -> None:
    model, one, many = mixed(), generator(4), generator(4)
    nn.init.constant_(model.get_parameter("2.weight"), 0.5)
    before = copy.deepcopy(model.state_dict())
    stacked = stacked_weights(model, method, many, 3)
    assert all(torch.equal(v, before[k]) for k, v in model.state_dict().items())
    x = torch.randn(5, 3, 4, 4)
    outputs = vmap(lambda theta: functional_call(model.eval(), theta, x))(stacked)
    for m in range(3):
        draw_weights(model, method, one)
        for name, parameter in model.named_parameters():
            assert torch.equal(stacked[name][m], parameter), name
        torch.testing.assert_close(outputs[m], model(x))
    assert torch.equal(one.get_state(), many.get_state())


def test_ntk_parametrisation_computes_what_the_kaiming_draw_does() -> None:
    model = mixed()
    scaled = ntk_parametrisation(model)
    draw_weights(model, "kaiming_fan_in", generator(2))
    draw_weights(scaled, "ntk", generator(2))
    x = torch.randn(5, 3, 4, 4)
    torch.testing.assert_close(scaled(x), model(x))
    weights = {n: p for n, p in scaled.named_parameters() if "weight.original" in n}
    assert torch.cat([w.flatten() for w in weights.values()]).std().item() == pytest.approx(1, 0.1)


def test_before_a_draw_a_parametrised_copy_computes_what_the_model_does() -> None:
    model = mixed()
    x = torch.randn(5, 3, 4, 4)
    torch.testing.assert_close(ntk_parametrisation(model, sigma_b=0.1)(x), model(x))
    assert not hasattr(model[0], "parametrizations")


@pytest.mark.parametrize("method", ["loop", "vmap", "auto"])
def test_ntk_in_ntk_parametrisation(method: Method) -> None:
    """Against a double loop over the plain parameters, each term with its own scale squared."""
    sigma_w, sigma_b = 1.5, 0.3
    model = nn.Sequential(
        nn.Conv2d(2, 3, 3), nn.ReLU(), nn.ConvTranspose2d(3, 2, 2), nn.ReLU(), nn.Flatten()
    )
    model.append(nn.Linear(2 * 9, 2)).double()
    scaled = ntk_parametrisation(model, sigma_w=sigma_w, sigma_b=sigma_b)
    draw_weights(scaled, "ntk", generator())
    x = torch.randn(4, 2, 4, 4, dtype=torch.float64, generator=generator())
    fans = {"0.weight": 2 * 9, "2.weight": 3 * 4, "5.weight": 18}
    with torch.no_grad():  # the same function in plain parameters
        for name, parameter in model.named_parameters():
            layer, kind = scaled.get_submodule(name[0]), name[2:]
            parameter.copy_(getattr(layer, kind))
    torch.testing.assert_close(scaled(x), model(x))
    theta = torch.zeros(4, 4, dtype=torch.float64)
    for name, parameter in model.named_parameters():
        square = sigma_w**2 / fans[name] if name in fans else sigma_b**2
        rows = [torch.autograd.grad(model(x)[i].sum(), parameter)[0] for i in range(4)]
        for i in range(4):
            for j in range(4):
                theta[i, j] += square * (rows[i] * rows[j]).sum()
    torch.testing.assert_close(ntk(scaled, x, method=method), theta)


def test_width_does_not_change_the_ntk_in_its_parametrisation() -> None:
    """Theta / K = Sigma_2 + Sigma_1' Sigma_1: for one hidden ReLU layer, in closed form."""
    model = ntk_parametrisation(nn.Sequential(nn.Linear(3, 20000), nn.ReLU(), nn.Linear(20000, 1)))
    draw_weights(model, "ntk", generator())
    x = F.normalize(torch.randn(3, 3, generator=generator(1)))
    angle = (x @ x.T).clamp(-1, 1).arccos()
    first = 2 / 3 * (x @ x.T)
    derivative = (torch.pi - angle) / torch.pi
    second = 2 / 3 * (angle.sin() + (torch.pi - angle) * angle.cos()) / torch.pi
    expected = second + derivative * first
    torch.testing.assert_close(ntk(model, x).float(), expected, rtol=0.05, atol=0.02)


class Tied(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.one, self.two = nn.Linear(3, 3), nn.Linear(3, 3)
        self.two.weight = self.one.weight

    def forward(self, x: Tensor) -> Tensor:
        return self.two(self.one(x))


@pytest.mark.parametrize(
    ("model", "message"), [(Tied(), "share a weight"), (nn.LSTM(2, 3), "try their cells")]
)
def test_parametrisation_refuses_what_it_cannot_follow(model: nn.Module, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        ntk_parametrisation(model)


def test_the_law_fits_the_parametrisation() -> None:
    with pytest.raises(ValueError, match="not in that parametrisation"):
        draw_weights(nn.Linear(2, 2), "ntk", generator())
    with pytest.raises(ValueError, match="go together"):
        draw_weights(ntk_parametrisation(nn.Linear(2, 2)), "kaiming_fan_in", generator())
    with pytest.raises(ValueError, match="at least one draw"):
        stacked_weights(nn.Linear(2, 2), "kaiming_fan_in", generator(), 0)


def test_as_built_puts_back_what_was_there() -> None:
    network = nn.Sequential(nn.Linear(4, 3), nn.BatchNorm1d(3), nn.Linear(3, 2))
    before = copy.deepcopy(network.state_dict())
    drawing = Initialisation.of(network, "as_built")
    drawing.draw(generator())
    assert all(torch.equal(before[name], v) for name, v in network.state_dict().items())
    network(torch.randn(8, 4)).sum().backward()
    torch.optim.SGD(network.parameters(), 1.0).step()
    assert not torch.equal(before["2.weight"], network.get_parameter("2.weight"))
    drawing.draw(generator(1))
    assert all(torch.equal(before[name], v) for name, v in network.state_dict().items())
