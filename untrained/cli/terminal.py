"""Where the command writes, and the one place that makes text from outside safe to write there.

Neither console reads markup: `[bold]` in a string is these six characters. Style is given apart.
"""

import logging

from rich.console import Console
from rich.text import Text

from untrained.outside import visible

PRINTED = Console(markup=False, emoji=False, highlight=False)
WORKING = Console(stderr=True, markup=False, emoji=False, highlight=False)
"Progress, warnings and errors, on the error stream, so that the other can be piped."


def say(
    text: object, *, label: str = "", style: str = "", label_style: str = "", to: Console = PRINTED
) -> None:
    """One line, however long; `text` may be from outside, `label` is ours."""
    before = Text(f"{label} " if label else "", label_style)
    to.print(Text.assemble(before, (visible(str(text)), style)), soft_wrap=True)


class Told(logging.Handler):
    """Says warnings of the library above the progress."""

    def emit(self, record: logging.LogRecord) -> None:
        say(record.getMessage(), to=WORKING)


TOLD = Told(logging.WARNING)


def tell_warnings() -> None:
    """Has the library's warnings said by the command; again is no different from once."""
    logging.getLogger("untrained").addHandler(TOLD)
