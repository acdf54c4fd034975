"""The memory that a piece of work needs, measured in a process of its own (Linux).

python benchmarks/memory.py "x = torch.ones(1000, 1000); y = x @ x" "import torch"
"""

import os
import subprocess
import sys
from pathlib import Path

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


if __name__ == "__main__":
    print(f"{peak_bytes(*sys.argv[1:]):,} bytes")
