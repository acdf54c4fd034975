"""Seconds and memory of counting activation patterns.

    python benchmarks/regions.py

Patterns of 10,000 images with 1,000,000 neurons each, in a process of its own; and of 3,000 random
inputs with 117 neurons, the sizes of TE-NAS, counted without the network's own pass.
"""

import json
import tempfile
import time
from pathlib import Path
from statistics import median

import cyclopts
import torch
from memory import peak_bytes
from torch import nn

from untrained import count_regions

SETUP = """
import json, time
import torch
from torch import nn
from untrained import count_regions
net = nn.Sequential(nn.Conv2d(3, 50, 5, padding=2), nn.ReLU(), nn.Conv2d(50, 50, 1), nn.ReLU())
x = torch.randn({images}, 3, 100, 100)
count_regions(net, x[:8], chunk=4)
"""
CODE = """
begun = time.perf_counter()
found = count_regions(net, x, chunk=64)
seconds = time.perf_counter() - begun
with open({file!r}, "w") as file:
    json.dump([found.count, found.inputs, found.neurons, seconds], file)
"""


def main(*, images: int = 10_000, threads: int = 1) -> None:
    """Prints both.

    Args:
        images: Of 100 x 100 pixels.
        threads: Of torch.
    """
    torch.set_num_threads(threads)
    thin = nn.ReLU()
    x = torch.randn(3000, 117)
    taken = []
    for _ in range(20):
        begun = time.perf_counter()
        found = count_regions(thin, x)
        taken.append(time.perf_counter() - begun)
    print(f"3,000 x 117: {1000 * median(taken):.1f} ms, {found.count} patterns")
    with tempfile.TemporaryDirectory() as folder:
        file = str(Path(folder) / "measured.json")
        setup = SETUP.format(images=images)
        peak = peak_bytes(CODE.format(file=file), setup, threads)
        count, inputs, neurons, seconds = json.loads(Path(file).read_text())
    held = images * 3 * 100 * 100 * 4
    print(
        f"{inputs:,} x {neurons:,}: {seconds:.0f} s, {count:,} patterns, peak {peak / 1e6:.0f} MB "
        f"beside the images' {held / 1e6:.0f} MB"
    )


if __name__ == "__main__":
    cyclopts.run(main)
