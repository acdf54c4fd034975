"""Ctrl-C and SIGTERM at random moments: one line, the right exit code, nothing left running."""

import os
import random
import re
import signal
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from stress.command import finish, left_alive, numbers, run, start
from stress.tally import Tally

SEARCH = ("search", "--searcher", "random", "--options.evaluations", "6", "--draws", "1",
          "--scores", "condition_number", "l2_norm", "--train", "--compare", "1",
          "--training.epochs", "2", "--scale", "small")  # fmt: skip


def listens(process: int) -> bool:
    """Whether the command has begun: what Python itself does before, no program can change."""
    caught = re.search(r"SigCgt:\s*(\w+)", Path(f"/proc/{process}/status").read_text())
    return caught is not None and bool(int(caught[1], 16) >> (signal.SIGTERM - 1) & 1)


@pytest.mark.parametrize("whom", ["driver", "group"])
@pytest.mark.parametrize("workers", ["0", "2"])
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=["SIGINT", "SIGTERM"])
def test_signals(
    number: signal.Signals,
    workers: str,
    whom: str,
    tmp_path: Path,
    rng: random.Random,
    share: Callable[[Sequence[Any]], list[Any]],
    tally: Tally,
) -> None:
    """A terminal signals the whole group; `kill` and service managers the driver alone."""
    command = (*SEARCH, "--workers", workers, "--quiet")
    began = time.perf_counter()
    unbroken = run(tmp_path, *command, "--out", "unbroken")
    took = time.perf_counter() - began
    assert unbroken.code == 0, unbroken.err
    wrong = []
    moments = share(
        [rng.uniform(0, 2) for _ in range(10)] + [rng.uniform(2, took) for _ in range(15)]
    )
    for moment in moments:
        process = start(tmp_path, *command, "--out", "broken")
        while process.poll() is None and not listens(process.pid):
            time.sleep(0.001)
        time.sleep(moment)
        if process.poll() is None:
            os.killpg(process.pid, number) if whom == "group" else process.send_signal(number)
        ended = finish(process, 60)
        time.sleep(0.2)
        alive = left_alive(process)
        right = ended.code in (0, 128 + number)
        told = ended.code != 128 + number or bool(re.search(r"[Rr]esume|same command", ended.err))
        lines = [line for line in ended.err.splitlines() if line.strip()]
        noisy = ended.code != 0 and (len(lines) > 1 or "leaked" in ended.err)
        tally.add("signals", tried=1, lost=bool(alive) or not right, tracebacks=ended.traceback)
        if alive or not right or not told or noisy or ended.traceback:
            wrong.append((round(moment, 2), ended.code, alive, ended.err[-600:]))
    assert not wrong
    ended = run(tmp_path, *command, "--out", "broken")
    different = numbers(tmp_path / "broken") != numbers(tmp_path / "unbroken")
    tally.add("signals", different=different)
    assert ended.code == 0, ended.err
    assert not different
