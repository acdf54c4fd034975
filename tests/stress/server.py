"""The command in a fork of a process that has imported it: a tenth of a second instead of seconds.

Without workers a fork computes what a process of its own would; what concerns starting up is tried
on the real command.
"""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from stress.command import Ended, environment

HUNG = 1000
"In place of an exit code, where a command took longer than its time."


class Server:
    """Runs commands one at a time."""

    def __init__(self, process: "subprocess.Popen[str]", folder: Path):
        self.process = process
        self.out, self.err = folder / "out", folder / "err"

    def __call__(self, folder: Path, *arguments: str, seconds: float = 60) -> Ended:
        """`untrained` with these arguments in this folder."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        asked = [str(folder), [os.fsencode(a).hex() for a in arguments], str(self.out),
                 str(self.err), seconds]  # fmt: skip
        self.process.stdin.write(json.dumps(asked) + "\n")
        self.process.stdin.flush()
        code = int(self.process.stdout.readline())
        out, err = (path.read_text(errors="replace") for path in (self.out, self.err))
        return Ended(code, out, err)


@contextmanager
def started(folder: Path) -> Iterator[Server]:
    """A server that keeps what commands print in `folder`."""
    process = subprocess.Popen(
        [sys.executable, __file__], text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
        env=environment(PYTHONPATH=os.pathsep.join([str(Path(__file__).parents[1]),
                                                    os.environ.get("PYTHONPATH", "")])),
    )  # fmt: skip
    try:
        yield Server(process, folder)
    finally:
        process.kill()
        process.communicate()


def serve() -> None:
    """Reads a command a line, and answers each with its exit code."""
    import onnxscript  # noqa: F401 what export imports
    import torch.onnx  # noqa: F401

    import untrained.cli  # noqa: F401

    for line in sys.stdin:
        folder, arguments, out, err, seconds = json.loads(line)
        child = os.fork()
        if child == 0:
            become(folder, [os.fsdecode(bytes.fromhex(a)) for a in arguments], out, err)
        print(wait(child, seconds), flush=True)


def become(folder: str, arguments: list[str], out: str, err: str) -> None:
    """The command, in the forked process; it does not return."""
    from untrained.cli import main

    os.chdir(folder)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    for path, number in ((out, 1), (err, 2)):
        os.dup2(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC), number)
    sys.argv = ["untrained", *arguments]
    code = 0
    try:
        main()
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else int(end.code is not None)
    except BaseException:
        import traceback

        traceback.print_exc()
        code = 1
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


def wait(child: int, seconds: float) -> int:
    """Its exit code, or `HUNG`."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        done, status = os.waitpid(child, os.WNOHANG)
        if done:
            return os.waitstatus_to_exitcode(status)
        time.sleep(0.005)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    return HUNG


if __name__ == "__main__":
    serve()
