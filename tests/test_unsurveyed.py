"""Networks that no survey can follow, and the kernel that autograd gives of them all the same.

The truth is a loop over examples by autograd; where that has no plain answer, the same network
written without what stands in the way.
"""

from collections.abc import Callable
from typing import Any

import naive
import pytest
import torch
from compare import deviation
from torch import Tensor, nn
from torch.func import functional_call, grad, hessian, jvp, vmap
from zoo import Net

from untrained.kernels.choice import METHODS
from untrained.kernels.knowledge import known
from untrained.kernels.ntk import ntk, ntk_contributions, ntk_operator

F64 = torch.float64


def mlp(dtype: torch.dtype = F64) -> nn.Module:
    return nn.Sequential(nn.Linear(3, 5), nn.Tanh(), nn.Linear(5, 2)).to(dtype)


def energy(m: Net, x: Tensor) -> Tensor:
    """-dE/dx, by a caller that leaves gradients on."""
    x = x.requires_grad_()
    return -torch.autograd.grad(m.body(x).sum(), x, create_graph=True)[0]


def residual(m: Net, x: Tensor) -> Tensor:
    """u_t - u_xx, whoever calls."""
    with torch.enable_grad():
        x = x.detach().requires_grad_()
        first = torch.autograd.grad(m.body(x).sum(), x, create_graph=True)[0]
        second = torch.autograd.grad(first[:, 0].sum(), x, create_graph=True)[0]
    return first[:, 1:] - second[:, :1]


def laplacian(m: Net, x: Tensor) -> Tensor:
    def energy(x_i: Tensor) -> Tensor:
        return m.body(x_i).sum()

    return vmap(lambda x_i: hessian(energy)(x_i).trace()[None])(x)


def tangent(m: Net, x: Tensor) -> Tensor:
    """By torch.func, with the parameters passed by hand."""
    theta = dict(m.body.named_parameters())
    return jvp(lambda x: functional_call(m.body, theta, (x,)), (x,), (torch.ones_like(x),))[1]


def autocast(m: Net, x: Tensor) -> Tensor:
    with torch.autocast("cpu", dtype=torch.bfloat16):
        return m.body(x)


def partly_without_gradients(m: Net, x: Tensor) -> Tensor:
    with torch.no_grad():
        h = m.first(x)
    return m.body(h)


def in_place(m: Net, x: Tensor) -> Tensor:
    return m.body(x.mul_(2).add_(1))


class Cube(torch.autograd.Function):
    """z^3 W^T, of a parameter: out of everyone's sight."""

    @staticmethod
    def forward(ctx: Any, z: Tensor, w: Tensor) -> Tensor:
        ctx.save_for_backward(z, w)
        return z**3 @ w.T

    @staticmethod
    def backward(ctx: Any, d: Tensor) -> tuple[Tensor, Tensor]:
        z, w = ctx.saved_tensors
        return 3 * z**2 * (d @ w), d.T @ z**3


def another_error(m: Net, x: Tensor) -> Tensor:
    """A network that takes batches of 4 and 6 alone, and says so in its own way."""
    return m.body(x) * {4: 1.0, 6: 1.0}[len(x)]


BODY, SINGLE = mlp, lambda: mlp(torch.float32)


def tied() -> nn.Module:
    """A layer under two names, and a weight in two layers."""
    one, other = nn.Linear(3, 3).double(), nn.Linear(3, 3).double()
    other.weight = one.weight
    return Net(lambda m, x: m.c(m.a(m.b(x).tanh()).tanh()), a=one, b=one, c=other)


