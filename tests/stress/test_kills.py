"""kill -9 at random moments: the same command ends with the numbers of an unbroken one."""

import os
import random
import signal
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from stress.command import finish, left_alive, numbers, run, start
from stress.tally import Tally

CELL = "|nor_conv_3x3~0|+|none~0|none~1|+|skip_connect~0|nor_conv_1x1~1|none~2|"
TRAINED = ("--train", "--compare", "1", "--training.epochs", "4", "--scale", "small")
COMMANDS: dict[str, tuple[str, ...]] = {
    "search and training, two workers": (
        "search", "--searcher", "random", "--options.evaluations", "12", "--draws", "2",
        "--scores", "condition_number", "parameters", *TRAINED, "--workers", "2",
    ),
    "evolution, no workers": (
        "search", "--searcher", "evolution", "--options.evaluations", "24", "--proposals", "4",
        "--draws", "1", "--scores", "linear_regions", "--workers", "0",
    ),
    "short training, halving": (
        "search", "--searcher", "halving", "--scores", "label_alignment@1", "--draws", "1",
        "--short-training.images", "200", "--score-settings.label_alignment.scale", "small",
        "--workers", "2",
    ),
    "sweep, two workers": (
        "sweep", "s", "--architectures", "random:300", "--draws", "1", "--scores",
        "linear_regions", "parameters", "--score-settings.linear_regions.count", "50",
        "--workers", "2",
    ),
    "tracking": (
        "track", CELL, "--scale", "small", "--training.epochs", "5", "--training.images", "300",
        "--support", "32", "--held-out", "32", "--probe", "32",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", COMMANDS)
def test_killed_at_random_moments(
    name: str,
    tmp_path: Path,
    rng: random.Random,
    share: Callable[[Sequence[Any]], list[Any]],
    tally: Tally,
) -> None:
    command = COMMANDS[name]
    began = time.perf_counter()
    unbroken = run(tmp_path, *command, "--out", "unbroken")
    took = time.perf_counter() - began
    assert unbroken.code == 0, unbroken.err
    truth = numbers(tmp_path / "unbroken")
    kept = 0
    for _ in share(range(25)):
        process = start(tmp_path, *command, "--out", "broken")
        time.sleep(rng.uniform(0, took))
        os.kill(process.pid, signal.SIGKILL)
        finish(process)
        time.sleep(0.2)
        assert left_alive(process) == []
        rows = sum(len(v) for v in numbers(tmp_path / "broken").values() if isinstance(v, list))
        tally.add("kill -9", tried=1, lost=rows < kept)
        assert rows >= kept, "what was stored before the kill is gone"
        kept = rows
    ended = run(tmp_path, *command, "--out", "broken")
    different = numbers(tmp_path / "broken") != truth
    tally.add("kill -9", different=different, tracebacks=ended.traceback)
    assert ended.code == 0, ended.err
    assert not ended.traceback
    assert not different
