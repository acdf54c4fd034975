"""Seconds and memory for one NTK, by method, beside one training step on the same batch.

    python benchmarks/ntk.py [--threads 1] [--rows MLP --rows ViT] [--save results/ntk/methods.csv]
    python benchmarks/ntk.py --device cuda

The step, forward and backward with the gradients of all parameters, is the floor. Work of a row is
measured in turns in one process, so its ratios carry over between machines; seconds do not. The
published loop, one backward pass for each example, is measured on a few examples and multiplied.
Memory is the peak above what the process held, in a process of its own; on a GPU, what its
allocator says.
"""

import csv
import time
from collections.abc import Callable, Iterable
from functools import reduce
from operator import add
from pathlib import Path
from statistics import median
from typing import NamedTuple

import cyclopts
import torch
from memory import peak_bytes
from networks import Row, networks
from rich.console import Console
from rich.table import Table
from torch import Tensor, nn
from torch.func import functional_call, grad, vmap

from untrained import ntk
from untrained.kernels.choice import Method
from untrained.networks.choices import Policy
from untrained.networks.readout import Output

FEW = 4
"Rows of the loop, and of batched products, that are measured where all would take minutes."


class Entry(NamedTuple):
    """One line of the results."""

    network: str
    device: str
    threads: int
    method: str
    step_seconds: float
    seconds: float
    ratio: float
    peak_bytes: int


def step(network: nn.Module, x: Tensor) -> None:
    """Forward and backward of a training step."""
    network.train()
    network.zero_grad()
    network(x).sum().backward()


def ours(
    network: nn.Module,
    x: Tensor,
    output: Output,
    batchnorm: Policy = "frozen",
    method: Method = "auto",
) -> Tensor:
    """Our kernel with constant statistics, or as asked."""
    return ntk(network, x, output=output, batchnorm=batchnorm, method=method)


def gram(rows: Iterable[Tensor]) -> Tensor:
    """J J^T, of the rows for each parameter."""
    return reduce(add, (j.flatten(1) @ j.flatten(1).T for j in rows))


def torch_vmap(network: nn.Module, x: Tensor) -> Tensor:
    """The kernel as torch.func's tutorial has it: all rows of J at once, and their product."""
    network.eval()
    theta = {name: p.detach() for name, p in network.named_parameters()}

    def s(theta: dict[str, Tensor], x_i: Tensor) -> Tensor:
        return functional_call(network, theta, (x_i[None],)).sum()

    rows = vmap(grad(s), in_dims=(None, 0))(theta, x)
    return gram(rows.values())


def published_loop(network: nn.Module, x: Tensor, examples: int) -> Tensor:
    """The kernel as the published codes have it, in training mode, of the first examples."""
    network.train()
    outputs = network(x)
    rows = []
    for i in range(examples):
        network.zero_grad()
        outputs[i].sum().backward(retain_graph=True)
        grads = [p.grad.flatten() for p in network.parameters() if p.grad is not None]
        rows.append(torch.cat(grads).clone())
    j = torch.stack(rows)
    return j @ j.T


def batched_vjp(network: nn.Module, x: Tensor, examples: int) -> Tensor:
    """Some backward passes of the loop at once."""
    network.train()
    outputs = network(x).sum(1)
    units = torch.eye(len(x), device=x.device)[:examples]
    tensors = list(network.parameters())
    rows = torch.autograd.grad(outputs, tensors, units, is_grads_batched=True)
    return gram(rows)


def seconds(work: Callable[[], object]) -> float:
    """Of one call, to the end of what it leaves to a GPU."""
    begun = time.perf_counter()
    work()
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return time.perf_counter() - begun


def gpu_peak(work: Callable[[], object]) -> int:
    """Bytes that its allocator gives to one call, above what it held before."""
    torch.cuda.reset_peak_memory_stats()
    before = torch.cuda.memory_allocated()
    work()
    return torch.cuda.max_memory_allocated() - before


def works(row: Row, network: nn.Module, x: Tensor) -> dict[str, Callable[[], object]]:
    """What to time whole, by method."""
    found: dict[str, Callable[[], object]] = {"ours": lambda: ours(network, x, row.output)}
    if row.output == "full":
        found["ours, vmap"] = lambda: ours(network, x, "full", method="vmap")
    elif row.batch <= 100:
        found["ours, running statistics"] = lambda: ours(
            network, x, row.output, batchnorm="running"
        )
        found["torch.func vmap"] = lambda: torch_vmap(network, x)
    return found


