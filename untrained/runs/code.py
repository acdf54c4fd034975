"""The code that a number depends on, as one digest: part of the key of everything that is kept.

Our own subpackages and the user's modules count by their syntax trees without docstrings, so that
a comment, a docstring or the formatting invalidates nothing; installed packages count by version.
Data that code reads beside itself does not count.
"""

from collections.abc import Collection, Iterable
from functools import cache
from pathlib import Path
from typing import Any

import torch

import untrained
from untrained.data import sha256
from untrained.runs.closure import OURS, closure_of
from untrained.runs.identity import digest
from untrained.runs.loaded import check_loaded
from untrained.runs.source import read_source
from untrained.scores import SCORES
from untrained.spaces import Space

PACKAGE = Path(untrained.__file__).parent
SHARED = tuple(
    f"untrained.runs.{name}"
    for name in (
        "tasks",
        "readings",
        "references",
        "keeping",
        "surroundings",
        "streams",
        "sums",
        "short_training",
    )
)
"Modules of `runs` that decide numbers."
OFFERED = frozenset({"kernels", "regions", "scores", "searchers"})
"Subpackages whose names the root offers, and that may decide numbers."


def code_version(subpackages: Iterable[str], *modules: str) -> str:
    """A digest of torch's version and of the source of our subpackages and of modules.

    Args:
        subpackages: ours, each in full.
        modules: by name: of ours, each that file alone; of others, with all that they import,
            directly or through one another.

    Raises:
        ValueError: a module that was edited after this process loaded it.
    """
    ours = {name for name in (*SHARED, *modules) if name.partition(".")[0] == OURS}
    reached = closure_of(*(set(modules) - ours))
    whole = frozenset({*subpackages, *_subpackages(reached.ours)})
    files = {*_files(whole), *map(_file, ours)}
    local = {name: read_source(path).digest for name, path in reached.local.items()}
    for name, path in reached.local.items():
        check_loaded(name, path, local[name])
    return digest(
        [
            torch.__version__,
            sorted((_inner(path), read_source(path).digest) for path in files),
            sorted(local.items()),
            sorted(reached.installed.items()),
        ]
    )


def version_of(*parts: object, training: bool = False) -> str:
    """The code that a measurement depends on, that of a space, score or searcher included.

    Args:
        parts: objects, which stand for the module of their class; and the names by which they
            were asked for, of which `package.module:name` stands for that module, unless it is a
            score's.
        training: whether networks are trained first.
    """
    modules = modules_of(*parts)
    ours = {name for name in modules if name.partition(".")[0] == OURS}
    subpackages = {"spaces", "images", "kernels", "scores", *_subpackages(ours)}
    return code_version({*subpackages, *(["training"] if training else [])}, *(modules - ours))


def made_by(space: Space[Any], architecture: str) -> dict[str, Any]:
    """What makes an architecture's network beside its space, as a part of questions about it.

    Empty for spaces that say of none.
    """
    modules, files = space.sources(space.parse(architecture))
    if not modules and not files:
        return {}
    contents = [sha256(file) for file in files]
    return {"made_by": [code_version((), *modules), *contents]}


def modules_of(*parts: object) -> set[str]:
    """The modules that objects and names stand for, as in `version_of`."""
    texts = (part for part in parts if isinstance(part, str) and ":" in part)
    named = {part.partition(":")[0] for part in texts if part.partition("@")[0] not in SCORES}
    return named | {type(part).__module__ for part in parts if not isinstance(part, str)}


def _subpackages(modules: Collection[str]) -> set[str]:
    """Of modules of ours; what the root offers is that of `OFFERED` and of what these import."""
    inside = {module.split(".")[1] for module in modules if _inside(module)}
    return inside if all(map(_inside, modules)) else inside | OFFERED


@cache
def _files(subpackages: frozenset[str]) -> tuple[Path, ...]:
    """The files of these subpackages, and of those that they import."""
    waiting, found = set(subpackages), dict[str, list[Path]]()
    while waiting:
        name = waiting.pop()
        found[name] = sorted((PACKAGE / name).glob("*.py"))
        imports = [each.module for path in found[name] for each in read_source(path).imports]
        waiting |= _subpackages({each for each in imports if _inside(each)}) - set(found)
    return tuple(path for files in found.values() for path in files)


@cache
def _inner(path: Path) -> str:
    """Where a file lies in this package."""
    return str(path.relative_to(PACKAGE))


@cache
def _inside(module: str) -> bool:
    """Whether a module is of one of our subpackages."""
    parts = module.split(".")
    return parts[0] == OURS and len(parts) > 1 and (PACKAGE / parts[1]).is_dir()


def _file(module: str) -> Path:
    return PACKAGE.joinpath(*module.split(".")[1:]).with_suffix(".py")
