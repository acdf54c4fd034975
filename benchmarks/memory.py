"""The memory that a piece of work needs, measured in a process of its own (Linux).

    python benchmarks/memory.py run "x = torch.ones(1000, 1000); y = x @ x" "import torch"
    python benchmarks/memory.py kernels [--examples 8000] [--share 1.5]

The second measures kernels under a ceiling of which they are most, and what is made of them.
"""

import os
import subprocess
import sys
from pathlib import Path

import cyclopts

DRIVER = """
import ctypes, gc, sys

def kilobytes(key):
    with open("/proc/self/status") as lines:
        return next(int(line.split()[1]) for line in lines if line.startswith(key))

setup, code = sys.argv[1:]
names = {}
exec(setup, names)
gc.collect()
ctypes.CDLL(None).malloc_trim(0)  # what the setup has freed shall not hide what the work takes
with open("/proc/self/clear_refs", "w") as control:
    control.write("5")  # the peak starts anew
before = kilobytes("VmRSS")
exec(code, names)
print("\\n", 1024 * (kilobytes("VmHWM") - before))
"""


def peak_bytes(code: str, setup: str = "", threads: int = 1) -> int:
    """Bytes of resident memory at the peak of `code`, above what was resident after `setup`.

    Pages that the process already had, such as code of libraries that `setup` ran once, are not
    counted: let `setup` do a small instance of the work. Good to about one megabyte.

    Args:
        code: statements of Python.
        setup: statements before them, whose names they see; files beside this one can be imported.
        threads: of torch and its libraries.

    Raises:
        ValueError: the statements fail; the last line of the traceback is given.
    """
    done = subprocess.run(
        [sys.executable, "-c", DRIVER, setup, code],
        cwd=Path(__file__).parent,
        env={**os.environ, "OMP_NUM_THREADS": str(threads)},
        capture_output=True,
        text=True,
    )
    if done.returncode:
        reason = done.stderr.strip().splitlines()[-1:] or [f"exit status {done.returncode}"]
        raise ValueError(f"expected statements that run, got {reason[0]}")
    return int(done.stdout.split()[-1])


NETWORK = """
import copy
import torch
from torch import nn
from untrained import ntk, ntk_contributions, regression, spectrum
torch.manual_seed(0)
network = nn.Sequential(nn.Linear(16, 128), nn.ReLU(), nn.Linear(128, 10))
x = torch.randn({n}, 16)
few = ntk(copy.deepcopy(network), x[:300], method={method!r})  # the network is yet to be surveyed
"""
KERNEL = """
theta = ntk(network, x)
regression(few, torch.arange(300) % 3).leave_one_out
spectrum(few)
"""

# Work, kernels of n x n that it returns, and the share of the examples that it takes.
KERNELS = {
    "sum": ("theta = ntk(network, x, {options})", 1, 1),
    "trace": ("theta = ntk(network, x, output='trace', {options})", 1, 1),
    "full": ("theta = ntk(network, x, output='full', {options})", 100, 0.1),
    "two batches": ("theta = ntk(network, x[::2], x[1::2], {options})", 0.25, 1),
    "by layer": ("shares = ntk_contributions(network, x, {options})", 2, 1),
}
METHODS = {"structured": 1, "vmap": 1, "loop": 0.25, "batched": 0.25, "products": 0.1}
"The share of the examples that each takes."
MADE = {"spectrum": "spectrum(theta)", "regression": "regression(theta, torch.arange(len(x)) % 3)"}


def kernels(examples: int = 8000, share: float = 1.5) -> None:
    """Peaks of kernels as shares of their ceiling, and of what is made of one.

    Args:
        examples: n.
        share: the ceiling in units of the kernels that are returned.
    """
    asked = [(name, "auto", *KERNELS[name]) for name in KERNELS]
    asked += [("sum", method, *KERNELS["sum"][:2], part) for method, part in METHODS.items()]
    for name, method, work, count, part in asked:
        n = int(examples * part)
        size = int(8 * n**2 * count)
        ceiling = max(int(share * size), size + 2**26)
        options = f"method={method!r}, memory={ceiling}"
        setup = NETWORK.format(n=n, method=method)
        taken = peak_bytes(work.format(options=options), setup) / ceiling
        print(f"{name:12} {method:12} n={n:5} {ceiling:14,} bytes allowed, {taken:4.0%} taken")
    n = examples // 4
    for name, work in MADE.items():
        peak = peak_bytes(work, NETWORK.format(n=n, method="auto") + KERNEL)
        print(f"{name:25} n={n:5} {peak / (8 * n**2):.1f} kernels beside the one given")


def run(code: str, setup: str = "") -> None:
    """Peak of a piece of work, after a setup."""
    print(f"{peak_bytes(code, setup):,} bytes")


if __name__ == "__main__":
    app = cyclopts.App(help=__doc__)
    app.command(kernels)
    app.command(run)
    app()
