"""The real command in a folder of its own, and what it left there."""

import hashlib
import json
import os
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

UNTRAINED = str(Path(sys.executable).with_name("untrained"))
TIMES = {"seconds", "times", "run", "digest"}
"What differs from run to run, or is made of what does."


@dataclass(frozen=True)
class Ended:
    """How a command ended."""

    code: int
    "Exit code; minus the signal's number where a signal ended it."
    out: str
    err: str

    @property
    def traceback(self) -> bool:
        """Whether a person saw one, of the command or of its workers."""
        return "Traceback (most recent call last)" in self.out + self.err

    @property
    def message(self) -> str:
        """The line that says why it failed; empty if there is none."""
        lines = [line for line in self.err.splitlines() if line.startswith("untrained: ")]
        return lines[-1] if lines else ""

    @property
    def explained(self) -> bool:
        """Whether a person was told why: in such a line, or in the table of reasons."""
        return self.message != "" or "No architecture could be scored." in self.out


def environment(**more: str) -> dict[str, str]:
    """Wide lines, no colours, and no data of this machine's."""
    kept = {name: value for name, value in os.environ.items() if name != "UNTRAINED_DATA"}
    return {**kept, "COLUMNS": "500", "NO_COLOR": "1", "OMP_NUM_THREADS": "1", **more}


def start(
    folder: Path,
    *arguments: str,
    env: Mapping[str, str] | None = None,
    before: Callable[[], None] | None = None,
) -> subprocess.Popen[bytes]:
    """Starts the command in `folder`, as the leader of a group of processes.

    Args:
        folder: its working folder.
        arguments: after `untrained`.
        env: variables beside those of `environment`.
        before: called in the new process before the command, to narrow its limits.
    """
    return subprocess.Popen(
        [UNTRAINED, *arguments],
        cwd=folder,
        env=environment(**(env or {})),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,
        preexec_fn=before,
    )


def finish(process: subprocess.Popen[bytes], seconds: float = 300) -> Ended:
    """Waits for its end; one that hangs is killed, with its workers, and fails."""
    try:
        out, err = process.communicate(timeout=seconds)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        out, err = process.communicate()
        raise AssertionError(
            f"hung for {seconds} s: {err.decode(errors='replace')[-500:]}"
        ) from None
    return Ended(process.returncode, out.decode(errors="replace"), err.decode(errors="replace"))


def run(folder: Path, *arguments: str, **more: Any) -> Ended:
    """The command from start to end."""
    return finish(start(folder, *arguments, **more))


def left_alive(process: subprocess.Popen[bytes]) -> list[int]:
    """Processes of its group that outlive it."""
    found = []
    for entry in Path("/proc").iterdir():
        try:
            fields = (entry / "stat").read_text().rpartition(")")[2].split()
        except (OSError, NotADirectoryError):
            continue
        if entry.name.isdigit() and int(fields[2]) == process.pid and fields[0] != "Z":
            found.append(int(entry.name))
    return found


def numbers(out: Path) -> dict[str, Any]:
    """Every number that runs and trackings left below `out`, without times."""
    found: dict[str, Any] = {}
    if (out / "store.db").exists():
        found = rows(out / "store.db")
    for path in sorted(out.rglob("snapshots.jsonl")):
        snapshots = [json.loads(line) for line in path.read_text().splitlines()]
        found[str(path.relative_to(out))] = [
            {k: v for k, v in snapshot.items() if k not in TIMES} for snapshot in snapshots
        ]
    for path in sorted(p for p in out.rglob("*") if p.suffix in (".npy", ".safetensors", ".onnx")):
        found[str(path.relative_to(out))] = hashlib.sha256(path.read_bytes()).hexdigest()
    return found


def rows(store: Path) -> dict[str, Any]:
    """The rows of a store's tables of results, without times."""
    with sqlite3.connect(f"file:{store}?mode=ro", uri=True) as connection:
        connection.row_factory = sqlite3.Row
        found = {}
        for table in ("measurements", "trials", "trainings", "epochs", "trained"):
            read = connection.execute(f"SELECT * FROM {table}").fetchall()
            found[table] = sorted(
                repr([(k, v) for k, v in dict(row).items() if k not in TIMES]) for row in read
            )
    connection.close()
    return found
