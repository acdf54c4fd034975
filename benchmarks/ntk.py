"""Seconds for one NTK, by method, beside one training step of the same network and batch.

    python benchmarks/ntk.py [--threads 1]

A row is measured side by side in one run: ratios carry over between machines, seconds do not.
"""

import time
from collections.abc import Callable
from statistics import median

import cyclopts
import torch
from rich.console import Console
from rich.table import Table
from torch import Tensor, nn

from untrained import draw_weights, ntk
from untrained.spaces import Scale, get_space

SPACE = get_space("nasbench201")
BEST = "|nor_conv_3x3~0|+|nor_conv_3x3~0|nor_conv_3x3~1|+|skip_connect~0|nor_conv_3x3~1|nor_conv_3x3~2|"  # noqa: E501

ROWS = {
    "TE-NAS supernet, C=3 N=1, B=72": (SPACE.supernet(), SPACE.scales["small"], 72),
    "best cell, C=16 N=1, B=64": (SPACE.parse(BEST), Scale(16, 1), 64),
}
METHODS = {
    "structured": {"method": "structured", "batchnorm": "frozen"},
    "vmap": {"method": "vmap", "batchnorm": "frozen"},
    "loop, frozen": {"method": "loop", "batchnorm": "frozen"},
    "loop, batch": {"method": "loop", "batchnorm": "batch"},
}


def step(network: nn.Module, x: Tensor) -> None:
    """Forward and backward of a training step."""
    network.train()
    network.zero_grad()
    network(x).sum().backward()


def seconds(work: Callable[[], object], repeats: int) -> float:
    """Median over repeats, after one to warm up."""
    taken = []
    for _ in range(repeats + 1):
        begun = time.perf_counter()
        work()
        taken.append(time.perf_counter() - begun)
    return median(taken[1:])


def main(*, threads: int = torch.get_num_threads(), repeats: int = 5) -> None:
    """Prints the table.

    Parameters
    ----------
    threads
        Of torch.
    repeats
        Of each fast measurement; a loop is measured once.
    """
    torch.set_num_threads(threads)
    table = Table("network and batch", "training step", *METHODS, title=f"{threads} thread(s)")
    for name, (architecture, scale, batch) in ROWS.items():
        network = SPACE.build(architecture, scale, inputs=3, classes=10)
        generator = torch.Generator().manual_seed(0)
        draw_weights(network, "kaiming_fan_out", generator)
        x = torch.randn(batch, 3, 32, 32, generator=generator)
        floor = seconds(lambda n=network, x=x: step(n, x), repeats)
        cells = [f"{floor:.3f} s"]
        for method, options in METHODS.items():
            taken = seconds(
                lambda n=network, x=x, o=options: ntk(n, x, parameters="weights", **o),
                1 if "loop" in method else repeats,
            )
            cells.append(f"{taken:.3f} s = {taken / floor:.1f} x")
        table.add_row(name, *cells)
    Console(width=150).print(table)


if __name__ == "__main__":
    cyclopts.run(main)
