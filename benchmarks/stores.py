"""Measurements that a store takes and gives in a second.

    python benchmarks/stores.py [postgresql+psycopg://me@host/runs ...]

A temporary file of SQLite, and the stores that are named, which should be empty. A driver looks
each measurement up, claims it if nobody has it, and keeps it; so many at once, of which 8 are a
usual batch, and 200 the most.
"""

import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any
from uuid import uuid4

import cyclopts
from rich.console import Console
from rich.table import Table

from untrained.outside import without_password
from untrained.storage.address import Address, address_of
from untrained.storage.store import Store

app = cyclopts.App(help=__doc__)


@app.default
def stores(*urls: str, rows: int = 4000, repeats: int = 5) -> None:
    """Rows a second of wall time and of the driver's processor, the best of several.

    Parameters
    ----------
    urls
        As of `--store`.
    rows
        In each repeat.
    repeats
        Of each figure.
    """
    table = Table("store", "at once", "claim", "keep", "look up", title="rows/s (of processor)")
    with tempfile.TemporaryDirectory() as folder:
        for address in (Path(folder, "store.db"), *(address_of(url, Path()) for url in urls)):
            for count in (8, 200):
                found = [_rates(address, count, rows) for _ in range(repeats)]
                cells = (
                    tuple(map(max, zip(*step, strict=True))) for step in zip(*found, strict=True)
                )
                shown = (f"{wall:,.0f} ({processor:,.0f})" for wall, processor in cells)
                name = "SQLite" if isinstance(address, Path) else without_password(address)
                table.add_row(name, str(count), *shown)
    Console().print(table)


def _best(rates: Sequence[tuple[float, float]]) -> str:
    wall, processor = map(max, zip(*rates, strict=True))
    return f"{wall:,.0f} ({processor:,.0f})"


def _rates(address: Address, count: int, rows: int) -> list[tuple[float, float]]:
    """Rows a second of claiming, keeping and looking up, of wall and of processor time."""
    keys = [uuid4().hex[:16] for _ in range(rows)]
    parts = [keys[i : i + count] for i in range(0, rows, count)]
    with Store.open(address) as store:
        store.known(keys[:1])
        return [
            _rate(lambda part: store.claim([[key] for key in part], lambda _: False), parts, rows),
            _rate(lambda part: store.add_measurements([*map(_row, part)]), parts, rows),
            _rate(store.known, parts, rows),
        ]


def _rate(
    call: Callable[[list[str]], object], parts: list[list[str]], rows: int
) -> tuple[float, float]:
    began, used = time.perf_counter(), time.process_time()
    for part in parts:
        call(part)
    return rows / (time.perf_counter() - began), rows / (time.process_time() - used)


def _row(key: str) -> dict[str, Any]:
    """A measurement with a question of the usual length."""
    return {
        "key": key,
        "run": "benchmark",
        "question": {"architecture": "|nor_conv_3x3~0|" * 6, "setup": {"probe": "x" * 300}},
        "score": "naswot",
        "value": 1.5,
        "reason": "",
        "bound_kind": None,
        "bound_amount": None,
        "seconds": 0.1,
    }


if __name__ == "__main__":
    app()
