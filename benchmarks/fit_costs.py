"""Fits the cost model of `untrained/layerwise/costs.py` to this machine, and prints its table.

    python benchmarks/fit_costs.py

Each work is timed on one thread over shapes from small to large; its coefficients are those of a
non-negative least squares fit of relative errors. Takes a few minutes.
"""

import time
from collections.abc import Callable
from functools import partial
from statistics import median

import numpy as np
import torch
from scipy.optimize import nnls
from torch import Tensor, nn

from untrained.layerwise import costs
from untrained.layerwise.contraction import Precision, accumulate
from untrained.layerwise.outer import ROWS, ConvolutionOuter, LinearOuter
from untrained.layerwise.survey import survey
from untrained.networks.batchnorm import policy_mode
from untrained.networks.patches import Window

ALL = slice(None)
Sample = tuple[dict[str, float], float]


def seconds(work: Callable[[], object], repeats: int = 5) -> float:
    """The median of some repeats, after one to warm up."""
    taken = []
    for _ in range(repeats + 1):
        begun = time.perf_counter()
        work()
        taken.append(time.perf_counter() - begun)
    return median(taken[1:])


def convolutions() -> dict[str, list[Sample]]:
    """Rows of J of convolutions, by each way."""
    samples: dict[str, list[Sample]] = {way: [] for way in ROWS}
    shapes = [
        (n, c, o, size, kernel, groups)
        for n in (16, 32, 64)
        for c, o, size, kernel, groups in [
            (3, 3, 32, 3, 1), (6, 6, 16, 3, 1), (12, 12, 8, 3, 1), (3, 16, 32, 3, 1),
            (16, 16, 32, 3, 1), (16, 16, 32, 1, 1), (32, 32, 16, 3, 1), (64, 64, 8, 3, 1),
            (64, 64, 32, 3, 1), (128, 128, 16, 3, 1), (128, 128, 8, 1, 1), (256, 256, 8, 3, 1),
            (512, 512, 4, 3, 1), (128, 256, 8, 3, 1),
            (96, 96, 24, 3, 96), (192, 192, 12, 3, 192), (32, 192, 12, 1, 1), (3, 192, 8, 4, 1),
        ]
        if n * o * c * kernel**2 // groups < 5e7
    ]  # fmt: skip
    for n, c, o, size, kernel, groups in shapes:
        window = Window.of((kernel, kernel), 1, kernel // 2, 1)
        x = torch.randn(n, c, size, size)
        spread = window.positions((size, size))
        layer = ConvolutionOuter(x, o, c, window, spread, groups)
        d = torch.randn(n, o, *spread)
        for way, rows in ROWS.items():
            taken = seconds(partial(rows, x, d, layer), 3)
            amounts = {name: layer.amounts()[name] for name in costs.NANOSECONDS[way]}
            samples[way].append((amounts, taken))
    return samples


def linear_layers() -> list[Sample]:
    """Rows of J of linear layers."""
    samples: list[Sample] = []
    for n in (16, 64):
        for t, a, o in [
            (1, 64, 64),
            (1, 512, 512),
            (16, 192, 192),
            (65, 192, 576),
            (65, 768, 192),
        ]:
            layer = LinearOuter(torch.randn(n, t, a), o)
            d = torch.randn(n, t, o)
            samples.append((layer.amounts(), seconds(partial(layer.rows, d, ALL))))
    return samples


def products(precision: Precision) -> list[Sample]:
    """J J^T."""
    samples: list[Sample] = []
    for n, p in [(16, 10**5), (32, 10**6), (64, 10**5), (64, 10**6), (256, 10**5), (1024, 10**4)]:
        a, b = torch.randn(n, p), torch.randn(n, p)
        theta = torch.zeros(n, n, dtype=torch.float64)
        taken = seconds(partial(accumulate, theta, a, b, precision), 3)
        samples.append(({"macs": n * n * p}, taken))
    return samples


def pairs() -> list[Sample]:
    """Elementwise products of Gram matrices, summed over positions; `calls` are set by hand."""

    def summed(a: Tensor, b: Tensor, n: int, t: int) -> Tensor:
        return (a * b).view(n, t, n, t).sum((1, 3))

    samples: list[Sample] = []
    for n, t in [(32, 16), (64, 16), (32, 65), (1000, 1)]:
        a, b = torch.randn(n * t, n * t), torch.randn(n * t, n * t)
        taken = seconds(partial(summed, a, b, n, t))
        samples.append(({"pairs": a.numel()}, taken))
    return samples


def forwards() -> list[Sample]:
    """Forward passes without gradients."""
    networks: list[tuple[nn.Module, tuple[int, ...]]] = []
    for c, size, depth in [(3, 32, 12), (16, 32, 8), (32, 16, 8), (64, 32, 3), (64, 8, 20)]:
        block: list[nn.Module] = [
            layer
            for _ in range(depth)
            for layer in (nn.Conv2d(c, c, 3, padding=1), nn.BatchNorm2d(c), nn.ReLU())
        ]
        networks.append((nn.Sequential(*block, nn.Flatten()), (c, size, size)))
    for width, depth in [(64, 20), (512, 6)]:
        block = [layer for _ in range(depth) for layer in (nn.Linear(width, width), nn.GELU())]
        networks.append((nn.Sequential(*block), (width,)))
    samples: list[Sample] = []
    for network, shape in networks:
        network.eval()
        for n in (2, 64):
            x = torch.randn(n, *shape)
            s = survey(network, x, policy_mode("running"), ())
            amounts = {"macs": s.macs * n, "numbers": s.forward_bytes / 4 * n, "calls": s.calls}
            with torch.no_grad():
                samples.append((amounts, seconds(partial(network, x))))
    return samples


def fit(samples: list[Sample]) -> dict[str, float]:
    """Nanoseconds for each amount."""
    names = sorted({name for amounts, _ in samples for name in amounts})
    taken = np.array([s for _, s in samples])
    amounts = np.array([[amount.get(name, 0) for name in names] for amount, _ in samples])
    scale = amounts.max(0)
    found, _ = nnls(amounts / scale / taken[:, None], np.ones(len(taken)))
    coefficients = 1e9 * found / scale
    predicted = amounts @ coefficients * 1e-9
    print(
        f"  within a factor of {np.exp(np.abs(np.log(predicted / taken)).mean()):.2f} on average"
    )
    return dict(zip(names, coefficients, strict=True))


def main() -> None:
    """Prints the table."""
    torch.set_num_threads(1)
    torch.manual_seed(0)
    works: dict[str, list[Sample]] = convolutions()
    works["outer"] = linear_layers()
    for precision in ("float64", "float32", "bfloat16"):
        works[f"product_{precision}"] = products(precision)
    works |= {"pairs": pairs(), "forward": forwards()}
    for work, samples in works.items():
        print(f"fitting {work}")
        table = ", ".join(f'"{name}": {value:.3g}' for name, value in fit(samples).items())
        print(f'    "{work}": {{{table}}},')
    assert works.keys() == costs.NANOSECONDS.keys()


if __name__ == "__main__":
    main()
