"""What data there is, and how to get the rest, for people and for machines."""

import json
from collections.abc import Sequence
from dataclasses import asdict
from textwrap import wrap

from untrained.cli.terminal import PRINTED, say
from untrained.data import Holding, data_folder

DIGITS = 12
"Of a checksum, as they are shown; `--json` has all 64."
INDENT = 4
"Spaces before what is said of a table or an image set."


def show_held(holdings: Sequence[Holding], as_json: bool) -> None:
    """Every table and image set that the package knows: what is here, or how to get it."""
    if as_json:
        print(json.dumps([_plain(holding) for holding in holdings]))
        return
    say(data_folder(), label="Data folder:")
    for holding in holdings:
        say(holding.name, style="bold" if holding.where else "")
        for text, style in ((holding.holds, ""), (_state(holding), _style(holding))):
            for line in _lines(text):
                say(line, label=" " * (INDENT - 1), style=style)


def _lines(text: str) -> list[str]:
    """The text no wider than the terminal, a clause a line; whole where it is piped."""
    if not PRINTED.is_terminal:
        return [text]
    width = max(PRINTED.width - INDENT, 20)
    return [
        line
        for clause in text.split("; ")
        for line in wrap(clause, width, break_long_words=False, break_on_hyphens=False)
    ]


def _style(holding: Holding) -> str:
    return "yellow" if holding.reason else "dim"


def _state(holding: Holding) -> str:
    if holding.reason:
        return f"unreadable ({holding.where}): {holding.reason}"
    if not holding.where:
        return f"missing: {holding.obtain}"
    unit = "rows" if holding.name.startswith("tables/") else "images"
    checksum = f", SHA-256 {holding.sha256[:DIGITS]}..." if holding.sha256 else ""
    return f"{holding.rows:,} {unit}, {holding.where}{checksum}"


def _plain(holding: Holding) -> dict[str, object]:
    """A holding for machines."""
    path = None if holding.path is None else str(holding.path)
    return asdict(holding) | {"path": path}
