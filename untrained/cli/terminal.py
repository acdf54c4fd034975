"""Where the command writes, and the one place that makes text from outside safe to write there.

Neither console reads markup: `[bold]` in a string is these six characters. Style is given apart.
"""

import logging
import os
import sys
from io import TextIOWrapper

from rich.console import Console
from rich.text import Text

from untrained.outside import visible

PRINTED = Console(markup=False, emoji=False, highlight=False)
WORKING = Console(stderr=True, markup=False, emoji=False, highlight=False)
"Progress, warnings and errors, on the error stream, so that the other can be piped."
PIPED_WIDTH = 10_000
"Of tables that nobody's terminal limits: a row is a line, to be searched."


def say(
    text: object, *, label: str = "", style: str = "", label_style: str = "", to: Console = PRINTED
) -> None:
    """One line, however long; `text` may be from outside, `label` is ours."""
    before = Text(f"{label} " if label else "", label_style)
    to.print(Text.assemble(before, (visible(str(text)), style)), soft_wrap=True)


def tell(sentence: str, *, style: str = "") -> None:
    """Prose, which a terminal breaks between words."""
    PRINTED.print(Text(visible(sentence), style))


class Told(logging.Handler):
    """Says warnings of the library above the progress."""

    def emit(self, record: logging.LogRecord) -> None:
        say(record.getMessage(), to=WORKING)


TOLD = Told(logging.WARNING)


def prepare() -> None:
    """Has the library's warnings said, and what a terminal's encoding lacks written as escapes.

    A table that is piped has no width, unless COLUMNS says one.
    Again is no different from once.
    """
    logging.getLogger("untrained").addHandler(TOLD)
    if not PRINTED.is_terminal and "COLUMNS" not in os.environ:
        PRINTED.width = PIPED_WIDTH
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