def slow_works(row: Row, network: nn.Module, x: Tensor) -> dict[str, Callable[[], float]]:
    """Seconds of what is measured once: loops, from what a few more examples take."""
    rows = len(x) * (10 if row.output == "full" else 1)

    def whole(loop: Callable[[nn.Module, Tensor, int], Tensor]) -> float:
        one = seconds(lambda: loop(network, x, 1))
        return one + (seconds(lambda: loop(network, x, 1 + FEW)) - one) * (rows - 1) / FEW

    found = {
        "batched VJP": lambda: whole(batched_vjp),
        "published loop": lambda: whole(published_loop),
    }
    if any(isinstance(m, nn.BatchNorm2d) for m in network.modules()) and row.output == "sum":
        found["ours, batch policy"] = lambda: seconds(
            lambda: ours(network, x, row.output, batchnorm="batch")
        )
    return found


MEMORY = """
import torch
from networks import networks
import ntk as bench
row = networks()[{name!r}]
network = row.build()
x = row.inputs()
"""


def measure(
    name: str, row: Row, device: str, threads: int, repeats: int, memory: bool
) -> list[Entry]:
    """All methods on one network."""
    torch.manual_seed(0)
    network = row.build().to(device)
    x = row.inputs().to(device)
    quick = {"training step": lambda: step(network, x), **works(row, network, x)}
    taken: dict[str, list[float]] = {method: [] for method in quick}
    for turn in range(repeats + 1):
        for method, work in quick.items():
            once = seconds(work)
            if turn:  # the first is to warm up
                taken[method].append(once)
    spent = {method: median(times) for method, times in taken.items()}
    spent |= {method: work() for method, work in slow_works(row, network, x).items()}
    floor = spent["training step"]
    peaks = dict.fromkeys(spent, 0)
    if memory and device != "cpu":
        peaks |= {method: gpu_peak(work) for method, work in quick.items()}
    elif memory:
        calls = {method: f"bench.works(row, network, {{}})[{method!r}]()" for method in spent}
        calls["training step"] = "bench.step(network, {})"
        for method in quick:
            setup = MEMORY.format(name=name) + calls[method].format("x[:2]")
            peaks[method] = peak_bytes(calls[method].format("x"), setup, threads)
    return [
        Entry(name, device, threads, method, floor, s, s / floor, peaks[method])
        for method, s in spent.items()
    ]


def main(
    *,
    device: str = "cpu",
    threads: int = 1,
    repeats: int = 5,
    rows: tuple[str, ...] = (),
    memory: bool = True,
    save: Path | None = None,
) -> None:
    """Prints the table.

    Args:
        device: Where to compute: `cpu` or `cuda`.
        threads: Of torch.
        repeats: Of each fast measurement, after one to warm up.
        rows: Networks whose names contain one of these; all by default.
        memory: Measure peaks too.
        save: A CSV file to write as well.
    """
    torch.set_num_threads(threads)
    wanted = {
        name: row for name, row in networks().items() if not rows or any(r in name for r in rows)
    }
    table = Table(
        "network", "method", "seconds", "x step", "peak MB", title=f"{device}, {threads} thread(s)"
    )
    entries: list[Entry] = []
    for name, row in wanted.items():
        found = measure(name, row, device, threads, repeats, memory)
        entries += found
        for e in found:
            table.add_row(
                name, e.method, f"{e.seconds:.3f}", f"{e.ratio:.2f}",
                f"{e.peak_bytes / 1e6:.0f}" if e.peak_bytes else "",
            )  # fmt: skip
        table.add_section()
        print(f"measured {name}", flush=True)
        if save is not None:  # as they come: a long run may be cut short
            with save.open("w", newline="") as file:
                writer = csv.writer(file)
                writer.writerow(Entry._fields)
                writer.writerows(
                    [*e[:4], f"{e[4]:.4f}", f"{e[5]:.4f}", f"{e[6]:.3f}", e[7]] for e in entries
                )
    Console(width=110).print(table)


if __name__ == "__main__":
    cyclopts.run(main)
