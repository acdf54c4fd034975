"""What a person sees of a command: its screen at several widths, and what it writes when piped.

    python experiments/terminal_sessions.py --save sessions -- search --train

writes `sessions/60.txt`, `80.txt`, `140.txt` and `piped.txt`: the screen whenever it had stood
still for a while, and at the end; and prints the time to the first output, in all and of the
processor (`untrained.__main__` and what it imports until then). Each begins in an empty folder.
"""

import argparse
import fcntl
import os
import pty
import re
import resource
import select
import struct
import subprocess
import sys
import tempfile
import termios
import time
from dataclasses import dataclass, field
from pathlib import Path

WIDTHS = 60, 80, 140
LINES = 50
EVERY = 2.0
"Seconds from one picture of the screen to the next."
CODES = re.compile(r"\x1b\[([?0-9;]*)([A-Za-z])|(\r)|(\n)|([^\x1b\r\n]+)")


@dataclass
class Screen:
    """A terminal that knows what rich asks of one: up, erase the line, begin it again."""

    width: int
    lines: list[str] = field(default_factory=lambda: [""])
    row: int = 0
    column: int = 0

    def show(self, written: str) -> None:
        """Writes on it."""
        for number, code, back, down, text in CODES.findall(written):
            if text:
                self._put(text)
            elif back:
                self.column = 0
            elif down:
                self._down()
            elif code == "A":
                self.row = max(0, self.row - int(number or 1))
            elif code == "K":
                self.lines[self.row] = ""

    def _down(self) -> None:
        self.row, self.column = self.row + 1, 0
        if self.row == len(self.lines):
            self.lines.append("")

    def _put(self, text: str) -> None:
        while text:
            if self.column == self.width:
                self._down()
            some, text = text[: self.width - self.column], text[self.width - self.column :]
            before = self.lines[self.row].ljust(self.column)
            after = before[self.column + len(some) :]
            self.lines[self.row] = before[: self.column] + some + after
            self.column += len(some)

    def text(self) -> str:
        """Everything on it."""
        return "\n".join(line.rstrip() for line in self.lines).strip("\n")


def on_a_terminal(command: list[str], width: int, folder: Path) -> tuple[str, float]:
    """Pictures of the screen, and seconds to the first output."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", LINES, width, 0, 0))
    environment = {k: v for k, v in os.environ.items() if k not in ("COLUMNS", "LINES")}
    environment |= {"TERM": "xterm-256color"}
    begun = time.perf_counter()
    process = subprocess.Popen(
        command, stdin=theirs, stdout=theirs, stderr=theirs, cwd=folder, env=environment
    )
    os.close(theirs)
    screen, pictures, first, shown = Screen(width), list[str](), 0.0, time.perf_counter()
    while True:
        if not select.select([ours], [], [], 0.1)[0]:
            if process.poll() is not None:
                break
            continue
        try:
            written = os.read(ours, 1 << 16).decode(errors="replace")
        except OSError:  # the other end is closed
            break
        first = first or time.perf_counter() - begun
        screen.show(written)
        if time.perf_counter() > shown + EVERY:
            pictures.append(screen.text())
            shown = time.perf_counter()
    process.wait()
    os.close(ours)
    rule = f"\n{'=' * width}\n"
    return rule.join(dict.fromkeys((*pictures, screen.text()))) + "\n", first


def piped(command: list[str], folder: Path) -> str:
    """Both streams, one after the other."""
    environment = {k: v for k, v in os.environ.items() if k not in ("COLUMNS", "LINES")}
    done = subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, check=False
    )
    streams = f"standard error:\n{done.stderr}\nstandard output:\n{done.stdout}"
    return f"{streams}\nexit code {done.returncode}\n"


def processor_seconds(command: list[str], folder: Path) -> float:
    """Of a command that ends at once, as a child of this process."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run(command, cwd=folder, capture_output=True, check=False)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def main() -> None:
    """Records the sessions."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--save", type=Path, required=True, help="folder of the sessions")
    parser.add_argument("words", nargs="+", help="of the command, without `untrained`")
    asked = parser.parse_args()
    asked.save.mkdir(parents=True, exist_ok=True)
    command = [sys.executable, "-m", "untrained", *asked.words]
    for width in WIDTHS:
        with tempfile.TemporaryDirectory() as folder:
            session, first = on_a_terminal(command, width, Path(folder))
        (asked.save / f"{width}.txt").write_text(session, encoding="utf-8")
        print(f"{width} columns: first output after {first:.2f} s")
    with tempfile.TemporaryDirectory() as folder:
        (asked.save / "piped.txt").write_text(piped(command, Path(folder)), encoding="utf-8")
        least = processor_seconds([*command[:3], "--version"], Path(folder))
    print(f"untrained --version: {least:.2f} s of the processor")


if __name__ == "__main__":
    main()