# Name -> the network, and the largest deviation, which is that of its least precise numbers.
NETWORKS: dict[str, tuple[Callable[[], nn.Module], float]] = {
    "float64, outputs float32": (lambda: Net(lambda m, x: m.body(x).float(), body=BODY()), 1e-6),
    "float64, outputs bfloat16": (
        lambda: Net(lambda m, x: m.body(x).bfloat16(), body=BODY()), 1e-2,
    ),
    "float32, outputs float64": (
        lambda: Net(lambda m, x: m.body(x.float()).double(), body=SINGLE()), 1e-5,
    ),
    "bfloat16, outputs float32": (
        lambda: Net(lambda m, x: m.body(x.bfloat16()).float(), body=mlp(torch.bfloat16)), 3e-2,
    ),
    "float16": (lambda: Net(lambda m, x: m.body(x.half()), body=mlp(torch.float16)), 1e-2),
    "float32 below float64": (
        lambda: Net(
            lambda m, x: m.body(m.first(x.float()).double()),
            first=nn.Linear(3, 3), body=BODY(),
        ), 1e-5,
    ),
    "bfloat16 below float32": (
        lambda: Net(
            lambda m, x: m.body(m.first(x.bfloat16()).float()),
            first=nn.Linear(3, 3).bfloat16(), body=SINGLE(),
        ), 1e-2,
    ),
    "autocast inside": (lambda: Net(lambda m, x: autocast(m, x.float()), body=SINGLE()), 3e-2),
    "energy": (lambda: Net(energy, body=BODY()), 1e-12),
    "residual": (lambda: Net(residual, body=BODY()), 1e-12),
    "laplacian": (lambda: Net(laplacian, body=BODY()), 1e-12),
    "score by func.grad": (
        lambda: Net(lambda m, x: vmap(grad(lambda x_i: m.body(x_i).sum()))(x), body=BODY()), 1e-12,
    ),
    "func.jvp": (lambda: Net(tangent, body=BODY()), 1e-12),
    "functional.jvp": (
        lambda: Net(
            lambda m, x: torch.autograd.functional.jvp(
                m.body, x, torch.ones_like(x), create_graph=True
            )[1],
            body=BODY(),
        ), 1e-12,
    ),
    "autograd.Function of a parameter": (
        lambda: Net(
            lambda m, x: m.body(Cube.apply(x, m.w)), w=torch.randn(3, 3).double(), body=BODY(),
        ),
        1e-12,
    ),
    "inputs changed in place": (lambda: Net(in_place, body=BODY()), 1e-12),
    "partly no_grad": (
        lambda: Net(partly_without_gradients, first=nn.Linear(3, 3).double(), body=BODY()), 1e-12,
    ),
    "numpy in forward": (
        lambda: Net(lambda m, x: m.body(torch.from_numpy(2 * x.detach().numpy())), body=BODY()),
        1e-12,
    ),
    "an error of its own": (lambda: Net(another_error, body=BODY()), 1e-12),
    "tied layers": (tied, 1e-12),
    "a parameter that is a view": (
        lambda: Net(lambda m, x: x @ m.w.T, w=nn.Parameter(torch.randn(9, 3).double()[2:7])),
        1e-12,
    ),
}  # fmt: skip


def made(name: str) -> tuple[nn.Module, Tensor, float]:
    torch.manual_seed(0)
    build, tolerance = NETWORKS[name]
    return build().eval(), torch.randn(6, 3, dtype=F64), tolerance


def truth(model: nn.Module, x: Tensor) -> Tensor:
    """sum_kl of the full kernel, by a loop over examples of the sums of their outputs."""
    names = [name for name, _ in model.named_parameters()]
    j = naive.jacobian(model, x, names).sum(1)
    return j @ j.T


@pytest.mark.parametrize("name", NETWORKS)
def test_every_method_agrees_or_refuses(name: str) -> None:
    model, x, tolerance = made(name)
    expected, before = truth(model, x), dict(model.named_parameters())
    for method in METHODS:
        try:
            theta = ntk(model, x, method=method)
        except ValueError:
            assert method != "loop"
            continue
        assert deviation(theta, expected) < tolerance, method
    assert deviation(ntk(model, x), expected) < tolerance
    after = dict(model.named_parameters())
    assert all(after[key] is p and p.grad is None for key, p in before.items())


def test_second_batches_of_a_network_that_takes_no_other() -> None:
    """Whether examples are independent cannot be seen, so the answer is no."""
    model, x, _ = made("an error of its own")
    with pytest.raises(ValueError, match=r"does not take inputs of shape \(10, 3\)"):
        ntk(model, x, x[:4])


@pytest.mark.parametrize("name", sorted({*NETWORKS} - {"an error of its own"}))
def test_second_batches_shares_and_products(name: str) -> None:
    model, x, tolerance = made(name)
    expected = truth(model, x)
    assert deviation(ntk(model, x, x[:4]), expected[:, :4]) < tolerance
    shares = ntk_contributions(model, x, by="parameter")
    total = torch.stack(list(shares.values())).sum(0)
    assert deviation(total, expected) < tolerance
    product = ntk_operator(model, x, chunk=None) @ torch.ones(6, dtype=F64).numpy()
    assert deviation(torch.from_numpy(product), expected.sum(1)) < 3 * tolerance


@pytest.mark.parametrize("name", ["energy", "autograd.Function of a parameter", "tied layers"])
def test_every_output(name: str) -> None:
    model, x, tolerance = made(name)
    names = [key for key, _ in model.named_parameters()]
    r = torch.tensor([[1.0, 0.5], [-1.0, 2.0], [0.3, 0.7]], dtype=F64)[: model(x).shape[1]]
    for output in ("trace", "full", 1, r):
        slow = naive.ntk(model, x, names, output)
        assert deviation(ntk(model, x, output=output), slow) < tolerance


