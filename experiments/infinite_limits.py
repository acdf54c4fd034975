"""Kernels of infinite width: beside neural-tangents, and beside networks of growing width.

    python experiments/infinite_limits.py measure    # results/theory/infinite_limits.csv
    python experiments/infinite_limits.py table      # the table of docs/infinite.md

Vectors, sequences and images are those of tests/fixtures/neural_tangents_infinite.npz, as are the
kernels of neural-tangents.

    difference   the largest difference of an entry of both kernels from those of neural-tangents,
                 relative to the largest entry; empty where that library has no such kernel
    ntk, nngp    |K - K_infinity| / |K_infinity| of one network, root mean square of many draws;
                 the NNGP of the features before the last layer
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import cyclopts
import numpy as np
import polars as pl
import torch
from torch import Tensor, nn

from untrained import draw_weights, features, infinite, ntk
from untrained.networks import ntk_parametrisation

app = cyclopts.App()
ROOT = Path(__file__).parents[1]
SAVED = ROOT / "results" / "theory" / "infinite_limits.csv"
GIVEN = np.load(ROOT / "tests" / "fixtures" / "neural_tangents_infinite.npz")
X, SEQUENCES = torch.from_numpy(GIVEN["x"]), torch.from_numpy(GIVEN["sequences"])
IMAGES = torch.from_numpy(GIVEN["images"]).permute(0, 3, 1, 2).contiguous()
WORDS = torch.tensor([[0, 1, 2, 3], [4, 1, 2, 3], [1, 1, 0, 2], [2, 4, 4, 0]])
WIDTHS = (16, 64, 256, 1024)
SPREAD: dict[str, Any] = {"sigma_w": 1.3, "sigma_b": 0.4}


class Case(NamedTuple):
    """A kind of layer in a small network."""

    build: Callable[[int], nn.Module]
    "By its width."
    x: Tensor
    known: str = ""
    "Its name in the file of neural-tangents."
    split: int = 3
    "How many examples are on the left side there."


class Residual(nn.Module):
    """x + f(x)."""

    def __init__(self, *layers: nn.Module):
        super().__init__()
        self.body = nn.Sequential(*layers)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.body(x)


class Function(nn.Module):
    """A function of torch's as a module."""

    def __init__(self, function: Callable[[Tensor], Tensor]):
        super().__init__()
        self.function = function

    def forward(self, x: Tensor) -> Tensor:
        return self.function(x)


class Mean(nn.Module):
    """The mean over words."""

    def forward(self, x: Tensor) -> Tensor:
        return x.mean(1)


class Attention(nn.Module):
    """Of a sequence to itself, with sqrt(width) heads."""

    def __init__(self, width: int):
        super().__init__()
        self.seen = nn.MultiheadAttention(width, int(width**0.5), batch_first=True)

    def forward(self, x: Tensor) -> Tensor:
        return self.seen(x, x, x)[0]


def between(act: Callable[[], nn.Module], hidden: int = 1) -> Callable[[int], nn.Module]:
    """Hidden layers with an activation."""

    def build(width: int) -> nn.Module:
        layers: list[nn.Module] = [nn.Linear(5, width), act()]
        for _ in range(hidden - 1):
            layers += [nn.Linear(width, width), act()]
        return nn.Sequential(*layers, nn.Linear(width, 1))

    return build


def norm(width: int) -> nn.Module:
    """LayerNorm as neural-tangents has it."""
    return nn.LayerNorm(width, eps=1e-12, elementwise_affine=False)


def conv(inputs: int, outputs: int, stride: int = 1, padding: int = 1) -> nn.Module:
    """Over windows of three by three."""
    return nn.Conv2d(inputs, outputs, 3, stride, padding)


def block(width: int) -> nn.Module:
    """A block of a transformer with sqrt(width) heads."""
    return nn.TransformerEncoderLayer(
        width, int(width**0.5), width, 0.0, nn.GELU(), batch_first=True, norm_first=True
    )


