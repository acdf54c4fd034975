"""Networks of infinite width: against neural-tangents, and against wide networks."""

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from zoo import Residual

from untrained import draw_weights, infinite, ntk
from untrained.networks import ntk_parametrisation
from untrained.wide.attention import attended
from untrained.wide.dual import (
    by_series,
    error_function,
    gaussian_unit,
    rectifier,
    sine,
)

FOUND = np.load(Path(__file__).parent / "fixtures" / "neural_tangents_infinite.npz")
X, IMAGES = torch.from_numpy(FOUND["x"]), torch.from_numpy(FOUND["images"]).permute(0, 3, 1, 2)
SEQUENCES = torch.from_numpy(FOUND["sequences"])
SPREAD: dict[str, Any] = {"sigma_w": 1.3, "sigma_b": 0.4}


def dense(inputs: int = 4, outputs: int = 4) -> nn.Linear:
    return nn.Linear(inputs, outputs)


def conv(size: int = 3, stride: int = 1, padding: int = 1, inputs: int = 4) -> nn.Conv2d:
    return nn.Conv2d(inputs, 4, size, stride, padding)


class Called(nn.Module):
    """Functions in place of modules."""

    def __init__(self, function: Any, *layers: nn.Module):
        super().__init__()
        self.layers = nn.ModuleList(layers)
        self.function = function

    def forward(self, x: Tensor) -> Tensor:
        for layer in self.layers[:-1]:
            x = self.function(layer(x))
        return self.layers[-1](x)


class Averaged(nn.Module):
    """Positions averaged by a method, rows made by another."""

    def __init__(self, *layers: nn.Module):
        super().__init__()
        self.body, self.head = nn.Sequential(*layers), dense()

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.body(x).mean((-2, -1)))


class Words(nn.Module):
    """Of each word, then the mean."""

    def __init__(self, *layers: nn.Module):
        super().__init__()
        self.body, self.head = nn.Sequential(*layers), dense()

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.body(x).mean(1))


def norm() -> nn.LayerNorm:
    return nn.LayerNorm(4, eps=1e-12, elementwise_affine=False)


RELU, GAP = nn.ReLU(), (nn.AdaptiveAvgPool2d(1), nn.Flatten())
SAME: dict[str, nn.Module] = {
    "relu": nn.Sequential(dense(5), RELU, dense(), nn.Dropout(), RELU, dense()),
    "leaky": nn.Sequential(dense(5), nn.LeakyReLU(0.1), dense()),
    "abs": Called(torch.abs, dense(5), dense()),
    "erf": Called(torch.erf, dense(5), dense(), dense()),
    "sin": Called(torch.sin, dense(5), dense()),
    "cos": Called(torch.cos, dense(5), dense()),
    "gelu": nn.Sequential(dense(5), nn.GELU(), dense(), nn.GELU(), dense()),
    "tanh": Called(torch.tanh, dense(5), dense()),
    "residual": nn.Sequential(
        dense(5), Residual(RELU, dense()), Residual(RELU, dense()), RELU, dense()
    ),
    "normalised": nn.Sequential(dense(5), norm(), RELU, dense()),
    "normalised_stream": nn.Sequential(
        dense(5), Residual(norm(), RELU, dense()), norm(), RELU, dense()
    ),
    "filtered": nn.Sequential(
        nn.Conv1d(2, 4, 3, padding=1),
        RELU,
        nn.Conv1d(4, 4, 3, 2),
        RELU,
        nn.AdaptiveAvgPool1d(1),
        nn.Flatten(),
        dense(),
    ),
    "normalised_words": Words(dense(2), norm(), nn.GELU(), dense(), RELU),
    "words_in_a_row": nn.Sequential(dense(2), RELU, dense(), RELU, nn.Flatten(), dense(24)),
    "flattened": nn.Sequential(conv(inputs=2), RELU, conv(3, 2, 0), RELU, nn.Flatten(), dense(16)),
    "averaged": Averaged(conv(inputs=2), RELU, conv(3, 2, 0), RELU),
    "pooled": nn.Sequential(
        conv(inputs=2), RELU, nn.AvgPool2d(2), conv(), RELU, nn.Flatten(), dense(36)
    ),
    "residual_images": nn.Sequential(
        conv(inputs=2), Residual(RELU, conv(), RELU, conv()), RELU, *GAP, dense()
    ),
    "gelu_images": nn.Sequential(conv(inputs=2), nn.GELU(), *GAP, dense()),
}