@pytest.mark.parametrize("sparse", [nn.Embedding, nn.EmbeddingBag])
def test_sparse_gradients(sparse: type[nn.Module]) -> None:
    """Against the same tables with gradients that are not."""
    words = torch.randint(9, (5, 4), generator=torch.Generator().manual_seed(0))
    torch.manual_seed(0)
    kernels = []
    table = torch.randn(9, 3, dtype=F64)
    for gradients in (True, False):
        layer = sparse(9, 3, sparse=gradients).double()
        layer.load_state_dict({"weight": table})
        model = Net(lambda m, x: m.layer(x).tanh().flatten(1), layer=layer)
        kernels += [ntk(model, words), ntk(model, words, method="loop")]
    for theta in kernels[:3]:
        assert deviation(theta, kernels[3]) < 1e-12


def test_complex_parameters_are_two_real_ones_each() -> None:
    torch.manual_seed(0)
    x, a, b = torch.randn(5, 3, dtype=F64), *torch.randn(2, 3, 4, dtype=F64)
    real = Net(lambda m, x: torch.sqrt((x @ m.a) ** 2 + (x @ m.b) ** 2), a=a, b=b)
    model = Net(lambda m, x: (x.to(m.w.dtype) @ m.w).abs(), w=torch.complex(a, b))
    theta = ntk(model, x)
    assert theta.plan.method == "loop"
    assert "structured does not apply: it has complex parameters" in theta.plan.reason
    assert deviation(theta, truth(real, x)) < 1e-12
    with pytest.raises(ValueError, match="got complex ones"):
        ntk_operator(model, x)


def test_autocast_around_the_call_changes_nothing() -> None:
    torch.manual_seed(0)
    model, x = SINGLE(), torch.randn(6, 3)
    expected = ntk(model, x, precision="float32")
    with torch.autocast("cpu", dtype=torch.bfloat16):
        for method in METHODS:
            theta = ntk(model, x, precision="float32", method=method)
            assert deviation(theta, expected) < 1e-6, method


def coupled(m: Net, x: Tensor) -> Tensor:
    h = energy(m, x)
    return h - h.mean(0)


def test_coupling_is_found_without_a_survey() -> None:
    model, x = Net(coupled, body=mlp()), torch.randn(6, 3, dtype=F64)
    assert deviation(ntk(model, x), truth(model, x)) < 1e-12
    for call in (
        lambda: ntk(model, x, x[:3]),
        lambda: ntk_operator(model, x, x[:3]),
        lambda: ntk_operator(model, x, chunk=2),
    ):
        with pytest.raises(ValueError, match="influence each other"):
            call()
    for method in ("structured", "vmap"):
        with pytest.raises(ValueError, match="it cannot be surveyed"):
            ntk(model, x, method=method)


def test_what_the_plain_pass_says() -> None:
    model, x = Net(energy, body=mlp()), torch.randn(6, 3, dtype=F64)
    found, why = known(model, x, None, "running", dict(model.named_parameters()))
    assert found.outputs == 3
    assert found.coupled  # unknown, and so taken for true
    assert found.forward_bytes > 8 * (5 + 5 + 2)  # at least the outputs of the layers
    assert set(why) == {"structured", "vmap"}
    with pytest.raises(ValueError, match=r"passes the whole batch at once|example needs"):
        ntk(model, x, memory=1500)


@pytest.mark.parametrize(
    ("step", "words"),
    [
        (lambda m, x: {0: x}[1], "does not take inputs .*: 1"),
        (lambda m, x: m.body.missing, "does not take inputs .*: .*no attribute 'missing'"),
        (lambda m, x: [][1], "does not take inputs .*: list index out of range"),
        (lambda m, x: 1 / 0, "does not take inputs .*: division by zero"),
    ],
)
def test_errors_of_a_network_are_one_line(step: Callable[..., Tensor], words: str) -> None:
    for door in (ntk, ntk_contributions, ntk_operator):
        with pytest.raises(ValueError, match=words):
            door(Net(step, body=mlp()), torch.randn(6, 3, dtype=F64))


class Refused(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, z: Tensor) -> Tensor:
        return z.clone()

    @staticmethod
    def backward(ctx: Any, d: Tensor) -> Tensor:
        raise KeyError("no derivative\nis known")


def test_what_no_method_can_do_says_why() -> None:
    model = Net(lambda m, x: Refused.apply(m.body(x)), body=mlp())
    x = torch.randn(6, 3, dtype=F64)
    with pytest.raises(ValueError, match=r"autograd's loop neither: 'no derivative"):
        ntk(model, x)
    with pytest.raises(ValueError, match=r"'loop' cannot follow this network: 'no derivative"):
        ntk(model, x, method="loop")


@pytest.mark.parametrize("error", [MemoryError, torch.cuda.OutOfMemoryError])
def test_memory_that_runs_out_is_no_fault_of_a_method(error: type[Exception]) -> None:
    def step(m: Net, x: Tensor) -> Tensor:
        raise error("Tried to allocate 2 GiB")

    for door in (ntk, ntk_contributions, ntk_operator):
        with pytest.raises(error, match="2 GiB"):
            door(Net(step, body=mlp()), torch.randn(6, 3, dtype=F64))
