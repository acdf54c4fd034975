"""Seconds of the Monte-Carlo NNGP on CIFAR-10, and how its standard error falls with draws.

    python benchmarks/nngp_draws.py [--draws 8] [--train 1000] [--validation 1000]

The network is NAS-Bench-201's best cell with 16 channels and one cell a stage. Validation accuracy
is that of regression with the ridge chosen by leave-one-out on the training part.
"""

import math
import time

import cyclopts
import numpy as np
import torch
from networks import networks
from rich.console import Console
from rich.table import Table

from untrained import nngp
from untrained.analysis.validation import validate
from untrained.images import load_images
from untrained.images.probe import ProbeSpec, draw_probe
from untrained.kernels.drawn import Statistics
from untrained.kernels.nngp import nngp_blocks

ROW = "best cell C=16 N=1, B=64"


def main(
    *, draws: int = 8, train: int = 1000, validation: int = 1000, threads: int = 1, seed: int = 0
) -> None:
    """Prints both tables.

    Args:
        draws: Of the weights.
        train: Images to condition on.
        validation: Images to predict.
        threads: Of torch.
        seed: Of images and weights.
    """
    torch.set_num_threads(threads)
    images = load_images("cifar10")
    probe = draw_probe(
        images, ProbeSpec(count=train + validation), torch.Generator().manual_seed(seed)
    )
    x, labels = probe.inputs, probe.labels
    network = networks()[ROW].build()
    print(f"{ROW}, {train} + {validation} images of CIFAR-10, {threads} thread(s)")

    table = Table("BatchNorm", "draws", "seconds", "validation accuracy")
    asked: list[tuple[Statistics, int | None]] = [
        ("frozen", 100),
        ("frozen", train),
        ("batch", None),
    ]
    for policy, calibration in asked:
        begun = time.perf_counter()
        blocks = nngp_blocks(
            network,
            x[:train],
            x[train:],
            generator=torch.Generator().manual_seed(seed),
            draws=draws,
            batchnorm=policy,
            calibration=None if calibration is None else x[:calibration],
        )
        taken = time.perf_counter() - begun
        found = validate(blocks, labels[:train], labels[train:])
        name = policy if calibration is None else f"{policy}, statistics of {calibration}"
        table.add_row(name, str(draws), f"{taken:.1f}", f"{found.accuracy:.3f}")
    Console().print(table)

    table = Table("draws", "root mean square standard error / mean", "independent estimates")
    counts, errors = [4, 8, 16, 32], []
    for count in counts:
        squares = []
        for repeat in range(64 // count):
            kernel = nngp(
                network,
                x[:100],
                generator=torch.Generator().manual_seed(100 * count + repeat),
                draws=count,
            )
            assert kernel.standard_error is not None
            squares.append((kernel.standard_error / kernel.mean.mean()).square().mean().item())
        errors.append(math.sqrt(sum(squares) / len(squares)))
        table.add_row(str(count), f"{errors[-1]:.4f}", str(64 // count))
    slope = np.polyfit(np.log(counts), np.log(errors), 1)[0]
    Console().print(table)
    print(f"slope of log error over log draws: {slope:.3f} (1/sqrt(draws) has -0.5)")


if __name__ == "__main__":
    cyclopts.run(main)