@pytest.mark.parametrize("name", SAME)
def test_they_are_those_of_neural_tangents(name: str) -> None:
    """By numbers of `fixtures/neural_tangents_infinite.py`."""
    of_sequences = "filtered", "normalised_words", "words_in_a_row"
    x, n = (
        (SEQUENCES, 3)
        if name in of_sequences
        else (X, 4)
        if name in list(SAME)[:11]
        else (IMAGES, 3)
    )
    x = x.mT if name == "filtered" else x
    found = infinite(SAME[name], **SPREAD)(x[:n], x[n:])
    for kernel, expected in zip(found, (f"{name}.nngp", f"{name}.ntk"), strict=True):
        torch.testing.assert_close(kernel, torch.from_numpy(FOUND[expected]), rtol=1e-6, atol=1e-9)


class Attention(nn.Module):
    """Of a sequence to itself."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.seen = dense(2), nn.MultiheadAttention(4, 2, batch_first=True)

    def forward(self, x: Tensor) -> Tensor:
        x = self.first(x)
        return self.seen(x, x, x)[0]


class LastWord(nn.Module):
    """A block of a transformer, read at its last word, of embedded words."""

    def __init__(self, width: int, norm_first: bool):
        super().__init__()
        self.embedding = nn.Embedding(5, width)
        self.block = nn.TransformerEncoderLayer(
            width, 10, width, 0.0, nn.GELU(), batch_first=True, norm_first=norm_first
        )
        self.norm, self.head = nn.LayerNorm(width), nn.Linear(width, 1)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.norm(self.block(self.embedding(x)))[:, -1])


class Attentive(nn.Module):
    """Attention of vectors, which do not see later ones if `causal`."""

    def __init__(self, width: int, causal: bool = False, heads: int = 10):
        super().__init__()
        self.first, self.head = nn.Linear(2, width), nn.Linear(width, 1)
        self.attention = nn.MultiheadAttention(width, heads, batch_first=True)
        later = torch.ones(6, 6).triu(1).bool()
        self.register_buffer("mask", later if causal else None)

    def forward(self, x: Tensor) -> Tensor:
        x = self.first(x)
        seen, _ = self.attention(x, x, x, attn_mask=self.mask, need_weights=False)
        return self.head((x + seen).mean(1))


def wide(name: str, width: int) -> tuple[nn.Module, Tensor]:
    """A network, and what it is shown."""
    if name == "averaged":
        return nn.Sequential(
            nn.Conv2d(2, width, 3, padding=1), RELU, nn.Conv2d(width, width, 3, 2), RELU, *GAP,
            nn.Linear(width, 1),
        ).double(), IMAGES[:3]  # fmt: skip
    if name.startswith("norm_"):
        words = torch.tensor([[0, 1, 2, 3], [4, 1, 2, 3], [1, 1, 0, 2]])
        return LastWord(width, name == "norm_first").double(), words
    if name in ("attention", "causal"):
        return Attentive(width, name == "causal").double(), SEQUENCES[:3]
    body = {"gelu": (nn.GELU(),), "residual": (Residual(RELU, nn.Linear(width, width)), RELU)}[
        name
    ]
    return nn.Sequential(nn.Linear(5, width), *body, nn.Linear(width, 1)).double(), X[:3]


@pytest.mark.parametrize(
    "name", ["gelu", "residual", "averaged", "norm_first", "norm_last", "attention", "causal"]
)
def test_wide_networks_come_near(name: str) -> None:
    """The mean of 60 draws, within four standard errors and what is left at this width."""
    network, x = wide(name, 100)
    expected, generator = infinite(network, **SPREAD)(x).ntk, torch.Generator().manual_seed(0)
    copy, draws = ntk_parametrisation(network, **SPREAD), []
    for _ in range(60):
        draw_weights(copy, "ntk", generator)
        draws.append(ntk(copy, x).as_subclass(Tensor))
    mean, error = torch.stack(draws).mean(0), torch.stack(draws).std(0) / 60**0.5
    assert ((mean - expected).abs() < 4 * error + 0.02 * expected.abs()).all()
    assert (error < 0.1 * expected.diagonal().mean()).all()  # so that this says something


@pytest.mark.parametrize("name", ["relu", "averaged", "words_in_a_row"])
def test_tiles_change_nothing(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a batch with itself, of which each tile below the diagonal is one above, and of two."""
    x = {"relu": X, "averaged": IMAGES}.get(name, SEQUENCES)
    kernel = infinite(SAME[name], **SPREAD)
    whole, part = kernel(x), kernel(x[:2], x[1:])
    for k, block in zip(whole, part, strict=True):
        torch.testing.assert_close(k[:2, 1:], block)
    monkeypatch.setattr(sys.modules[type(kernel).__module__], "ROOM", 4)
    for tiled, expected in ((kernel(x), whole), (kernel(x[:2], x[1:]), part)):
        torch.testing.assert_close(tiled.nngp, expected.nngp)
        torch.testing.assert_close(tiled.ntk, expected.ntk)


