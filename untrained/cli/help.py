"""How flags are listed: those that most runs need first, all others after them."""

from cyclopts.help import DefaultFormatter, HelpEntry, HelpPanel
from rich.console import Console, ConsoleOptions

FIRST = (
    "--images",
    "--models",
    "--space",
    "--network",
    "--preset",
    "--architectures",
    "--searcher",
    "--scores",
    "--limit",
    "--calibrate",
    "--combine",
    "--dataset",
    "--sample",
    "--population",
    "--train",
    "--time-budget",
    "--training.recipe",
    "--training.epochs",
    "--probe",
    "--draws",
    "--seed",
    "--workers",
    "--out",
)
"In this order; every command has about ten of them."


class MostUsedFirst(DefaultFormatter):
    """The usual tables, flags in two: `Flags` and `More flags`."""

    def __call__(self, console: Console, options: ConsoleOptions, panel: HelpPanel) -> None:
        if panel.format != "parameter" or not any(entry.names for entry in panel.entries):
            super().__call__(console, options, panel)
            return
        first = sorted(filter(_is_first, panel.entries), key=_rank)
        others = [entry for entry in panel.entries if not _is_first(entry)]
        for title, entries in (("Flags", first), ("More flags", others)):
            if entries:
                super().__call__(console, options, panel.copy(title=title, entries=entries))


def _is_first(entry: HelpEntry) -> bool:
    return entry.positional_label is not None or any(name in FIRST for name in entry.names)


def _rank(entry: HelpEntry) -> int:
    if entry.positional_label is not None:
        return -1
    return min(FIRST.index(name) for name in entry.names if name in FIRST)
