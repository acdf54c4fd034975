"""A score and a network for commands in processes of their own, which note what is done."""

from collections import Counter
from pathlib import Path

SCORE = """
import os, time
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar
from torch import nn
from untrained import Reading, Score

HERE = Path(__file__).parent
SECONDS, DRIVERS = 0.0, 1

def note(name, line):
    with open(HERE / name, "a") as file:
        file.write(f"{line}\\n")

def wait_for_others():
    (HERE / f"driver-{os.getpid()}").touch()
    while len(list(HERE.glob("driver-*"))) < DRIVERS:
        time.sleep(0.01)

@dataclass(frozen=True)
class Counted(Score):
    higher_is_better: ClassVar = True
    network: ClassVar = "thin"

    def __call__(self, network, probe, generator):
        time.sleep(SECONDS)
        value = network(probe.inputs).double().square().sum().item()
        note("calls", f"{value}{os.environ.get('NODE', '')}")
        wait_for_others()
        return Reading(value)
"""
NETWORK = """
class Noting(nn.Linear):
    def forward(self, x):
        out = super().forward(x)
        if out.requires_grad and len(x) > 2:
            out.register_hook(lambda _: note("steps", len(x)))
        return out

def linear(inputs, classes):
    return nn.Sequential(nn.Flatten(), Noting(64 * inputs, classes))
"""


def made(folder: Path, *, seconds: float = 0.0, drivers: int = 1) -> Path:
    """A folder in which `counted:Counted` is a score, and `counted:linear` a network.

    Args:
        folder: made if it is not there.
        seconds: that a measurement takes.
        drivers: processes that measure; the first measurement of each waits for the others.
    """
    folder.mkdir(exist_ok=True)
    settings = f"\nSECONDS, DRIVERS = {seconds}, {drivers}\n"
    (folder / "counted.py").write_text(SCORE + NETWORK + settings)
    return folder


def calls(folder: Path) -> Counter[str]:
    """How often each value was measured; and each name of a node, after a space."""
    return Counter(_words(folder / "calls"))


def steps(folder: Path) -> int:
    """How many steps the network was trained for."""
    return len(_words(folder / "steps"))


def _words(file: Path) -> list[str]:
    return file.read_text().split() if file.exists() else []
