"""Kernels of functions of parameters, of networks with several inputs, and of loaders' batches.

Each against J J^T, row by row, by autograd.
"""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.utils import _pytree as trees
from torch.utils.data import DataLoader, TensorDataset

from untrained import draw_weights, features, ntk, ntk_contributions, ntk_operator

N = 5


def randn(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def naive(outputs: Callable[[Any], Tensor], params: Any) -> Tensor:
    """J J^T of summed outputs: one backward pass for each row."""
    leaves = [leaf.detach().requires_grad_() for leaf in trees.tree_leaves(params)]
    found = outputs(trees.tree_unflatten(leaves, trees.tree_structure(params)))
    rows = [
        torch.cat([g.flatten() for g in torch.autograd.grad(one, leaves, retain_graph=True)])
        for one in found.flatten(1).sum(1)
    ]
    return torch.stack(rows) @ torch.stack(rows).T


def of_module(network: nn.Module, outputs: Callable[[], Tensor]) -> Tensor:
    leaves = list(network.parameters())
    rows = [
        torch.cat([g.flatten() for g in torch.autograd.grad(one, leaves, retain_graph=True)])
        for one in outputs().flatten(1).sum(1)
    ]
    return torch.stack(rows) @ torch.stack(rows).T


# Functions


PARAMS = {
    "hidden": {"weight": randn(2, 16), "bias": randn(16, seed=1)},
    "head": [randn(16, 1, seed=2)],
}


def perceptron(params: Any, x: Tensor) -> Tensor:
    hidden = torch.tanh(x @ params["hidden"]["weight"] + params["hidden"]["bias"])
    return hidden @ params["head"][0]


def residual(params: Any, x: Tensor) -> Tensor:
    """Of a physics-informed network: u_t - u_xx, by derivatives of the network by its inputs."""

    def u(point: Tensor) -> Tensor:
        return perceptron(params, point)[0]

    slope = torch.func.vmap(torch.func.jacrev(u))(x)
    curved = torch.func.vmap(torch.func.hessian(u))(x)
    return (slope[:, 1] - curved[:, 0, 0])[:, None]


@pytest.mark.parametrize("f", [perceptron, residual])
def test_a_function_of_parameters(f: Callable[[Any, Tensor], Tensor]) -> None:
    x = randn(N, 2, seed=3)
    expected = naive(lambda params: f(params, x), PARAMS)
    torch.testing.assert_close(ntk(f, x, params=PARAMS).as_subclass(Tensor), expected)
    between = ntk(f, x[:3], x[3:], params=PARAMS)
    torch.testing.assert_close(between.as_subclass(Tensor), expected[:3, 3:])
    vector = randn(N, 1, seed=4)
    found = torch.as_tensor(ntk_operator(f, x, params=PARAMS) @ vector.numpy())
    torch.testing.assert_close(found, expected @ vector)


def test_parts_of_a_function_have_the_names_of_its_structure() -> None:
    x = randn(N, 2, seed=3)
    shares = ntk_contributions(perceptron, x, params=PARAMS, by="parameter")
    assert list(shares) == ["hidden.weight", "hidden.bias", "head.0"]
    assert set(ntk_contributions(perceptron, x, params=PARAMS)) == {"hidden", "head"}
    one = ntk(perceptron, x, params=PARAMS, parameters=lambda name, p: name == "head.0")
    torch.testing.assert_close(one, shares["head.0"])
    words = ntk(perceptron, x, params=PARAMS, parameters="weights")
    torch.testing.assert_close(words, shares["hidden.weight"])
    torch.testing.assert_close(sum(shares.values()), ntk(perceptron, x, params=PARAMS))


def test_a_score_network_of_images_and_times() -> None:
    def score(params: Any, x: Tensor, t: Tensor) -> Tensor:
        hidden = torch.tanh(x.flatten(1) @ params["w"] + t[:, None] * params["b"])
        return -(hidden @ params["v"]) / t[:, None]

    params = {"w": randn(9, 6), "b": randn(6, seed=1), "v": randn(6, 9, seed=2)}
    x, t = randn(N, 3, 3, seed=3), torch.rand(N, dtype=torch.float64) + 0.1
    expected = naive(lambda p: score(p, x, t), params)
    for inputs in ((x, t), {"x": x, "t": t}):
        torch.testing.assert_close(ntk(score, inputs, params=params).as_subclass(Tensor), expected)


# Networks


class Language(nn.Module):
    """Tokens, a mask and named outputs, as of a GPT."""

    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Embedding(11, 8)
        self.layer = nn.TransformerEncoderLayer(8, 2, 16, dropout=0.1, batch_first=True)
        self.head = nn.Linear(8, 11)

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> dict[str, Any]:
        hidden = self.layer(self.embed(input_ids), src_key_padding_mask=attention_mask == 0)
        return {"logits": self.head(hidden)[:, -1], "hidden": hidden}


class Graph(nn.Module):
    """One round of messages over edges that each example has of its own."""

    def __init__(self) -> None:
        super().__init__()
        self.message, self.head = nn.Linear(3, 4), nn.Linear(4, 2)

    def forward(self, nodes: Tensor, edges: Tensor) -> Tensor:
        return self.head(torch.relu(edges @ self.message(nodes)).mean(1))


def made(make: Callable[[], nn.Module]) -> nn.Module:
    network = make().double().eval()
    draw_weights(network, "torch_default", torch.Generator().manual_seed(0))
    return network


def test_a_language_model_with_named_inputs_and_outputs() -> None:
    network = made(Language)
    tokens = torch.randint(11, (N, 6), generator=torch.Generator().manual_seed(0))
    mask = torch.ones(N, 6, dtype=torch.long)
    mask[0, :2] = 0
    inputs = {"input_ids": tokens, "attention_mask": mask}
    torch.backends.mha.set_fastpath_enabled(False)  # which has no gradients
    try:
        expected = of_module(network, lambda: network(**inputs)["logits"])
    finally:
        torch.backends.mha.set_fastpath_enabled(True)
    theta = ntk(network, inputs, select=lambda found: found["logits"])
    torch.testing.assert_close(theta.as_subclass(Tensor), expected)
    z = features(network, inputs, select=lambda found: found["logits"])
    assert z.readout == "linear"
    torch.testing.assert_close(z.z, network(**inputs)["hidden"][:, -1], rtol=1e-6, atol=1e-8)
    assert set(ntk_contributions(network, inputs, select=lambda found: found["logits"])) == {
        name.rpartition(".")[0] for name, _ in network.named_parameters()
    }


def test_a_graph_network_with_edges() -> None:
    network = made(Graph)
    nodes, edges = randn(N, 4, 3), (randn(N, 4, 4, seed=1) > 0).double()
    expected = of_module(network, lambda: network(nodes, edges))
    theta = ntk(network, (nodes, edges))
    torch.testing.assert_close(theta.as_subclass(Tensor), expected)
    between = ntk(network, (nodes[:2], edges[:2]), (nodes[2:], edges[2:]))
    torch.testing.assert_close(between.as_subclass(Tensor), expected[:2, 2:])


def test_a_loader_is_all_of_its_batches() -> None:
    network, x = (
        made(lambda: nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 2))),
        randn(7, 3),
    )
    expected = ntk(network, x)
    loader = DataLoader(TensorDataset(x, torch.arange(7)), batch_size=3)
    for batches in (loader, iter(x.split(3)), [{"input": part} for part in x.split(4)]):
        torch.testing.assert_close(ntk(network, batches), expected)


