"""What hinders a network's training, for people and for machines."""

import json
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.table import Column, Table

from untrained.cli.terminal import PRINTED, WORKING, say
from untrained.estimate import Quantity
from untrained.inspection import Finding, Inspection
from untrained.inspection.config import InspectConfig
from untrained.inspection.inspecting import inspect_one, page_of
from untrained.locations import Location
from untrained.outside import visible
from untrained.pages.units import percent, significant

MOST = 14
"Layers that are printed; of more, those that matter."


def show_inspected(model: str, config: InspectConfig, as_json: bool) -> None:
    """Inspects a network, writes its page, and shows what was found."""
    with WORKING.status(f"inspecting {visible(model)}"):
        found = inspect_one(model, config)
    page = page_of(model, config)
    page.parent.mkdir(parents=True, exist_ok=True)
    found.page(page, title=model, command=config.command(model))
    if as_json:
        print(json.dumps(plain(model, found, page)))
        return
    show_summary(found)
    PRINTED.print(table_of(found))
    for finding in found.findings:
        show_finding(finding)
    say(page, label="Page:", style="bold")


def show_summary(found: Inspection) -> None:
    """How much was found, and the numbers of the network as a whole."""
    count = len(found.problems)
    said = {0: "nothing hinders its training", 1: "one thing hinders its training"}
    style = "yellow" if count else "green"
    verdict = said.get(count, f"{count} things hinder its training")
    say(f"{verdict}, on {found.origin}", style=f"bold {style}")
    say(
        f"loss {number(found.loss)} at initialisation, equal chances {found.chance:.3g}; NTK: "
        f"condition number {number(found.condition_number)}, effective rank "
        f"{number(found.effective_rank)}; {share(found.coupling.value)} of an output's "
        f"derivatives by other images"
    )


def table_of(found: Inspection) -> Table:
    """One row a layer; of many, those that findings name, that are extreme, or the ends."""
    table = Table(
        Column("layer", overflow="fold"),
        *(Column(name, justify="right", no_wrap=True) for name in HEADINGS),
        box=SIMPLE_HEAD,
        padding=(0, 1, 0, 0),
    )
    rows = found.layers.to_dicts()
    before = -1
    for k in notable(rows):
        if k > before + 1:
            table.add_row(f"... {k - before - 1} more", style="dim")
        row, before = rows[k], k
        table.add_row(
            visible(row["layer"]), *cells(row), style="yellow" if row["findings"] else ""
        )
    if before + 1 < len(rows):
        table.add_row(f"... {len(rows) - before - 1} more", style="dim")
    return table


HEADINGS = ("RMS", "1 - corr.", "rank", "gradient", "flat", "dead", "NTK")


def cells(row: dict[str, Any]) -> tuple[str, ...]:
    """What is shown of a layer, under each heading."""
    different = None if row["correlation"] is None else max(1 - row["correlation"], 0)
    return (
        *(plainly(value) for value in (row["rms"], different, row["rank"])),
        plainly(row["gradient_norm"]),
        *(share(row[name]) for name in ("flat", "dead", "ntk_share")),
    )


def notable(rows: list[dict[str, Any]]) -> list[int]:
    """Which layers to print: all of a few; of many the ends, the found, and the extremes."""
    if len(rows) <= MOST:
        return [*range(len(rows))]
    chosen = {0, len(rows) - 1} | {k for k, row in enumerate(rows) if row["findings"]}
    for name in ("rms", "gradient_norm", "ntk_share", "flat"):
        known = [k for k, row in enumerate(rows) if row[name] is not None]
        known.sort(key=lambda k: rows[k][name])
        chosen |= {*known[:1], *known[-1:]}
    return sorted(chosen)[: 2 * MOST]


def show_finding(finding: Finding) -> None:
    """What was found, what was measured, when that is said, and what to change."""
    say(finding.title, style="bold yellow" if finding.hinders else "bold")
    lines = Table.grid(Column(width=11), Column(overflow="fold"), padding=(0, 1))
    for word in ("measured", "threshold", "change"):
        lines.add_row(f"  {word}", visible(getattr(finding, word)))
    PRINTED.print(lines)


def number(quantity: Quantity) -> str:
    """Three digits, or that there is none."""
    return "not resolved" if quantity.value is None else significant(quantity.value)


def plainly(value: float | None) -> str:
    """Three digits, or a dash."""
    return "-" if value is None else significant(value)


def share(value: float | None) -> str:
    """A percentage, or a dash."""
    return "-" if value is None else percent(value)


def plain(model: str, found: Inspection, page: Location) -> dict[str, Any]:
    """For machines: a number that is missing is null."""
    quantities = ("loss", "condition_number", "effective_rank", "coupling")
    return {
        "model": model,
        "images": found.origin,
        "hinders": len(found.problems),
        "findings": [vars(finding) for finding in found.findings],
        **{name: getattr(found, name).value for name in quantities},
        "chance": found.chance,
        "reason": {n: getattr(found, n).reason for n in quantities if getattr(found, n).reason},
        "layers": found.layers.to_dicts(),
        "parameters": found.parameters.to_dicts(),
        "page": str(page),
    }
