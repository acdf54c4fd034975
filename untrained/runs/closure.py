"""The import closure of a plug-in: every file of the user's that decides what it does.

Followed are import statements wherever they stand, imports of a literal name, and parent
packages. A module that imports by a computed name counts with every module in its own folder and
with those whose functions, classes or modules it holds. Installed packages count by version, the
standard library not at all.
"""

import importlib.util
import site
import sys
import sysconfig
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache
from importlib import metadata
from pathlib import Path
from types import FunctionType, ModuleType
from typing import NamedTuple

from untrained.runs.source import Import, Source, read_source

OURS = "untrained"


class Located(NamedTuple):
    """A module that is found without being run."""

    name: str
    path: Path | None
    "None for what is built in, and for a package without a file."
    folders: tuple[str, ...] | None
    "Where its submodules lie, if it is a package."


@dataclass
class Closure:
    """What modules reach by their imports."""

    local: dict[str, Path] = field(default_factory=dict)
    "The user's own modules: name -> file."
    installed: dict[str, str] = field(default_factory=dict)
    "Installed packages: name -> version."
    ours: set[str] = field(default_factory=set)
    "Modules of this library, by name."


def closure_of(*modules: str) -> Closure:
    """What these modules, given by name, reach by their imports.

    Example:
        >>> found = closure_of("torch")
        >>> found.local, list(found.installed)
        ({}, ['torch'])
    """
    found = Closure()
    waiting = [near for name in modules for near in _with_parents(name)]
    seen = set()
    while waiting:
        module = waiting.pop()
        if module in seen:
            continue
        seen.add(module)
        waiting += _admit(module, found)
    return found


def _admit(module: Located, found: Closure) -> list[Located]:
    """Notes a module as what it is, and gives what a local one imports."""
    top = module.name.partition(".")[0]
    if top == OURS:
        found.ours.add(module.name)
        return []
    if module.path is None:
        return []
    installed = _installed(module.path)
    if not installed and not is_local(module.path):
        return []
    version = _version(top) if installed else ""
    if version:
        found.installed[top] = version
        return []
    found.local[module.name] = module.path
    source = read_source(module.path)
    reached = [near for each in source.imports for near in _imported(each, module)]
    return reached + list(_computed(source, module))


def _imported(written: Import, importer: Located) -> Iterator[Located]:
    """The modules that an import reaches: those that it names, and their parents."""
    name = written.module
    if written.level:
        package = importer.name if importer.folders else importer.name.rpartition(".")[0]
        try:
            name = importlib.util.resolve_name("." * written.level + name, package)
        except ImportError:  # beyond the top: it would fail when run
            return
    yield from _with_parents(name)
    module = find_module(name)
    if module is None or (module.path is not None and _installed(module.path)):
        return
    names = written.names
    if "*" in names and module.path is not None:
        names = read_source(module.path).exported
    for each in names:
        if module.name == OURS or module.folders is not None:
            yield from _with_parents(f"{name}.{each}")


def _computed(source: Source, module: Located) -> Iterator[Located]:
    """What a module may have loaded by names that only its execution tells."""
    if not source.computed or module.path is None:
        return
    package = module.name if module.folders else module.name.rpartition(".")[0]
    for path in sorted(module.path.parent.glob("*.py")):
        if path != module.path and path.stem != "__init__":
            yield Located(f"{package}.{path.stem}" if package else path.stem, path, None)
    for value in list(vars(sys.modules.get(module.name, ModuleType(""))).values()):
        for path in sorted(_files_of(value)):
            if path != module.path and path.is_file():
                yield Located(f"{module.name}:{path.stem}", path, None)


def _files_of(value: object) -> set[Path]:
    """The files that a value of a module's namespace is of."""
    if isinstance(value, ModuleType):
        file = getattr(value, "__file__", None)
        return {Path(file)} if file else set()
    if isinstance(value, type):
        return {path for inside in vars(value).values() for path in _files_of_function(inside)}
    return _files_of_function(value)


def _files_of_function(value: object) -> set[Path]:
    return {Path(value.__code__.co_filename)} if isinstance(value, FunctionType) else set()


def _with_parents(name: str) -> list[Located]:
    """A module and the packages above it, as far as they are found."""
    parts = name.split(".")
    names = [".".join(parts[:k]) for k in range(1, len(parts) + 1)]
    return [found for found in map(find_module, names) if found is not None]


def find_module(name: str) -> Located | None:
    """Where a module lies: where it was loaded from, or else would be; nothing is run."""
    if name in sys.modules:
        module = sys.modules[name]
        spec = getattr(module, "__spec__", None)
        if spec is None:  # a script
            file = getattr(module, "__file__", None)
            return None if module is None else Located(name, Path(file) if file else None, None)
    else:
        parent = name.rpartition(".")[0]
        above = find_module(parent) if parent else None
        if parent and (above is None or above.folders is None):
            return None
        spec = _find(name, list(above.folders or ()) if above else None)
        if spec is None:
            return None
    folders = spec.submodule_search_locations
    path = Path(spec.origin) if spec.origin and spec.has_location else None
    return Located(name, path, None if folders is None else tuple(folders))


def _find(name: str, folders: list[str] | None) -> importlib.machinery.ModuleSpec | None:
    for finder in sys.meta_path:
        try:
            spec = finder.find_spec(name, folders) if hasattr(finder, "find_spec") else None
        except KeyError:  # a folder without a file, in a package that is not loaded
            spec = importlib.machinery.ModuleSpec(name, None, is_package=True)
            inside = (Path(folder, name.rpartition(".")[2]) for folder in folders or ())
            spec.submodule_search_locations = [str(path) for path in inside if path.is_dir()]
        if spec is not None:
            return spec
    return None


def is_local(path: Path) -> bool:
    """Whether a file is the user's: neither of an installed package nor of Python."""
    return not _beneath(path, (*_packages(), *_standard()))


def _installed(path: Path) -> bool:
    return _beneath(path, _packages())


def _beneath(path: Path, folders: tuple[Path, ...]) -> bool:
    resolved = path.resolve()
    return any(resolved.is_relative_to(folder) for folder in folders)


@cache
def _packages() -> tuple[Path, ...]:
    """Folders that packages are installed into."""
    folders = [*site.getsitepackages(), site.getusersitepackages()]
    folders += [sysconfig.get_path(kind) for kind in ("purelib", "platlib")]
    return tuple({Path(folder).resolve() for folder in folders})


@cache
def _standard() -> tuple[Path, ...]:
    return tuple({Path(sysconfig.get_path(k)).resolve() for k in ("stdlib", "platstdlib")})


@cache
def _version(package: str) -> str:
    """Of an installed package; empty where it has none, so that it counts by its files."""
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        names = sorted(set(metadata.packages_distributions().get(package, ())))
        return ", ".join(f"{name} {metadata.version(name)}" for name in names)
