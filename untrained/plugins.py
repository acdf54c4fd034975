"""Names of things: ours from a dict written by hand, others' as `package.module:name`.

Any subpackage may import this; it imports none.
"""

import importlib
import os
import re
import sys
from collections.abc import Mapping
from difflib import get_close_matches
from types import ModuleType
from typing import Any, TypeVar

T = TypeVar("T")


_PATH = re.compile(r"[A-Za-z_][\w.]*:[A-Za-z_][\w.]*")


def is_path(name: str) -> bool:
    """Whether a text is of the form `package.module:name`, as no architecture is."""
    return _PATH.fullmatch(name) is not None


def find(kind: str, name: str, ours: Mapping[str, T], of: type) -> T:
    """The entry of `ours` called `name`, or the object that `package.module:name` points to.

    Args:
        kind: what is looked for, for the error message: `space`, `score`, `searcher`.
        name: a key of `ours`, or an import path with a colon. Modules in the working folder are
            found too.
        ours: the hand-written registry.
        of: what an imported object must be: a subclass of it where all of ours are classes,
            otherwise an instance.

    Raises:
        ValueError: unknown name (the nearest ones are said), or an import that fails.

    Example:
        >>> find("number", "one", {"one": 1}, int)
        1
    """
    if name in ours:
        return ours[name]
    if ":" in name:
        kinds = [isinstance(one, type) for one in ours.values()]
        return _import(kind, name, of, classes=bool(kinds) and all(kinds))
    near = get_close_matches(name, ours, n=3, cutoff=0.4) or sorted(ours)
    raise ValueError(
        f"unknown {kind} {name!r}: expected {' or '.join(map(repr, near))}, "
        f"or package.module:name for one of your own"
    )


def working_folder_last(path: list[str]) -> list[str]:
    """The same folders to import from; the working folder last, unless PYTHONPATH names it.

    Plug-ins are found there, but no file in it stands in the way of a module of Python's own.
    """
    here = {"", os.getcwd()} - {*os.environ.get("PYTHONPATH", "").split(os.pathsep)} | {""}
    return [folder for folder in path if folder not in here] + (
        [os.getcwd()] if here & {*path} else []
    )


def load_module(kind: str, path: str) -> ModuleType:
    """The module of `package.module:name`; one in the working folder is found too.

    Raises:
        ValueError: it cannot be imported.
    """
    if os.getcwd() not in sys.path:  # a console script does not put the working folder there
        sys.path.append(os.getcwd())
    try:
        return importlib.import_module(path.partition(":")[0])
    except Exception as error:  # somebody else's module may raise anything
        raise _unloadable(kind, path, error) from error


def _import(kind: str, path: str, of: type, *, classes: bool) -> Any:
    module = load_module(kind, path)
    try:
        found = getattr(module, path.partition(":")[2])
    except Exception as error:  # its own __getattr__ may raise anything
        raise _unloadable(kind, path, error) from error
    fits = isinstance(found, type) and issubclass(found, of) if classes else isinstance(found, of)
    if not fits:
        expected = f"a subclass of {of.__name__}" if classes else f"an instance of {of.__name__}"
        raise ValueError(f"{kind} {path!r}: expected {expected}, got {found!r}")
    return found


def _unloadable(kind: str, path: str, error: Exception) -> ValueError:
    return ValueError(
        f"cannot load {kind} {path!r} ({type(error).__name__}: {error}): expected "
        f"package.module:name, with the package installed or in the working folder"
    )
