"""What holds of a score, a space or a searcher, for people and for machines."""

import json
import sys
from dataclasses import asdict

from rich.table import Column, Table
from rich.text import Text

from untrained.cli.terminal import PRINTED, say, working
from untrained.conformance import Finding
from untrained.conformance.checking import each_finding
from untrained.conformance.config import CheckConfig
from untrained.outside import visible

PARTS = {
    "contract": "Contract: a run relies on it",
    "conduct": "Conduct: a run makes up for it, other callers must",
    "behaviour": "Behaviour: to be known, neither good nor bad",
}
STYLES = {True: "green", False: "yellow", None: "dim"}


def show_checked(names: tuple[str, ...], config: CheckConfig, as_json: bool) -> None:
    """Checks each, and shows it; exit code 1 where a part of some contract is broken."""
    found = {}
    config.check(names)
    for name in dict.fromkeys(names):
        found[name] = _watched(name, config)
        if not as_json:
            show_findings(name, found[name])
    if as_json:
        print(json.dumps([plain(name, findings) for name, findings in found.items()]))
    if any(finding.breaks for findings in found.values() for finding in findings):
        sys.exit(1)


def _watched(name: str, config: CheckConfig) -> list[Finding]:
    """The findings; a terminal is told which was the last."""
    found = []
    with working(f"checking {name}") as change:
        for finding in each_finding(name, config.settings_of(name)):
            found.append(finding)
            change(f"checking {name}: {finding.statement}")
    return found


def show_findings(name: str, findings: list[Finding]) -> None:
    """A line for each finding, part by part."""
    broken = sum(finding.breaks for finding in findings)
    verdict = f"breaks its contract in {broken} of its parts" if broken else "keeps its contract"
    say(name, label=f"It {verdict}:", style="bold", label_style="red" if broken else "green")
    for part, title in PARTS.items():
        table = Table.grid(
            Column(width=14), Column(width=36), Column(overflow="fold"), padding=(0, 2)
        )
        for finding in findings:
            if finding.part == part:
                style = "red" if finding.breaks else STYLES[finding.holds]
                reason = visible(finding.reason)
                table.add_row(Text(finding.verdict, style), finding.statement, reason)
        if table.row_count:
            say(title, style="bold")
            PRINTED.print(table)


def plain(name: str, findings: list[Finding]) -> dict[str, object]:
    """For machines."""
    return {
        "name": name,
        "keeps_contract": not any(finding.breaks for finding in findings),
        "findings": [asdict(f) | {"verdict": f.verdict} for f in findings],
    }
