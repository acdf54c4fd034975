"""What data there is, and how to get the rest, for people and for machines."""

import json
from collections.abc import Sequence
from dataclasses import asdict

from untrained.cli.terminal import say
from untrained.data import Holding, data_folder

DIGITS = 12
"Of a checksum, as they are shown; `--json` has all 64."


def show_held(holdings: Sequence[Holding], as_json: bool) -> None:
    """Every table and image set that the package knows: what is here, or how to get it."""
    if as_json:
        print(json.dumps([_plain(holding) for holding in holdings]))
        return
    say(data_folder(), label="Data folder:")
    for holding in holdings:
        say(f"{holding.name}: {holding.holds}", style="bold" if holding.where else "")
        say(_state(holding), label="   ", style="yellow" if holding.reason else "dim")


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