@pytest.mark.parametrize("phi", [nn.ReLU(), nn.GELU(), nn.Tanh(), nn.Softplus()])
def test_of_zeros_without_biases_there_is_a_kernel(phi: nn.Module) -> None:
    """Units are 0 everywhere: phi(0)^2 at the second layer."""
    network = nn.Sequential(nn.Linear(5, 4, bias=False), phi, nn.Linear(4, 1, bias=False))
    found = infinite(network, sigma_w=1)(torch.cat([torch.zeros(1, 5), X[:1].float()]))
    assert abs(found.nngp[0, 0] - phi(torch.zeros((), dtype=torch.float64)).item() ** 2) < 1e-12
    assert found.ntk.isfinite().all()


def test_attention_is_what_a_loop_over_pairs_finds() -> None:
    """By Gaussian scores of each two positions, and derivatives of the softmax by autograd."""
    generator = torch.Generator().manual_seed(0)
    root = torch.randn(6, 8, generator=generator, dtype=torch.float64) / 2
    other = torch.randn(6, 8, generator=generator, dtype=torch.float64)
    c, theta = (
        (r @ r.T).reshape(2, 3, 2, 3).transpose(1, 2) for r in (root, torch.cat([root, other], 1))
    )
    found = attended(c, theta, None, 40_000, generator)
    slopes = torch.func.vmap(torch.func.jacrev(lambda g: g.softmax(-1)))
    for (i, a), (j, b) in [((0, 0), (1, 2)), ((0, 1), (0, 1)), ((1, 2), (1, 0))]:
        parts = [[c[i, i, a, a] * c[i, i], c[i, j, a, b] * c[i, j]],
                 [c[j, i, b, a] * c[j, i], c[j, j, b, b] * c[j, j]]]  # fmt: skip
        covariance = torch.cat([torch.cat(row, 1) for row in parts])
        values, vectors = torch.linalg.eigh(covariance)
        normal = torch.randn(40_000, 6, generator=generator, dtype=torch.float64)
        scores = (normal * values.clamp(min=0).sqrt()) @ vectors.T
        ours, theirs = scores[:, :3].softmax(1), scores[:, 3:].softmax(1)
        left, right = slopes(scores[:, :3]), slopes(scores[:, 3:])
        moved = theta[i, j, a, b] * c[i, j] + c[i, j, a, b] * theta[i, j]
        value = torch.einsum("sk,kl,sl->s", ours, c[i, j], theirs)
        tangent = torch.einsum("sk,kl,sl->s", ours, theta[i, j], theirs) + torch.einsum(
            "spk,pq,sql,kl->s", left, c[i, j], right, moved
        )
        for kernel, draws in zip(found, (value, tangent), strict=True):
            error = draws.std() / 40_000**0.5
            assert (kernel[i, j, a, b] - draws.mean()).abs() < 6 * error
            assert error < 0.02 * kernel[i, i, a, a]


