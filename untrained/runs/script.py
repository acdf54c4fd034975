"""The program that a worker was started from, which it runs if something in it is asked for.

A spawned process of Python's runs the script that started it once more, and that starts another
search unless its calls stand under `if __name__ == "__main__":`. Workers need the script only for
a score, space or searcher that it defines itself, `__main__:Mine`.
"""

import runpy
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from types import ModuleType
from typing import Any, NamedTuple

MAIN, AGAIN = "__main__", "__mp_main__"
"What a program is called, and what it is where a worker runs it, as in Python's own workers."

_running = False
"Whether a script is being run by this worker."


class Program(NamedTuple):
    """A running program: a module by its name (`python -m`), or a file."""

    name: str | None
    file: str | None

    @classmethod
    def of_this_process(cls) -> "Program":
        """Of no name and no file for a notebook, say, which no other process can run."""
        main = sys.modules[MAIN]
        spec = getattr(main, "__spec__", None)
        return cls(None if spec is None else spec.name, getattr(main, "__file__", None))

    def run(self) -> dict[str, Any]:
        """Runs it, and gives what it defines.

        Raises:
            AttributeError: it is not known.
            Exception: whatever it raises.
        """
        global _running
        if self.name is None and self.file is None:
            raise AttributeError(
                "expected it in a file, got one of a notebook or a prompt, which workers cannot "
                "see; put it into a module of its own, or try workers=0"
            )
        _running = True
        try:
            if self.name is not None:
                return runpy.run_module(self.name, run_name=AGAIN, alter_sys=True)
            return runpy.run_path(str(self.file), run_name=AGAIN)
        finally:
            _running = False


class Script(ModuleType):
    """Stands for the main module in a worker: the first look for a name in it runs the program."""

    def __init__(self, program: Program):
        super().__init__(MAIN)
        self._program: Program | None = program

    def __getattr__(self, name: str) -> Any:
        if self._program is None or (name.startswith("__") and name.endswith("__")):
            raise AttributeError(f"module {MAIN!r} has no attribute {name!r}")
        program, self._program = self._program, None
        vars(self).update(program.run())
        sys.modules[AGAIN] = self
        return getattr(self, name)


@contextmanager
def main_left_alone() -> Iterator[None]:
    """Processes that are spawned meanwhile do not run this one's program."""
    main = sys.modules[MAIN]
    sys.modules[MAIN] = ModuleType(MAIN)
    try:
        yield
    finally:
        sys.modules[MAIN] = main


def refuse_in_a_script() -> None:
    """Refuse to start a run while a worker runs the script for what it defines.

    Raises:
        ValueError: that.
    """
    if _running:
        raise ValueError(
            'expected calls under `if __name__ == "__main__":` in a script whose own scores or '
            "spaces are asked for, got one outside, which a worker would repeat; or put the "
            "score or space into a module of its own"
        )