RELU, GAP = nn.ReLU(), (nn.AdaptiveAvgPool2d(1), nn.Flatten())
CASES: dict[str, Case] = {
    "ReLU, two hidden layers": Case(between(nn.ReLU, 2), X, "relu", 4),
    "leaky ReLU": Case(between(lambda: nn.LeakyReLU(0.1)), X, "leaky", 4),
    "absolute value": Case(between(lambda: Function(torch.abs)), X, "abs", 4),
    "erf, two hidden layers": Case(between(lambda: Function(torch.erf), 2), X, "erf", 4),
    "sine": Case(between(lambda: Function(torch.sin)), X, "sin", 4),
    "cosine": Case(between(lambda: Function(torch.cos)), X, "cos", 4),
    "GELU, two hidden layers": Case(between(nn.GELU, 2), X, "gelu", 4),
    "tanh (series)": Case(between(nn.Tanh), X, "tanh", 4),
    "SiLU (series)": Case(between(nn.SiLU), X),
    "residual blocks": Case(
        lambda w: nn.Sequential(
            nn.Linear(5, w), Residual(RELU, nn.Linear(w, w)), Residual(RELU, nn.Linear(w, w)),
            RELU, nn.Linear(w, 1),
        ), X, "residual", 4,
    ),
    "LayerNorm": Case(
        lambda w: nn.Sequential(nn.Linear(5, w), norm(w), RELU, nn.Linear(w, 1)),
        X, "normalised", 4,
    ),
    "LayerNorm with scale and shift": Case(
        lambda w: nn.Sequential(nn.Linear(5, w), nn.LayerNorm(w), RELU, nn.Linear(w, 1)), X,
    ),
    "convolutions, flattened": Case(
        lambda w: nn.Sequential(
            conv(2, w), RELU, conv(w, w, 2, 0), RELU, nn.Flatten(), nn.Linear(4 * w, 1)
        ), IMAGES, "flattened",
    ),
    "convolutions, averaged": Case(
        lambda w: nn.Sequential(
            conv(2, w), RELU, conv(w, w, 2, 0), RELU, *GAP, nn.Linear(w, 1)
        ), IMAGES, "averaged",
    ),
    "average pooling": Case(
        lambda w: nn.Sequential(
            conv(2, w), RELU, nn.AvgPool2d(2), conv(w, w), RELU, nn.Flatten(), nn.Linear(9 * w, 1)
        ), IMAGES, "pooled",
    ),
    "residual convolutions": Case(
        lambda w: nn.Sequential(
            conv(2, w), Residual(RELU, conv(w, w), RELU, conv(w, w)), RELU, *GAP, nn.Linear(w, 1)
        ), IMAGES, "residual_images",
    ),
    "convolutions along sequences": Case(
        lambda w: nn.Sequential(
            nn.Conv1d(2, w, 3, padding=1), RELU, nn.Conv1d(w, w, 3, 2), RELU,
            nn.AdaptiveAvgPool1d(1), nn.Flatten(), nn.Linear(w, 1),
        ), SEQUENCES.mT.contiguous(), "filtered",
    ),
    "dense layers by word": Case(
        lambda w: nn.Sequential(
            nn.Linear(2, w), norm(w), nn.GELU(), nn.Linear(w, w), RELU, Mean(), nn.Linear(w, 1)
        ), SEQUENCES, "normalised_words",
    ),
    "attention (draws)": Case(
        lambda w: nn.Sequential(nn.Linear(2, w), Attention(w), Mean(), nn.Linear(w, 1)), SEQUENCES,
    ),
    "embedding, transformer block (draws)": Case(
        lambda w: nn.Sequential(
            nn.Embedding(5, w), block(w), nn.LayerNorm(w), Mean(), nn.Linear(w, 1)
        ), WORDS,
    ),
}  # fmt: skip


@app.command
def measure(draws: int = 20, only: tuple[str, ...] = ()) -> None:
    """Measures every case, or some anew, each width with so many draws of weights."""
    torch.set_num_threads(1)
    kept = pl.read_csv(SAVED).rows_by_key("layers", named=True, include_key=True) if only else {}
    rows = []
    for name, case in CASES.items():
        if only and name not in only:
            rows += kept[name]
            continue
        limit = infinite(case.build(16), **SPREAD, draws=40_000)(case.x)
        off = None
        if case.known:
            n = case.split
            pairs = (
                (k[:n, n:], GIVEN[f"{case.known}.{which}"]) for which, k in limit._asdict().items()
            )
            off = max(
                (k - torch.from_numpy(e)).abs().max().item() / abs(e).max() for k, e in pairs
            )
        for width in WIDTHS:
            network = ntk_parametrisation(case.build(width).double(), **SPREAD)
            generator, errors = torch.Generator().manual_seed(width), []
            for _ in range(draws):
                draw_weights(network, "ntk", generator)
                z = features(network, case.x).z.detach()
                nngp = SPREAD["sigma_w"] ** 2 * z @ z.T / z.shape[1] + SPREAD["sigma_b"] ** 2
                theta = ntk(network, case.x).as_subclass(Tensor)
                errors.append([apart(theta, limit.ntk), apart(nngp, limit.nngp)])
            of_ntk, of_nngp = torch.tensor(errors).square().mean(0).sqrt().tolist()
            rows.append({"layers": name, "difference": off, "width": width, "draws": draws,
                         "ntk": of_ntk, "nngp": of_nngp})  # fmt: skip
            print(rows[-1])
    SAVED.parent.mkdir(exist_ok=True)
    pl.DataFrame(rows, infer_schema_length=None).write_csv(SAVED)


def apart(found: Tensor, expected: Tensor) -> float:
    """Relative distance, by the Frobenius norm."""
    return ((found - expected).norm() / expected.norm()).item()


@app.command
def table() -> None:
    """Prints the table, with the slope of the NTK's error by width on logarithmic scales."""
    rows = pl.read_csv(SAVED)
    heads = " | ".join(f"width {width}" for width in WIDTHS)
    print(f"| layers | neural-tangents | {heads} | slope |\n|---|---|{'---|' * (len(WIDTHS) + 1)}")
    for (name,), each in rows.group_by("layers", maintain_order=True):
        off = each["difference"][0]
        slope = np.polyfit(np.log(each["width"]), np.log(each["ntk"]), 1)[0]
        errors = " | ".join(f"{value:.3f}" for value in each["ntk"])
        print(f"| {name} | {'' if off is None else f'{off:.0e}'} | {errors} | {slope:.2f} |")


if __name__ == "__main__":
    app()