def test_an_encoder_is_its_blocks_and_a_norm() -> None:
    """With a mask, as the second argument of each."""

    def block() -> nn.TransformerEncoderLayer:
        return nn.TransformerEncoderLayer(4, 2, 4, batch_first=True, activation="gelu")

    class Encoded(nn.Module):
        def __init__(self, whole: bool) -> None:
            super().__init__()
            self.first, self.head, self.norm = dense(2), dense(), nn.LayerNorm(4)
            self.one, self.other = block(), block()
            self.encoder = nn.TransformerEncoder(block(), 2, nn.LayerNorm(4)) if whole else None
            self.register_buffer("mask", torch.ones(6, 6).triu(1) * -1e9)

        def forward(self, x: Tensor) -> Tensor:
            x = self.first(x)
            if self.encoder is not None:
                return self.head(self.encoder(x, mask=self.mask)[:, 0])
            x = self.other(self.one(x, self.mask), src_mask=self.mask)
            return self.head(self.norm(x)[:, 0])

    found, expected = (infinite(Encoded(each), draws=500)(SEQUENCES) for each in (True, False))
    torch.testing.assert_close(found.ntk, expected.ntk)
    first = infinite(Encoded(True), draws=500)(
        torch.cat([SEQUENCES[:2, :1], SEQUENCES[2:4, 1:]], 1)
    )
    torch.testing.assert_close(first.nngp, expected.nngp[:2, :2])  # later words are not seen


def test_of_one_word_attention_is_two_dense_layers() -> None:
    x = SEQUENCES[:, :1]
    seen = infinite(Called(lambda x: x.mean(1), Attention(), nn.Identity()), **SPREAD)(x)
    plain = infinite(nn.Sequential(dense(2), dense(), dense()), **SPREAD)(x[:, 0])
    torch.testing.assert_close(seen.nngp, plain.nngp)
    torch.testing.assert_close(seen.ntk, plain.ntk)


def test_a_convolution_first_says_where_positions_are() -> None:
    """And a transposed sequence is the same one."""
    along = nn.Sequential(nn.Conv1d(2, 4, 1), RELU, nn.AdaptiveAvgPool1d(1), nn.Flatten(), dense())
    found, expected = infinite(along)(SEQUENCES.mT), infinite(Words(dense(2), RELU))(SEQUENCES)
    torch.testing.assert_close(found.ntk, expected.ntk)
    turned = Called(lambda x: x.transpose(1, 2).mean(-1), nn.Sequential(dense(2), RELU), dense())
    torch.testing.assert_close(infinite(turned)(SEQUENCES).ntk, expected.ntk)


def test_patches_of_an_image_are_a_sequence() -> None:
    patches = nn.Sequential(conv(2, 2, 0, inputs=2), RELU)
    as_images = infinite(nn.Sequential(patches, *GAP, dense()))(IMAGES)
    row = Called(lambda x: x.flatten(2).permute(0, 2, 1).mean(1), patches, dense())
    torch.testing.assert_close(infinite(row)(IMAGES).ntk, as_images.ntk)


