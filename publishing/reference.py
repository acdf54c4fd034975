"""Pages of the reference, made from the names that each subpackage offers and from the command.

Nothing is listed by hand, so nothing can be forgotten: `tests/test_docs.py` compares the pages
with every `__all__`, and `make docs` the site's inventory.
"""

import importlib
import pkgutil
import re
from functools import cache
from importlib.util import find_spec
from types import ModuleType

import untrained

ROOT_TEXT = (
    "Each subpackage has a page of its own. These names are imported from `untrained` itself:"
)


@cache
def homes() -> dict[str, ModuleType]:
    """Name -> subpackage, of those that offer names."""
    folders = (m.name for m in pkgutil.iter_modules(untrained.__path__) if m.ispkg)
    found = {name: importlib.import_module(f"untrained.{name}") for name in folders}
    return {name: home for name, home in found.items() if names_of(home) and name != "cli"}


def names_of(home: ModuleType) -> list[str]:
    return sorted(getattr(home, "__all__", ()), key=lambda name: (name.lower(), name))


def entries() -> set[str]:
    """Where each public name is described: `untrained.kernels.NNGP`, also for `untrained.NNGP`."""
    own = {entry_in(home, name) for home in homes().values() for name in names_of(home)}
    return own | set(map(entry_of, names_of(untrained)))


def entry_in(home: ModuleType, name: str) -> str:
    """Of a subpackage's name; in its module where that has the same name: `kernels.ntk.ntk`."""
    address = f"{home.__name__}.{name}"
    return f"{getattr(home, name).__module__}.{name}" if find_spec(address) else address


def entry_of(name: str) -> str:
    """Of a name of `untrained` itself: that in its subpackage, or in a module beside them."""
    module = str(getattr(untrained, name).__module__)
    home = homes().get(module.split(".")[1])
    return entry_in(home, name) if home else f"{module}.{name}"


@cache
def pages() -> dict[str, str]:
    """Address within `docs` -> Markdown."""
    return {
        "reference/index.md": root_page(),
        "reference/command.md": command_page(),
        "reference/scores_by_name.md": scores_page(),
        **{f"reference/{name}.md": subpackage_page(home) for name, home in homes().items()},
    }


def subpackage_page(home: ModuleType) -> str:
    """What the subpackage is for, and each of its names with its docstring."""
    parts = [f"# {home.__name__}", str(home.__doc__)]
    parts += [f"::: {entry_in(home, name)}" for name in names_of(home)]
    return "\n\n".join(parts) + "\n"


def root_page() -> str:
    """What is imported from `untrained` itself, and where each name is described."""
    found = {name: entry_of(name) for name in names_of(untrained)}
    lines = ["# Reference", "", ROOT_TEXT, "", "| name | is |", "|---|---|"]
    lines += [f"| `untrained.{name}` | [`{entry}`][{entry}] |" for name, entry in found.items()]
    beside = [entry for entry in found.values() if entry.split(".")[1] not in homes()]
    return "\n".join(lines) + "".join(f"\n\n::: {entry}" for entry in beside) + "\n"


def scores_page() -> str:
    """Every score by name, with what it says of itself."""
    from untrained.scores import SCORES

    lines = [
        "# Scores by name",
        "",
        "As in `--scores`; [which rank, and where](../scores.md).",
        "",
    ]
    lines += ["| name | better | what it measures |", "|---|---|---|"]
    for name, score in SCORES.items():
        better = "higher" if score.higher_is_better else "lower"
        lines.append(f"| `{name}` | {better} | {score.meaning} |")
    return "\n".join(lines) + "\n"


def command_page() -> str:
    """Every command and flag, from the program that reads them; the site has its own contents."""
    from untrained.cli.app import app

    text = app.generate_docs(output_format="markdown", heading_level=1)
    return re.sub(r"^## Table of Contents\n.*?(?=^\*\*)", "", text, flags=re.M | re.S)
