"""Seconds of kernels beside neural-tangents (JAX, compiled) and torch.func, in turns in one run.

    python -m venv nt
    nt/bin/pip install jax==0.4.20 jaxlib==0.4.20 neural-tangents==0.6.5 'scipy<1.12' 'numpy<2'
    python benchmarks/beside_neural_tangents.py nt/bin/python --save FILE.csv

On one core each, with the same weights and inputs; the time to compile is left out. Empirical
kernels are those of all outputs, (n K) x (n K), in float32: `neural-tangents/1` contracts
Jacobians, `/2` makes products of kernels and vectors, `/3` uses structure; `torch.func` has rows
of J by vmap and jacrev, as its tutorial. Kernels of infinite width are NNGP and NTK, in float64. A
ratio is the seconds of the other over ours, the medians of some turns; `difference` is the largest
of entries, relative to the largest entry.
"""

import csv
import os
import subprocess
import tempfile
import time
from collections.abc import Callable
from functools import partial
from itertools import pairwise
from pathlib import Path
from statistics import median
from typing import NamedTuple

import cyclopts
import numpy as np
import torch
from rich.console import Console
from rich.table import Table
from torch import Tensor, nn

from untrained import infinite, ntk

RELU = nn.ReLU()
ONE_CORE = {
    "XLA_FLAGS": "--xla_cpu_multi_thread_eigen=false",
    "OMP_NUM_THREADS": "1",
}


class Entry(NamedTuple):
    """One line of the results."""

    kernel: str
    examples: int
    other: str
    seconds: float
    "Ours."
    other_seconds: float
    ratio: float
    difference: float


class Case(NamedTuple):
    """A kernel, and what else computes it."""

    network: nn.Module
    x: Tensor
    empirical: bool

    def ours(self) -> Tensor:
        """Our kernel."""
        if self.empirical:
            return ntk(self.network, self.x, output="full").as_subclass(Tensor)
        return infinite(self.network, sigma_b=0.1)(self.x).ntk

    def by_torch(self) -> Tensor:
        """J J^T with rows by vmap and jacrev."""
        theta = {name: p.detach() for name, p in self.network.named_parameters()}

        def f(theta: dict[str, Tensor], x: Tensor) -> Tensor:
            return torch.func.functional_call(self.network, theta, x[None])[0]

        rows = torch.func.vmap(torch.func.jacrev(f), (None, 0))(theta, self.x)
        flat = [row.flatten(0, 1).flatten(1) for row in rows.values()]
        return torch.stack([row @ row.T for row in flat]).sum(0)


def perceptron(*widths: int, act: Callable[[], nn.Module] = nn.ReLU) -> nn.Sequential:
    """Dense layers with activations between."""
    layers: list[nn.Module] = []
    for a, b in pairwise(widths):
        layers += [nn.Linear(a, b), act()]
    return nn.Sequential(*layers[:-1])


def convolutional(channels: int, depth: int, outputs: int, *head: nn.Module) -> nn.Sequential:
    """Convolutions with ReLU between, and a head."""
    layers: list[nn.Module] = []
    for k in range(depth):
        layers += [nn.Conv2d(channels if k else 3, channels, 3, padding=1), nn.ReLU()]
    return nn.Sequential(*layers, *head, nn.Flatten(), nn.LazyLinear(outputs))