@pytest.mark.parametrize(
    ("phi", "closed", "digits"),
    [
        (torch.sin, sine, 1e-12),
        (torch.erf, error_function, 1e-9),
        (nn.GELU(), gaussian_unit, 1e-9),
        (torch.relu, rectifier, 0.02),
    ],
)
def test_the_series_is_exact_where_an_activation_is_smooth(
    phi: Any, closed: Any, digits: float
) -> None:
    a, b = torch.tensor([[0.3], [2.0]], dtype=torch.float64), torch.ones(2, dtype=torch.float64)
    c = torch.tensor([-0.5, 0.0, 0.7, 1.0]).double()[:, None, None] * (a * b).sqrt()
    expected, found = closed(a, b, c), by_series(phi, a, b, c)
    torch.testing.assert_close(found.value, expected.value, rtol=digits, atol=digits)
    smooth = digits < 0.01  # a slope that jumps, as ReLU's, is met to fewer digits
    torch.testing.assert_close(
        found.slope, expected.slope, rtol=digits if smooth else 0.1, atol=digits if smooth else 0.1
    )


@pytest.mark.parametrize("phi", [nn.ReLU(), nn.GELU(), nn.Tanh()])
def test_scales_and_shifts_of_a_norm_are_trained_too(phi: nn.Module) -> None:
    """By Gauss-Hermite quadrature in two dimensions of what each unit's own scale does."""
    network = nn.Sequential(dense(5), nn.LayerNorm(4, eps=0.0), phi, dense())
    found = infinite(network, **SPREAD)(X)
    before = infinite(nn.Sequential(dense(5)), **SPREAD)(X)
    size = (before.nngp.diagonal()[:, None] * before.nngp.diagonal()).sqrt()
    rho, theta = before.nngp / size, before.ntk / size
    nodes, weights = (torch.from_numpy(a) for a in np.polynomial.hermite_e.hermegauss(80))
    weights = weights / weights.sum()
    w2, w1 = SPREAD["sigma_w"] ** 2, SPREAD["sigma_b"] ** 2
    slope = torch.func.vmap(torch.func.grad(phi))
    for i, j in ((0, 1), (2, 5), (3, 4)):
        r = rho[i, j]
        u, v = nodes[:, None].expand(80, 80), r * nodes[:, None] + (1 - r**2).sqrt() * nodes
        pairs = weights[:, None] * weights
        su, sv = (slope(each.reshape(-1)).reshape(80, 80) for each in (u, v))
        k = (pairs * phi(u) * phi(v)).sum()
        tangent = theta[i, j] * (pairs * su * sv).sum()  # of the first layer's weights
        own = (pairs * su * sv * (u * v + 1)).sum()  # of the scales, and of the shifts
        digits = 0.03 if isinstance(phi, nn.ReLU) else 1e-6
        expected = w2 * k + w1 + w2 * (tangent + own)
        assert abs(found.ntk[i, j] - expected) < digits * expected.abs()


def test_a_difference_is_as_a_sum() -> None:
    class Less(Residual):
        def forward(self, x: Tensor) -> Tensor:
            return x - self.body(x)

    kinds = Residual, Less
    one, other = (
        infinite(nn.Sequential(dense(5), kind(RELU, dense()), RELU, dense()))(X) for kind in kinds
    )
    torch.testing.assert_close(one.ntk, other.ntk)