def test_a_copy_may_be_more_exact() -> None:
    network = made(lambda: nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 2)))
    x = randn(N, 3)
    exact = ntk(network, x)
    network.float()
    found = ntk(network, x.float(), dtype=torch.float64)
    assert next(network.parameters()).dtype == torch.float32
    torch.testing.assert_close(found, exact, rtol=1e-6, atol=1e-6)
    assert found.resolution < 1e-3 * ntk(network, x.float()).resolution
    ntk(perceptron, randn(N, 2).float(), params=PARAMS, dtype=torch.float64, device="cpu")


@pytest.mark.parametrize(
    ("model", "x1", "x2", "given", "said"),
    [
        (perceptron, randn(2, 2), None, {}, "expected a network as nn.Module, got"),
        (nn.Linear(2, 1), randn(2, 2), None, {"params": {}}, "beside a module; give lambda"),
        (Graph(), (randn(2, 4, 3), randn(3, 4, 4)), None, {}, r"equally many examples.* \[2, 3\]"),
        (Graph(), (), None, {}, r"equally many examples, one or more, got \[\]"),
        (Graph(), iter(()), None, {}, "one batch or more, got none"),
        (Graph(), (randn(2, 4, 3), [1]), None, {}, "expected tensors, got one of type list"),
        (Graph(), (randn(2, 4, 3),), randn(2, 4, 3), {}, "of the same structure as x1"),
        (
            Graph(),
            (randn(2, 4, 3), randn(2, 4, 4) / 0),
            None,
            {},
            "holds NaN or infinity in 2 of 2",
        ),
        (Graph(), (randn(2, 4, 3),), (randn(2, 5, 3),), {}, "expected x2 like x1"),
        (
            nn.Linear(2, 1),
            randn(2, 2),
            None,
            {"select": lambda out: out},
            r"shape \(2, 2\) and type torch.float64: ",
        ),
    ],
)
def test_what_cannot_be_called_is_told_in_one_line(
    model: Any, x1: Any, x2: Any, given: dict[str, Any], said: str
) -> None:
    with pytest.raises(ValueError, match=said) as error:
        ntk(model, x1, x2, **given)
    assert "\n" not in str(error.value)


# Gradients


@pytest.mark.parametrize("output", ["sum", "full"])
def test_a_kernel_has_gradients(output: Any) -> None:
    """To inputs, by differences; to labels, through what is made of it."""
    network = made(lambda: nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 2)))
    x1, x2 = randn(3, 3).requires_grad_(), randn(2, 3, seed=1).requires_grad_()
    expected = ntk(network, x1, x2, output=output)
    found = ntk(network, x1, x2, output=output, differentiable=True)
    torch.testing.assert_close(found.detach(), expected.detach())

    def of(a: Tensor, b: Tensor) -> Tensor:
        return ntk(network, a, b, output=output, differentiable=True).as_subclass(Tensor)

    assert torch.autograd.gradcheck(of, (x1, x2))
    assert torch.autograd.gradcheck(lambda a: of(a, None), x1)  # type: ignore[arg-type]


def test_a_kernel_of_attention_has_gradients() -> None:
    network = made(Language)
    nn.init.normal_(network.embed.weight)  # type: ignore[union-attr, arg-type]
    layer, head = network.layer, network.head

    class Embedded(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer, self.head = layer, head

        def forward(self, x: Tensor) -> Tensor:
            return self.head(self.layer(x)).mean(1)  # type: ignore[operator]

    x = randn(2, 4, 8).requires_grad_()
    ntk(Embedded(), x, differentiable=True).sum().backward()
    assert x.grad is not None
    assert x.grad.isfinite().all()


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"batchnorm": "frozen"}, "batchnorm: expected 'running' with differentiable=True"),
        ({"method": "loop"}, "expected method='auto'"),
    ],
)
def test_what_has_no_gradients_is_told(given: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        ntk(nn.Linear(3, 1), torch.randn(2, 3), differentiable=True, **given)