class Erf(nn.Module):
    """The error function between two dense layers and another."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.ModuleList(nn.Linear(size, 1) for size in (100, 1, 1))

    def forward(self, x: Tensor) -> Tensor:
        return self.layers[2](torch.erf(self.layers[1](torch.erf(self.layers[0](x)))))


def cases() -> dict[str, Case]:
    """All of them, with the same numbers each time."""
    torch.manual_seed(0)

    def randn(*shape: int) -> Tensor:
        return torch.randn(shape)

    averaged = nn.AdaptiveAvgPool2d(1)
    found = {
        "dense_512": Case(perceptron(256, 512, 512, 10), randn(64, 256), True),
        "dense_one_output": Case(perceptron(256, 512, 512, 1), randn(512, 256), True),
        "convolutional_64": Case(convolutional(64, 3, 10, averaged), randn(32, 3, 16, 16), True),
        "convolutional_16": Case(convolutional(16, 4, 10, averaged), randn(64, 3, 32, 32), True),
        "perceptron": Case(perceptron(100, 1, 1, 1, 1), randn(2000, 100), False),
        "erf": Case(Erf(), randn(2000, 100), False),
        "tanh": Case(perceptron(100, 1, 1, act=nn.Tanh), randn(300, 100), False),
        "convolutions": Case(convolutional(1, 3, 1), randn(100, 3, 32, 32), False),
        "averaged": Case(convolutional(1, 2, 1, averaged), randn(10, 3, 16, 16), False),
    }
    for case in found.values():
        case.network(case.x[:1])  # which makes lazy layers
    return found


def given(found: dict[str, Case], double: bool) -> dict[str, np.ndarray]:
    """Inputs and weights as the other side takes them."""
    arrays: dict[str, np.ndarray] = {"double": np.array(double)}
    for name, case in found.items():
        if case.empirical == double:
            continue
        x = case.x.double() if double else case.x
        images = not case.empirical and x.ndim == 4
        arrays[name] = (x.permute(0, 2, 3, 1) if images else x).numpy()
        if case.empirical:
            for k, p in enumerate(case.network.parameters()):
                arrays[f"{name}.{k}"] = p.detach().numpy()
    return arrays


def as_ours(other: np.ndarray) -> Tensor:
    """(n, n, K, K) as (n K, n K)."""
    found = torch.from_numpy(other)
    if found.ndim == 2:
        return found
    n, _, k, _ = found.shape
    return found.permute(0, 2, 1, 3).reshape(n * k, n * k)


def timed(of: Callable[[], Tensor]) -> tuple[float, Tensor]:
    """Seconds, and what was found."""
    began = time.perf_counter()
    found = of()
    return time.perf_counter() - began, found


class Side:
    """Another process, which computes what it is asked."""

    def __init__(self, python: Path, arrays: dict[str, np.ndarray], folder: Path):
        self.folder = folder
        np.savez(folder / f"given{arrays['double']}.npz", **arrays)  # type: ignore[arg-type]
        script = Path(__file__).with_name("neural_tangents_side.py")
        self.process = subprocess.Popen(
            [python, script, folder / f"given{arrays['double']}.npz"],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
            stderr=(folder / "said.txt").open("a"), env={**os.environ, **ONE_CORE},
        )  # fmt: skip

    def __call__(self, name: str) -> tuple[float, Tensor]:
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        print(name, self.folder / "found.npy", file=self.process.stdin, flush=True)
        answer = self.process.stdout.readline()
        if not answer:
            said = (self.folder / "said.txt").read_text().splitlines()
            raise RuntimeError(f"neural-tangents failed at {name}: {said[-1:]}")
        return float(answer), as_ours(np.load(self.folder / "found.npy"))


def main(
    python: Path, *, turns: int = 5, only: list[str] | None = None, save: Path | None = None
) -> None:
    """Measures, and shows a table.

    Args:
        python: of an environment that has neural-tangents.
        turns: of each, one after the other.
        only: kernels to measure.
        save: a CSV to write.
    """
    torch.set_num_threads(1)
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    found, entries = cases(), []
    with tempfile.TemporaryDirectory() as temporary:
        sides = {
            double: Side(python, given(found, double), Path(temporary)) for double in (False, True)
        }
        for name, case in found.items():
            if only and name not in only:
                continue
            side = sides[not case.empirical]
            others: dict[str, Callable[[], tuple[float, Tensor]]] = {}
            for k in (1, 2, 3) if case.empirical else (0,):
                asked = f"{name}/{k}" if k else name
                label = f"neural-tangents/{k}" if k else "neural-tangents"
                others[label] = partial(side, asked)
            if case.empirical:
                others["torch.func"] = partial(timed, case.by_torch)
            entries += measured(name, case, others, turns)
    show(entries)
    if save is not None:
        with save.open("w", newline="") as file:
            writer = csv.writer(file)
            writer.writerow(Entry._fields)
            writer.writerows(entries)


def measured(
    name: str, case: Case, others: dict[str, Callable[[], tuple[float, Tensor]]], turns: int
) -> list[Entry]:
    """Ours and each other, in turns."""
    expected = case.ours()
    seconds: dict[str, list[float]] = {label: [] for label in ("ours", *others)}
    differences = {}
    for _ in range(turns):
        seconds["ours"].append(timed(case.ours)[0])
        for label, other in others.items():
            took, kernel = other()
            seconds[label].append(took)
            differences[label] = ((kernel - expected).abs().max() / expected.abs().max()).item()
    own = median(seconds["ours"])
    return [
        Entry(
            name, len(case.x), label, round(own, 4), round(median(seconds[label]), 4),
            round(median(seconds[label]) / own, 2), float(f"{differences[label]:.1e}"),
        )
        for label in others
    ]  # fmt: skip


def show(entries: list[Entry]) -> None:
    """A table in the terminal."""
    table = Table(*Entry._fields)
    for entry in entries:
        table.add_row(*map(str, entry))
    Console().print(table)


if __name__ == "__main__":
    cyclopts.run(main)
