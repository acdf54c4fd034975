"""How the cost of one NTK grows with examples, parameters, outputs and a lower ceiling of memory.

    python benchmarks/growth.py [--what ceiling] [--save results/ntk/growth.csv]

Each line is measured in a process of its own: seconds, and the peak of memory above what was there
with the network and its inputs, after a small kernel of a copy: the survey of the network counts.
"""

import csv
import json
import tempfile
from pathlib import Path
from typing import NamedTuple

import cyclopts
from memory import peak_bytes
from rich.console import Console
from rich.table import Table

MB, GB = 10**6, 10**9


class Case(NamedTuple):
    """What to measure."""

    what: str
    "The amount that grows."
    n: int
    network: str
    "How to build it, in Python."
    outputs: int
    output: str = "sum"
    ceiling: int = 4 * 2**30


class Entry(NamedTuple):
    """One line of the results."""

    what: str
    n: int
    parameters: int
    outputs: int
    output: str
    ceiling: int
    seconds: float
    peak_bytes: int
    method: str
    chunk: int
    side: int
    groups: int


def convolutional(width: int, outputs: int = 10) -> str:
    """A ResNet-50 at 32 px."""
    return f"resnet50({width}, {outputs})"


CASES = [
    *(Case("examples", n, convolutional(13), 10) for n in (16, 64, 256, 1024)),
    Case("parameters", 32, "mlp((3072, 3, 10))", 10),
    Case("parameters", 32, "mlp((3072, 32, 10))", 10),
    *(Case("parameters", 32, convolutional(width), 10) for width in (13, 42, 132)),
    *(Case("outputs", 16, convolutional(13, k), k) for k in (1, 10, 100, 1000)),
    *(
        Case("outputs", 16, convolutional(13, k), k, output)
        for output in ("trace", "full")
        for k in (1, 10, 100)
    ),
    *(
        Case("outputs", 8, "mlp((3072, 256, 256, 1000))", 1000, output)
        for output in ("trace", "full")
    ),
    *(
        Case("ceiling", n, network, 10, output, ceiling)
        for n, network, output, ceilings in (
            (64, convolutional(13), "sum", (256 * MB, GB, 8 * GB)),
            (8, convolutional(13), "full", (256 * MB, GB, 8 * GB)),
            (16, convolutional(42), "sum", (256 * MB, GB, 8 * GB)),
            (8, convolutional(132), "sum", (GB, 8 * GB)),
            (2000, "mlp((3072, 512, 512, 10))", "sum", (256 * MB, GB)),
        )
        for ceiling in ceilings
    ),
]

SETUP = """
import copy, json, time
import torch
from networks import mlp, resnet50
from untrained import ntk
torch.manual_seed(0)
network = {network}
shape = (3072,) if isinstance(network[0], torch.nn.Linear) else (3, 32, 32)
x = torch.randn({n}, *shape)
ntk(copy.deepcopy(network), x[:2], output={output!r}, batchnorm="frozen")
"""
CODE = """
begun = time.perf_counter()
theta = ntk(network, x, output={output!r}, batchnorm="frozen", memory={ceiling})
seconds = time.perf_counter() - begun
plan = theta.plan
parameters = sum(p.numel() for p in network.parameters())
with open({file!r}, "w") as file:
    json.dump([parameters, seconds, plan.method, plan.chunk, plan.side, len(plan.groups)], file)
"""


def measure(case: Case, threads: int) -> Entry:
    """One line."""
    with tempfile.TemporaryDirectory() as folder:
        file = str(Path(folder) / "measured.json")
        asked = {**case._asdict(), "file": file}
        peak = peak_bytes(CODE.format(**asked), SETUP.format(**asked), threads)
        parameters, seconds, method, chunk, side, groups = json.loads(Path(file).read_text())
    return Entry(
        case.what, case.n, parameters, case.outputs, case.output, case.ceiling, seconds, peak,
        method, chunk, side, groups,
    )  # fmt: skip


def main(*, threads: int = 1, what: tuple[str, ...] = (), save: Path | None = None) -> None:
    """Prints the table.

    Args:
        threads: Of torch.
        what: Which amounts to let grow: examples, parameters, outputs, ceiling; all by default.
        save: A CSV file to write as well.
    """
    table = Table(*Entry._fields, title=f"{threads} thread(s)")
    entries = []
    for case in CASES:
        if what and case.what not in what:
            continue
        found = measure(case, threads)
        entries.append(found)
        print(found, flush=True)
        table.add_row(
            found.what, str(found.n), f"{found.parameters:.2g}", str(found.outputs), found.output,
            f"{found.ceiling / MB:.0f} MB", f"{found.seconds:.2f}",
            f"{found.peak_bytes / MB:.0f} MB", found.method, str(found.chunk), str(found.side),
            str(found.groups),
        )  # fmt: skip
        if save is not None:
            with save.open("w", newline="") as file:
                writer = csv.writer(file)
                writer.writerow(Entry._fields)
                writer.writerows(e._replace(seconds=round(e.seconds, 4)) for e in entries)
    Console(width=150).print(table)


if __name__ == "__main__":
    cyclopts.run(main)