def test_activations_of_ones_own_are_taken_by_the_series() -> None:
    class Wave(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return torch.cos(x - torch.pi / 2) if x.ndim else x

    network = nn.Sequential(dense(5), Wave(), dense())
    with pytest.raises(ValueError, match=r"torch\.fx cannot follow|has no limit"):
        infinite(network, **SPREAD)
    found, expected = (
        infinite(network, activations=(Wave,), **SPREAD)(X),
        infinite(SAME["sin"], **SPREAD)(X),
    )
    torch.testing.assert_close(found.ntk, expected.ntk)
    z = infinite(network, activations=(Wave,), **SPREAD).features(X, 4096).ntk
    assert (z @ z.T - expected.ntk).norm() < 0.15 * expected.ntk.norm()


@pytest.mark.parametrize("name", ["relu", "erf", "gelu", "residual_images"])
def test_kernels_have_gradients(name: str) -> None:
    """By differences, on the diagonal too."""
    x = (X[:2] if name != "residual_images" else IMAGES[:2, :, :3, :3]).clone().requires_grad_()
    kernel = infinite(SAME[name], **SPREAD)
    assert torch.autograd.gradcheck(lambda x: tuple(kernel(x)), x, atol=1e-4, fast_mode=True)


REFUSED: dict[str, tuple[nn.Module, str]] = {
    "BatchNorm": (nn.Sequential(dense(), nn.BatchNorm1d(4)), "1: BatchNorm1d has no limit"),
    "maximum": (nn.Sequential(conv(), nn.MaxPool2d(2)), "1: MaxPool2d has no limit"),
    "product": (Called(lambda x: x * x, dense(), dense()), "mul: mul has no limit"),
    "softmax": (Called(lambda x: x.softmax(1), dense(), dense()), "softmax: softmax has no limit"),
    "values": (Called(lambda x: x if x.sum() > 0 else -x, dense(), dense()), "torch.fx cannot"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_has_no_limit_is_named(name: str) -> None:
    network, said = REFUSED[name]
    with pytest.raises(ValueError, match=said) as error:
        infinite(network)
    assert "\n" not in str(error.value)


UNFIT: dict[str, tuple[nn.Module, Tensor, str]] = {
    "inputs": (nn.Sequential(RELU, dense()), X, "0: expected Gaussian units"),
    "twice": (nn.Sequential(dense(5), RELU, nn.ReLU(), dense()), X, "2: expected Gaussian units"),
    "skip": (
        nn.Sequential(dense(5), RELU, Residual(dense()), nn.Tanh()), X, "3: expected Gaussian",
    ),
    "shared": (nn.Sequential(*[nn.Linear(5, 5)] * 2), X, "used once, got shared"),
    "correlated": (
        nn.Sequential(dense(5), Residual(nn.ReLU())), X, "ends in a layer with weights of its own",
    ),
    "flattened": (
        nn.Sequential(conv(inputs=2), nn.Flatten(), RELU), IMAGES, "2: expected Gaussian units",
    ),
    "images": (nn.Sequential(dense()), IMAGES, "0: expected channels last, got images"),
    "vectors": (nn.Sequential(conv()), X, "0: expected images, got vectors"),
    "positions": (nn.Sequential(conv(inputs=2)), IMAGES, "outputs without positions"),
    "groups": (nn.Sequential(nn.Conv2d(2, 4, 3, groups=2)), IMAGES, "without groups"),
    "sequences": (nn.Sequential(dense(5)), X[None], "outputs without positions"),
    "pixels": (nn.Sequential(dense(6)), X, "0: expected 6 numbers an input, got 5"),
    "channels": (nn.Sequential(conv(inputs=3)), IMAGES, "0: expected 3 channels, got 2"),
    "videos": (nn.Sequential(conv()), IMAGES[None], r"expected vectors \(n, d\), sequences"),
    "words": (nn.Sequential(dense()), torch.zeros(2, 3).long(), "0: expected an nn.Embedding"),
    "norm": (nn.Sequential(nn.LayerNorm(5), dense()), X, "0: expected Gaussian units before a L"),
    "scale": (
        nn.Sequential(dense(5), Residual(nn.LayerNorm(4)), nn.Tanh(), dense()), X,
        "sum of branches|between the scale of a norm and",
    ),
    "two norms": (
        nn.Sequential(dense(5), nn.LayerNorm(4), nn.RMSNorm(4), nn.Tanh()), X, "scale of a norm",
    ),
    "norm of an image": (
        nn.Sequential(conv(inputs=2), nn.LayerNorm([4, 6, 6])), IMAGES, "1: expected a norm",
    ),
    "first axis": (Called(lambda x: x.mean(0), dense(5), dense()), X, "mean: expected a mean"),
    "rows": (Called(lambda x: x[0], dense(5), dense()), X, "getitem: expected one position"),
    "heads": (
        Called(lambda x: x.transpose(2, 3), conv(inputs=2), nn.Identity()), IMAGES, "transpose: e",
    ),
    "batch_first": (
        nn.TransformerEncoderLayer(4, 2), SEQUENCES, "0.self_attn: expected attention of a",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", UNFIT)
def test_what_does_not_fit_is_told_in_one_line(name: str) -> None:
    network, x, said = UNFIT[name]
    with pytest.raises(ValueError, match=said) as error:
        infinite(network)(x)
    assert "\n" not in str(error.value)


class Overwriting(nn.Module):
    """x + f(x), of which the activation of f overwrites x."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second, self.act = dense(5), dense(), nn.ReLU(inplace=True)

    def forward(self, x: Tensor) -> Tensor:
        x = self.first(x)
        return x + self.second(self.act(x))


def tied() -> nn.Module:
    network = nn.Sequential(nn.Linear(5, 5), RELU, nn.Linear(5, 5), dense(5))
    network[2].weight = network[0].weight
    return network


def hooked() -> nn.Module:
    network = nn.Sequential(dense(5), RELU, dense())
    network[0].register_forward_hook(lambda module, x, out: 3 * out)
    return network


class Prelu(nn.Module):
    """An activation with a parameter."""

    def __init__(self) -> None:
        super().__init__()
        self.leak = nn.Parameter(torch.ones(()))

    def forward(self, x: Tensor) -> Tensor:
        return x * self.leak


class Square(nn.ReLU):
    """Not what it is derived from."""

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x) ** 2


class OwnBlock(nn.TransformerEncoderLayer):
    """Not what it is derived from."""

    def forward(self, src: Tensor, *_: Any, **__: Any) -> Tensor:
        return src


def gelu(x: Tensor) -> Tensor:
    return 3 * x * torch.sigmoid(x)


def encoder(
    activation: Any = "relu", norm: nn.Module | None = None, own: bool = False
) -> nn.Module:
    kind = OwnBlock if own else nn.TransformerEncoderLayer
    block = kind(4, 2, 4, activation=activation, batch_first=True)
    whole = nn.TransformerEncoder(block, 1, norm, enable_nested_tensor=False)
    return nn.Sequential(dense(2), whole, nn.Flatten(), dense(24))


TWICE = nn.LayerNorm(4)
OTHERS: dict[str, tuple[nn.Module, Tensor, str]] = {
    "overwritten": (Overwriting(), X, "overwritten in place to be used no more, got first"),
    "overwritten by a function": (
        Called(lambda x: x + torch.relu_(x), dense(5), dense()), X, "overwritten in place",
    ),
    "a factor of what is added": (
        Called(lambda x: torch.add(x, x, alpha=3), dense(5), dense()), X, "add has no limit",
    ),
    "divided by": (Called(lambda x: 1 / x, dense(5), dense()), X, "truediv has no limit"),
    "rounded": (
        Called(lambda x: torch.div(x, 2, rounding_mode="floor"), dense(5), dense()), X, "div has",
    ),
    "tied": (tied(), X, "2.weight: expected weights that are used once, got shared ones"),
    "twice": (nn.Sequential(dense(5), TWICE, dense(), TWICE, RELU), X, "got shared ones"),
    "hooks": (hooked(), X, "0: expected a module without hooks"),
    "parametrised": (
        nn.Sequential(nn.utils.parametrizations.weight_norm(dense(5))), X, "expected plain w",
    ),
    "a norm of one's own": (encoder(norm=nn.Tanh()), SEQUENCES, "norm: expected torch's own"),
    "a block of one's own": (encoder(own=True), SEQUENCES, "expected torch's own TransformerEnc"),
    "an activation by name": (encoder(gelu), SEQUENCES, "activation: an activation of this kind"),
    "rows of what": (
        Called(lambda x: x.view(12, -1), dense(2), dense()), SEQUENCES[:2], "try x.flatten",
    ),
    "window": (nn.Sequential(nn.Conv2d(2, 4, 7), *GAP, dense()), IMAGES, "no smaller than the"),
    "NaN": (nn.Sequential(dense(5)), X / 0, "of finite numbers, got 7, with NaN or infinity"),
    "none": (nn.Sequential(dense(5)), X[:0], "one example or more, of finite numbers, got 0$"),
    "pixels as words": (
        nn.Sequential(nn.Flatten(), dense(72)), IMAGES.flatten(1).long(), r"give x.float\(\)",
    ),
    "large": (nn.Sequential(dense(5), nn.Tanh(), dense()), 1000 * X, "a deviation of 50 at most"),
}  # fmt: skip


@pytest.mark.parametrize("name", OTHERS)
def test_what_calls_do_not_tell_is_refused(name: str) -> None:
    """Of these, kernels of other networks were given."""
    network, x, said = OTHERS[name]
    with pytest.raises(ValueError, match=said) as error:
        infinite(network)(x)
    assert "\n" not in str(error.value)


def test_an_activation_of_ones_own_is_no_other() -> None:
    network = nn.Sequential(dense(5), Square(), dense())
    found = infinite(network, activations=(Square,), sigma_w=1)(X).nngp.diagonal()
    variance = X.square().mean(1)  # E relu(u)^4 = 3/2 a^2
    torch.testing.assert_close(found, 1.5 * variance**2, rtol=1e-3, atol=0)
    with pytest.raises(ValueError, match="expected an activation without parameters"):
        infinite(nn.Sequential(dense(5), Prelu(), dense()), activations=(Prelu,))


@pytest.mark.parametrize("size", [10.0, 30.0])
def test_a_series_of_steep_activations_is_the_integral(size: float) -> None:
    """tanh(30 z) of a standard normal z, by a fine grid."""
    a = torch.tensor([size**2], dtype=torch.float64)
    z = torch.linspace(-9, 9, 200_001, dtype=torch.float64)
    weights = torch.softmax(-z.square() / 2, 0)
    found = by_series(torch.tanh, a, a, a)
    slope = 1 - torch.tanh(size * z).square()
    assert abs(found.value - weights @ torch.tanh(size * z).square()) < 1e-9
    assert abs(found.slope - weights @ slope.square()) < 1e-9
    with pytest.raises(ValueError, match="of the diagonal may be missing"):
        by_series(torch.tanh, a, a, 0.9999 * a)


def test_gradients_of_zeros_are_finite() -> None:
    x = torch.cat([torch.zeros(1, 5), X[:1].float()]).requires_grad_()
    network = nn.Sequential(nn.Linear(5, 4, bias=False), nn.Tanh(), nn.Linear(4, 1))
    infinite(network)(x).ntk.sum().backward()
    assert x.grad is not None
    assert x.grad.isfinite().all()


@pytest.mark.parametrize("rows", [
    lambda x: x.view(x.shape[0], -1), lambda x: x.reshape((x.size(0), -1)), lambda x: x.flatten(1),
    lambda x: x.view(x.size()[0], -1),
])  # fmt: skip
def test_rows_by_any_word(rows: Any) -> None:
    class Rows(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv, self.head = conv(inputs=2), dense(144)

        def forward(self, x: Tensor) -> Tensor:
            return self.head(rows(torch.relu(self.conv(x))))

    expected = infinite(nn.Sequential(conv(inputs=2), RELU, nn.Flatten(), dense(144)))(IMAGES).ntk
    torch.testing.assert_close(infinite(Rows())(IMAGES).ntk, expected)
