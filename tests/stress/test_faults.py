"""Narrow machines: full disks, little shared memory, few file handles, little memory.

Each command ends well, or in one line; given room again, it ends with the numbers of an unbroken
one.
"""

import random
import shutil
import subprocess
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from stress.command import UNTRAINED, Ended, environment, numbers, run
from stress.tally import Tally

SEARCH = ("search", "--searcher", "random", "--options.evaluations", "6", "--draws", "1",
          "--scores", "condition_number", "parameters", "--train", "--compare", "1",
          "--training.epochs", "2", "--scale", "small")  # fmt: skip
MAY_MOUNT = subprocess.run(
    ["unshare", "-m", "mount", "-t", "tmpfs", "tmpfs", "/mnt"], capture_output=True
).returncode == 0  # fmt: skip


def narrowed(folder: Path, limit: str, *arguments: str) -> Ended:
    """The command below a line of shell that narrows its world."""
    line = f'{limit} && exec "$0" "$@"'
    done = subprocess.run(
        ["unshare", "-m", "sh", "-c", line, UNTRAINED, *arguments],
        cwd=folder, env=environment(), stdin=subprocess.DEVNULL, capture_output=True, timeout=300,
    )  # fmt: skip
    return Ended(
        done.returncode, done.stdout.decode(errors="replace"), done.stderr.decode(errors="replace")
    )


@pytest.mark.skipif(not MAY_MOUNT, reason="only root may mount")
@pytest.mark.parametrize("workers", ["0", "2"])
def test_full_disks(
    workers: str,
    tmp_path: Path,
    rng: random.Random,
    share: Callable[[Sequence[Any]], list[Any]],
    tally: Tally,
) -> None:
    command = (*SEARCH, "--workers", workers)
    run(tmp_path, *command, "--out", "unbroken")
    truth = numbers(tmp_path / "unbroken")
    kilobytes = sorted(rng.randrange(8, 1200, 4) for _ in range(12))
    for size in share(kilobytes):
        disk, kept = tmp_path / "disk", tmp_path / "kept"
        disk.mkdir(exist_ok=True)
        limit = f"mount -t tmpfs -o size={size}k tmpfs disk"
        # What the small disk holds at the end is copied to where there is room.
        copied = '("$0" "$@"; code=$?; cp -a disk kept; exit $code)'
        done = subprocess.run(
            ["unshare", "-m", "sh", "-c", f"{limit} && {copied}", UNTRAINED, *command,
             "--out", "disk"],
            cwd=tmp_path, env=environment(), stdin=subprocess.DEVNULL, capture_output=True,
            timeout=300,
        )  # fmt: skip
        ended = Ended(done.returncode, done.stdout.decode(), done.stderr.decode())
        again = run(tmp_path, *command, "--out", "kept")
        different = numbers(kept) != truth
        told = ended.code in (0, 1) and (ended.code == 0 or ended.message != "")
        tally.add(
            "full disks",
            tried=1,
            lost=again.code != 0,
            different=different,
            tracebacks=ended.traceback or again.traceback,
        )
        assert told, (size, ended)
        assert not ended.traceback, (size, ended.err)
        assert again.code == 0, (size, again.err)
        assert not different, size
        shutil.rmtree(kept)


LIMITS = {
    "64 MB of shared memory": "mount -t tmpfs -o size=64m tmpfs /dev/shm",
    "no shared memory": "mount -t tmpfs -o size=4k tmpfs /dev/shm",
    "64 file handles": "ulimit -n 64",
    "32 file handles": "ulimit -n 32",
    "16 file handles": "ulimit -n 16",
    "4 GB of addresses": "ulimit -v 4000000",
    "2 GB of addresses": "ulimit -v 2000000",
    "1 GB of addresses": "ulimit -v 1000000",
    "500 MB of addresses": "ulimit -v 500000",
    "files of 100 kB": "ulimit -f 200",
    "files of 4 kB": "ulimit -f 8",
    "a small stack": "ulimit -s 256",
}


@pytest.mark.skipif(not MAY_MOUNT, reason="only root may mount")
@pytest.mark.parametrize("workers", ["0", "2"])
def test_narrow_limits(
    workers: str, tmp_path: Path, share: Callable[[Sequence[Any]], list[Any]], tally: Tally
) -> None:
    command = (*SEARCH, "--workers", workers)
    run(tmp_path, *command, "--out", "unbroken")
    truth = numbers(tmp_path / "unbroken")
    wrong = []
    for name in share([*LIMITS]):
        out = name.replace(" ", "-")
        ended = narrowed(tmp_path, LIMITS[name], *command, "--out", out)
        again = run(tmp_path, *command, "--out", out)
        different = numbers(tmp_path / out) != truth
        told = ended.code == 0 or ended.message != ""
        tally.add("narrow limits", tried=1, lost=again.code != 0, different=different,
                  tracebacks=ended.traceback or again.traceback)  # fmt: skip
        if not told or again.code or different or ended.traceback or again.traceback:
            wrong.append((name, ended.code, ended.err[-500:], again.err[-300:]))
    assert not wrong
