"""Follows a tutorial as a reader does: writes the files that it shows, gives its commands in turn.

In `docs/tutorials`, a block of Python with a title is a file, whose text may be included from
`examples`; a block `sh` is commands. All others are what commands print, or not for copying.
"""

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[1]
BLOCK = re.compile(
    r"^```(?P<kind>\w+)(?: title=\"(?P<title>.+?)\")?\n(?P<body>.*?)^```$", re.M | re.S
)
INCLUDED = re.compile(r'^--8<-- "(.+)"$', re.M)


class Step(NamedTuple):
    """What a reader does next."""

    file: str
    "To be written; empty for commands."
    text: str
    "Of the file, or the commands."


def steps(page: Path) -> Iterator[Step]:
    """The files and commands of a page, in its order."""
    for block in BLOCK.finditer(page.read_text(encoding="utf-8")):
        text = INCLUDED.sub(
            lambda found: (ROOT / found[1]).read_text().rstrip("\n"), block["body"]
        )
        if block["kind"] == "python" and block["title"]:
            yield Step(block["title"], text)
        elif block["kind"] == "sh":
            yield Step("", text)


def follow(page: Path, programs: Path, folder: Path) -> None:
    """Does all of it in a new folder, with the environment whose programs these are."""
    folder.mkdir(parents=True)
    paths = f"{programs}{os.pathsep}{os.environ['PATH']}"
    kept = {k: v for k, v in os.environ.items() if k not in ("PYTHONPATH", "UNTRAINED_DATA")}
    for step in steps(page):
        if step.file:
            (folder / step.file).write_text(step.text)
            continue
        done = subprocess.run(
            ["bash", "-e", "-c", step.text], cwd=folder, env={**kept, "PATH": paths}, check=False
        )
        if done.returncode:
            sys.exit(f"{page.name}: exit code {done.returncode} of\n{step.text}")


def main() -> None:
    """`python publishing/tutorials.py PAGE FOLDER`, with the programs of this environment."""
    follow(Path(sys.argv[1]), Path(sys.executable).parent, Path(sys.argv[2]))


if __name__ == "__main__":
    main()
