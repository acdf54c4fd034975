"""Where the command writes, and the one place that makes text from outside safe to write there.

Neither console reads markup: `[bold]` in a string is these six characters. Style is given apart.
"""

import json
import logging
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from io import TextIOWrapper
from pathlib import Path

from rich.console import Console
from rich.text import Text

from untrained.locations import Location
from untrained.outside import visible

PRINTED = Console(markup=False, emoji=False, highlight=False)
WORKING = Console(stderr=True, markup=False, emoji=False, highlight=False)
"Progress, warnings and errors, on the error stream, so that the other can be piped."
PIPED_WIDTH = 10_000
"Of tables that nobody's terminal limits: a row is a line, to be searched."
PROGRESS = "untrained.progress"
"The logger of progress, which is said where there are no bars."


def say(
    text: object, *, label: str = "", style: str = "", label_style: str = "", to: Console = PRINTED
) -> None:
    """One line, however long; `text` may be from outside, `label` is ours."""
    before = Text(f"{label} " if label else "", label_style)
    to.print(Text.assemble(before, (visible(str(text)), style)), soft_wrap=True)


def show_file(kind: str, path: Location, as_json: bool) -> None:
    """What a command has written."""
    if as_json:
        print(json.dumps({kind: str(path)}))
    else:
        say(path, label=f"{kind.capitalize()}:", style="bold")


def tell(sentence: str, *, style: str = "") -> None:
    """Prose, which a terminal breaks between words."""
    PRINTED.print(Text(visible(sentence), style))


@contextmanager
def working(words: str) -> Iterator[Callable[[str], None]]:
    """What changes a line about work of unknown length, on a terminal that shows progress."""
    if not shows_bars():
        yield lambda words: None
        return
    with WORKING.status(visible(words)) as status:
        yield lambda words: status.update(visible(words))


class Told(logging.Handler):
    """Says what the library logs above the progress: warnings, and more if it is asked to."""

    least = logging.WARNING
    "Of what is no progress."

    def filter(self, record: logging.LogRecord) -> bool:
        """Progress is not told twice."""
        if record.name == PROGRESS and self.level < logging.ERROR:
            return not shows_bars()
        return record.levelno >= self.least

    def emit(self, record: logging.LogRecord) -> None:
        say(record.getMessage(), to=WORKING)


class Written(logging.Formatter):
    """A line of a log file, whatever the message holds."""

    def formatMessage(self, record: logging.LogRecord) -> str:
        record.message = visible(record.message)
        return super().formatMessage(record)


TOLD = Told()
LIBRARY = logging.getLogger("untrained")
FILES: list[logging.Handler] = []
"Log files that are open: one, or none."


def prepare(*, quiet: bool = False, verbose: bool = False, log_file: Path | None = None) -> None:
    """Decides what is said beside the result, and where it is kept.

    What a terminal's encoding lacks is written as escapes, and a table that is piped has no
    width, unless COLUMNS says one. Again with the same arguments is no different from once.

    Args:
        quiet: neither progress nor warnings; why the command ended is said all the same.
        verbose: what the library logs of its work too.
        log_file: all of that, with times, is appended to it, quiet or not.

    Raises:
        ValueError: both quiet and verbose.
        OSError: the log file cannot be written.
    """
    if quiet and verbose:
        raise ValueError("expected --quiet or --verbose, got both")
    TOLD.setLevel(logging.ERROR if quiet else logging.NOTSET)
    TOLD.least = logging.ERROR if quiet else logging.DEBUG if verbose else logging.WARNING
    LIBRARY.setLevel(logging.DEBUG if verbose else logging.INFO)
    LIBRARY.addHandler(TOLD)
    while FILES:
        LIBRARY.removeHandler(FILES[-1])
        FILES.pop().close()
    if log_file is not None:
        FILES.append(_log(log_file))
        LIBRARY.addHandler(FILES[-1])
    if not PRINTED.is_terminal and "COLUMNS" not in os.environ:
        PRINTED.width = PIPED_WIDTH
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def _log(file: Path) -> logging.Handler:
    try:
        opened = logging.FileHandler(file, encoding="utf-8", errors="backslashreplace")
    except OSError as error:
        raise OSError(f"--log-file: cannot write {file}: {error.strerror or error}") from error
    opened.setFormatter(Written("%(asctime)s %(levelname)s %(name)s: %(message)s"))
    return opened


def shows_bars() -> bool:
    """Whether progress is drawn: on a terminal, unless it is to be quiet."""
    return WORKING.is_terminal and TOLD.level < logging.ERROR


def note(message: str) -> None:
    """Has a log file keep what the command says itself."""
    for file in FILES:
        file.handle(LIBRARY.makeRecord(LIBRARY.name, logging.ERROR, "", 0, message, (), None))
