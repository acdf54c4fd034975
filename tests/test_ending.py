"""Ctrl-C and SIGTERM: one line, how to resume, the exit code of the signal, no process left."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

SEARCH = ("search", "--searcher=random", "--options.evaluations=200", "--draws=1")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("under_way", [False, True])
def test_a_signal_ends_the_command_in_one_line(
    number: signal.Signals, under_way: bool, tmp_path: Path
) -> None:
    """In its first imports, and with a worker; to the whole group, as a terminal sends it."""
    command = [sys.executable, "-m", "untrained", *SEARCH, "--workers=1", f"--out={tmp_path}"]
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True
    )
    deadline = time.monotonic() + 120
    heard = f"/proc/{process.pid}/status"
    while not (list(tmp_path.glob("store.db*")) if under_way else hears(Path(heard))):
        assert process.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.01)
    os.killpg(process.pid, number)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 128 + number, errors.decode()
    [line] = [text for text in errors.decode().splitlines() if text.startswith("untrained:")]
    assert line.endswith(f"To resume: untrained {' '.join(command[3:])}")
    assert "Traceback" not in errors.decode()
    assert "leaked" not in errors.decode()


def hears(status: Path) -> bool:
    """Whether a process has handlers of its own for both signals: torch is not there by then."""
    caught = next(s for s in status.read_text().splitlines() if s.startswith("SigCgt:"))
    both = 1 << (signal.SIGINT - 1) | 1 << (signal.SIGTERM - 1)
    return int(caught.split()[1], 16) & both == both


@pytest.mark.parametrize("megabytes", [500, 1500, 1900])
def test_too_few_addresses_are_one_line(megabytes: int) -> None:
    """Where torch would be loaded, or not, and end the process with what it likes."""
    limited = f"ulimit -v {megabytes * 1000}; exec {sys.executable} -m untrained --version"
    told = subprocess.run(["bash", "-c", limited], capture_output=True, text=True)
    assert told.returncode == 1
    [line] = told.stderr.splitlines()
    assert line.startswith("untrained: expected at least 2 GB of address space, got")
