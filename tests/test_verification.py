"""No network is measured as it used to be, and no coupling of examples is missed, by any method.

Networks that change between two calls, and networks whose examples influence each other in ways
that a few of them do not show: against a backward pass of the whole batch for each row.
"""

from collections.abc import Callable

import naive
import pytest
import torch
import torch.nn.functional as F
import zoo
from compare import deviation
from torch import Tensor, nn
from zoo import Net

from untrained.analysis.kernel import Kernel
from untrained.kernels.choice import METHODS, Method
from untrained.kernels.ntk import ntk, ntk_operator

N = 12
WHOLE: tuple[Method, ...] = ("loop", "batched", "products")
"Methods that need no independent examples, where they pass the batch as one."
LITTLE = 30_000
"Bytes of memory that leave a few examples for a pass."


def reals(*shape: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


def body(**parts: nn.Module) -> Net:
    """Two layers, with what `mid` does between them."""
    torch.manual_seed(0)
    steps = {"a": nn.Linear(4, 8), "mid": nn.Identity(), "b": nn.Linear(8, 3)} | parts
    return Net(lambda m, x: m.b(m.mid(torch.tanh(m.a(x)))), **steps).double()


# Networks that change


class Toggled(nn.Module):
    """Centres its features over the batch once told to."""

    def __init__(self) -> None:
        super().__init__()
        self.mix = False

    def forward(self, h: Tensor) -> Tensor:
        return h - h.mean(0) if self.mix else h


SCALES = [1.0]
"What a forward pass reads from outside of its network."


def flag(model: Net) -> None:
    model.mid.mix = True


def hook(model: Net) -> None:
    model.a.register_forward_hook(lambda m, inputs, output: output - output.mean(0))


def no_hook(model: Net) -> None:
    model.mid._forward_hooks.clear()


def gradient_hook(model: Net) -> None:
    model.b.weight.register_hook(lambda gradient: 0.5 * gradient)


def module(model: Net) -> None:
    model.mid = nn.Sequential(nn.Linear(8, 8), nn.ReLU()).double()


def frozen(model: Net) -> None:
    model.b.weight.requires_grad_(False)


def swapped(model: Net) -> None:
    model.a, model.mid = nn.Linear(4, 8).double(), nn.LayerNorm(8).double()


def forward(model: Net) -> None:
    model.b.forward = lambda h: F.linear(h.cumsum(0), model.b.weight, model.b.bias)


def outside(model: Net) -> None:
    SCALES[0] = 0.5


def buffer(model: Net) -> None:
    model.mid.order = torch.arange(N).roll(1)


def tied(model: Net) -> None:
    model.a.bias = model.mid.bias


class Ordered(nn.Module):
    """Adds an example to each, by a buffer: itself at first."""

    order: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("order", torch.arange(N))

    def forward(self, h: Tensor) -> Tensor:
        return h + h[self.order[: len(h)]]


def centred() -> Net:
    model = body()
    model.mid.register_forward_hook(lambda m, inputs, output: output - output.mean(0))
    return model


def scaled() -> Net:
    SCALES[0] = 0.0
    model = body()
    model.mid.forward = lambda h: h - SCALES[0] * h.mean(0)
    return model


CHANGES: dict[str, tuple[Callable[[], Net], Callable[[Net], None]]] = {
    "a flag": (lambda: body(mid=Toggled()), flag),
    "a hook": (body, hook),
    "a hook less": (centred, no_hook),
    "a hook on a gradient": (body, gradient_hook),
    "a submodule": (body, module),
    "submodules swapped": (body, swapped),
    "a parameter that is trained no more": (body, frozen),
    "another forward": (body, forward),
    "what a closure reads": (scaled, outside),
    "a buffer": (lambda: body(mid=Ordered()), buffer),
    "a parameter shared": (lambda: body(mid=nn.Linear(8, 8)), tied),
}


@pytest.mark.parametrize("name", CHANGES)
def test_a_network_that_changed_is_measured_as_it_is(name: str) -> None:
    build, change = CHANGES[name]
    model, x = build(), reals(N, 4)
    ntk(model, x)
    change(model)
    expected = naive.ntk(model, x, zoo.trainable(model))
    for method in ("auto", *METHODS):
        try:
            found = ntk(model, x, method=method)
        except ValueError:
            assert method in ("structured", "vmap"), method
            continue
        assert deviation(found, expected) < 1e-10, (method, found.plan.method)


# Networks that couple


def first_half(h: Tensor) -> Tensor:
    """Experts take so many examples each, the best first."""
    kept = h[:, 0].detach().argsort(descending=True)[: len(h) // 2]
    return h * torch.zeros(len(h), 1).to(h).index_fill(0, kept, 1)


COUPLED: dict[str, Callable[[Tensor], Tensor]] = {
    "the fifth": lambda h: h + h[4:5].sum(0),
    "examples beyond the fifth": lambda h: h - h[5:].sum(0) / 7,
    "one by another": lambda h: h if len(h) < 7 else h.index_add(0, torch.tensor([6]), h[4:5]),
    "sums from the sixth on": lambda h: torch.cat([h[:5], h[5:].cumsum(0)]),
    "by the tenth": lambda h: h - h.mean(0) if len(h) > 9 else h,
    "by values": lambda h: h - h.mean(0) * (h.detach().square().sum() > 15),
    "rolled": lambda h: h + h.roll(3, 0),
    "sorted": lambda h: h.sort(0).values,
    "the largest five": lambda h: h + h[h.sum(1).topk(min(5, len(h))).indices].mean(0),
    "groups of four": lambda h: torch.cat([c - c.mean(0) for c in h.split(4)]),
    "attention in pairs": lambda h: torch.cat([(c @ c.T).softmax(1) @ c for c in h.split(2)]),
    "similarities": lambda h: h @ F.normalize(h).T @ h,
    "flipped": lambda h: h + h.flip(0),
    "the largest of all": lambda h: h / h.abs().max(),
    "a weak mean": lambda h: h - 1e-4 * h.mean(0),
}
BY_VALUE: dict[str, Callable[[Tensor], Tensor]] = {
    "the mean held constant": lambda h: h - h.mean(0).detach(),
    "a late mean held constant": lambda h: h - h[5:].sum(0).detach() / 7,
    "capacity of experts": first_half,
    "every other": lambda h: h * (torch.arange(len(h)) % 2)[:, None],
}
"Values that depend on the batch, and derivatives that do not: right in one pass of all."


class Step(nn.Module):
    """A function in a module's place."""

    def __init__(self, step: Callable[[Tensor], Tensor]):
        super().__init__()
        self.step = step

    def forward(self, h: Tensor) -> Tensor:
        return self.step(h)


@pytest.mark.parametrize("memory", [None, LITTLE])
@pytest.mark.parametrize("name", [*COUPLED, *BY_VALUE])
def test_coupling_that_few_examples_do_not_show(name: str, memory: int | None) -> None:
    model, x = body(mid=Step((COUPLED | BY_VALUE)[name])), reals(N, 4)
    expected = naive.ntk(model, x, zoo.trainable(model))
    for method in ("auto", *METHODS):
        try:
            found = ntk(model, x, method=method, memory=memory)
        except ValueError:
            assert memory or method in ("structured", "vmap"), method
            continue
        assert deviation(found, expected) < 1e-10, (method, found.plan.method)


@pytest.mark.parametrize("name", BY_VALUE)
def test_coupling_by_value_alone_is_followed_in_one_pass(name: str) -> None:
    model, x = body(mid=Step(BY_VALUE[name])), reals(N, 4)
    assert ntk(model, x).plan.method == "structured"
    with pytest.raises(ValueError, match="do not add up"):
        ntk(model, x, method="vmap")


@pytest.mark.parametrize("name", [*COUPLED, *BY_VALUE])
def test_two_batches_of_coupled_examples_are_refused(name: str) -> None:
    """Whatever the method: which batch would be theirs?"""
    model, x = body(mid=Step((COUPLED | BY_VALUE)[name])), reals(N, 4)
    for method in ("auto", *METHODS):
        with pytest.raises(ValueError, match=r"influence each other|not that of its survey"):
            ntk(model, x[1:], x.flip(0)[:7], method=method)


@pytest.mark.parametrize("name", ["the fifth", "groups of four", "a late mean held constant"])
def test_operators_of_pieces_are_of_independent_examples(name: str) -> None:
    model, x = body(mid=Step((COUPLED | BY_VALUE)[name])), reals(N, 4)
    with pytest.raises(ValueError, match="influence each other"):
        ntk_operator(model, x, chunk=2)
    expected = naive.ntk(model, x, zoo.trainable(model))
    found = torch.from_numpy(ntk_operator(model, x) @ torch.eye(N).double().numpy())
    assert deviation(found, expected) < 1e-10


def test_coupling_behind_a_closed_gate_that_few_examples_do_not_show() -> None:
    model = Net(
        lambda m, x: x + m.gate * torch.tanh(m.a(x) - m.a(x)[5:].sum(0) / 7),
        a=nn.Linear(4, 4),
        gate=torch.zeros(1),
    ).double()
    x = reals(N, 4)
    expected = naive.ntk(model, x, zoo.trainable(model))
    for method in ("auto", "structured", *WHOLE):
        assert deviation(ntk(model, x, method=method), expected) < 1e-10
    with pytest.raises(ValueError, match="do not add up"):
        ntk(model, x, method="vmap")


# Independent examples, though it does not seem so


def relative(bias: Callable[[Net], Tensor]) -> nn.Module:
    """Attention with a bias made of parameters, which has another kernel with gradients."""

    def step(m: Net, x: Tensor) -> Tensor:
        q, k, v = m.qkv(x).view(*x.shape[:2], 3, 2, 4).permute(2, 0, 3, 1, 4)
        y = F.scaled_dot_product_attention(q, k, v, attn_mask=bias(m).to(q))
        return m.head(y.transpose(1, 2).flatten(2).mean(1))

    torch.manual_seed(0)
    return Net(
        step,
        qkv=nn.Linear(8, 24),
        head=nn.Linear(8, 3),
        table=0.1 * torch.randn(9, 2),
        slopes=torch.rand(2),
    )


def table(positions: Callable[[Tensor], Tensor]) -> nn.Module:
    """Words and positions, each from a table of its own."""
    torch.manual_seed(0)
    return Net(
        lambda m, x: m.head(m.block(m.words(x) + m.places(positions(x))).mean(1)),
        words=nn.Embedding(9, 8),
        places=nn.Embedding(5, 8),
        block=nn.TransformerEncoderLayer(8, 2, 8, batch_first=True),
        head=nn.Linear(8, 3),
    )


def latents(spread: Callable[[Tensor, int], Tensor]) -> nn.Module:
    """Queries that are parameters, through layers of their own, to each example."""
    torch.manual_seed(0)
    return Net(
        lambda m, x: m.out(
            F.scaled_dot_product_attention(
                m.q(m.norm(spread(m.latents, len(x)))), m.inner(x), m.inner(x)
            )
        ).flatten(1),
        latents=torch.randn(3, 8),
        norm=nn.LayerNorm(8),
        q=nn.Linear(8, 8),
        inner=nn.Linear(8, 8),
        out=nn.Linear(8, 2),
    )


def windows(m: Net, x: Tensor) -> Tensor:
    """Attention in windows of 2 x 2, with a table of relative positions."""
    n = len(x)
    w = m.inner(x).view(n, 2, 2, 2, 2, 8).transpose(2, 3).reshape(-1, 4, 8)
    q, k, v = m.qkv(w).reshape(-1, 4, 3, 2, 4).permute(2, 0, 3, 1, 4)
    at = torch.cartesian_prod(torch.arange(2), torch.arange(2))
    apart = at[:, None] - at + 1
    bias = m.table[apart[..., 0] * 3 + apart[..., 1]].permute(2, 0, 1)
    y = ((q @ k.mT / 2 + bias).softmax(-1) @ v).transpose(1, 2).reshape(n, 2, 2, 2, 2, 8)
    return m.head(y.transpose(2, 3).reshape(n, 4, 4, 8).roll((1, 1), (1, 2)).square().mean((1, 2)))


def hyper(m: Net, x: Tensor) -> Tensor:
    """A layer whose weight another makes of an embedding."""
    return m.b(torch.relu(F.linear(x, m.maker(m.code).view(3, 8))).mean(1))


def steps() -> Tensor:
    return (torch.arange(5)[:, None] - torch.arange(5)).abs()


INDEPENDENT: dict[str, tuple[Callable[[], nn.Module], Tensor]] = {
    "relative positions": (
        lambda: relative(lambda m: m.table[steps() + 4].permute(2, 0, 1)[None]),
        reals(N, 5, 8),
    ),
    "ALiBi": (lambda: relative(lambda m: -m.slopes[:, None, None] * steps()), reals(N, 5, 8)),
    "windows": (
        lambda: Net(
            windows,
            inner=nn.Linear(4, 8),
            qkv=nn.Linear(8, 24),
            table=0.1 * torch.randn(9, 2),
            head=nn.Linear(8, 3),
        ),
        reals(5, 4, 4, 4),
    ),
    "positions": (lambda: table(lambda x: torch.arange(x.shape[1])), zoo.words(7, 5)()),
    "positions, one row": (
        lambda: table(lambda x: torch.arange(x.shape[1])[None]),
        zoo.words(7, 5)(),
    ),
    "positions, expanded": (
        lambda: table(lambda x: torch.arange(x.shape[1]).expand(len(x), -1)),
        zoo.words(7, 5)(),
    ),
    "positions, as the words": (
        lambda: table(lambda x: torch.arange(x.shape[1]).expand_as(x)),
        zoo.words(7, 5)(),
    ),
    "positions, counted": (
        lambda: table(lambda x: torch.ones_like(x[0]).cumsum(0) - 1),
        zoo.words(7, 5)(),
    ),
    "segments": (lambda: table(lambda x: (x > 2).long()), zoo.words(7, 5)()),
    "latents, expanded": (lambda: latents(lambda q, n: q.expand(n, -1, -1)), reals(7, 5, 8)),
    "latents, repeated": (lambda: latents(lambda q, n: q[None].repeat(n, 1, 1)), reals(7, 5, 8)),
    "latents, added": (lambda: latents(lambda q, n: q + torch.zeros(n, 1, 1)), reals(7, 5, 8)),
    "a weight that is made": (
        lambda: Net(
            hyper,
            code=torch.randn(1, 4),
            maker=nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 24)),
            b=nn.Linear(3, 2),
        ),
        reals(7, 5, 8),
    ),
    "a common shift of all": (
        lambda: body(mid=Step(lambda h: (h - h.max()).softmax(-1))),
        reals(N, 4),
    ),
    "sequence first, a normalisation last": (
        lambda: Net(
            lambda m, x: m.layer(x.transpose(0, 1)).mean(0).square(),
            layer=nn.TransformerEncoderLayer(8, 2, 8),
        ),
        reals(5, 5, 8),
    ),
    "a straight-through weight": (
        lambda: Net(
            lambda m, x: m.b(
                torch.tanh(
                    F.linear(x, m.a.weight + (m.a.weight.sign() - m.a.weight).detach(), m.a.bias)
                )
            ),
            a=nn.Linear(4, 8),
            b=nn.Linear(8, 3),
        ),
        reals(N, 4),
    ),
    "spectral norm": (
        lambda: body(a=nn.utils.parametrizations.spectral_norm(nn.Linear(4, 8))),
        reals(N, 4),
    ),
}


@pytest.mark.parametrize("name", INDEPENDENT)
def test_independent_examples_are_known_as_such(name: str) -> None:
    build, x = INDEPENDENT[name]
    torch.manual_seed(0)
    model = build().double().eval()
    expected = naive.ntk(model, x, zoo.trainable(model))

    def check(found: Kernel, truth: Tensor, limit: float = 1e-10) -> None:
        assert found.plan.method == "structured", found.plan.reason
        assert deviation(found, truth) < limit

    check(ntk(model, x), expected)
    check(ntk(model, x, x[:3], batchnorm="frozen"), expected[:, :3])
    check(ntk(model, x, method="structured", memory=2**19), expected)
    model, x = model.float(), x.float() if x.is_floating_point() else x
    check(ntk(model, x, batchnorm="batch"), expected, 1e-5)
