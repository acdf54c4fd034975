"""Nothing is made on the CPU in passing: all runs on a device that refuses the tensors of others.

It runs in a process of its own, since torch keeps a device once it knows of it.
"""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from away_cases import CASES

HERE = Path(__file__).parent


def run(*arguments: str) -> str:
    done = subprocess.run(
        [sys.executable, "-W", "ignore", *arguments], capture_output=True, text=True, cwd=HERE
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout


@pytest.fixture(scope="module")
def wrong() -> dict[str, str]:
    """Name of a case -> what went wrong."""
    return dict(json.loads(run("away_cases.py").splitlines()[-1]))


@pytest.mark.parametrize("name", CASES)
def test_the_device_gives_what_the_cpu_does(wrong: dict[str, str], name: str) -> None:
    assert not wrong[name]


def test_the_device_refuses_what_a_gpu_would() -> None:
    """Else the tests above would say nothing."""
    script = """
import torch
from away import DEVICE, Machine
with Machine():
    x = torch.ones(3, 2).to(DEVICE)
    for attempt in (
        lambda: x + torch.ones(2),
        lambda: x @ torch.eye(2),
        lambda: torch.cat([x, torch.zeros(1, 2)]),
        lambda: torch.where(x > 0, x, torch.zeros(3, 2)),
        lambda: torch.ones(3)[torch.ones(2, dtype=torch.long, device=DEVICE)],
        lambda: torch.randn(2, generator=torch.Generator(), device=DEVICE),
        lambda: torch.nn.functional.linear(x, torch.ones(4, 2)),
        lambda: x.numpy(),
    ):
        try:
            attempt()
            print("let through")
        except (RuntimeError, TypeError):
            print("refused")
    ones = torch.ones(2, device=DEVICE), torch.ones_like(x), x.new_zeros(2), x[torch.tensor([0])]
    print({str(t.device) for t in (*ones, x + 1, x * torch.tensor(2.0))}, x.cpu().device)
"""
    lines = run("-c", script).splitlines()
    assert lines == ["refused"] * 8 + ["{'away:0'} cpu"]
