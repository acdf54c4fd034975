"""Names of things: ours from a dict written by hand, others' as `package.module:name`.

Every room may import this file; it imports none.
"""

import importlib
import os
import sys
from collections.abc import Mapping
from difflib import get_close_matches
from typing import Any, TypeVar

T = TypeVar("T")


def find(kind: str, name: str, ours: Mapping[str, T]) -> T:
    """The entry of `ours` called `name`, or the object that `package.module:name` points to.

    Args:
        kind: what is looked for, for the error message: `space`, `score`, `searcher`.
        name: a key of `ours`, or an import path with a colon. Modules in the working folder are
            found too.
        ours: the hand-written registry.

    Raises:
        ValueError: unknown name (the nearest ones are said), or an import that fails.

    Example:
        >>> find("number", "one", {"one": 1})
        1
    """
    if name in ours:
        return ours[name]
    if ":" in name:
        return _import(kind, name)
    near = get_close_matches(name, ours, n=3, cutoff=0.4) or sorted(ours)
    raise ValueError(
        f"unknown {kind} {name!r}: expected {' or '.join(map(repr, near))}, "
        f"or package.module:name for one of your own"
    )


def _import(kind: str, path: str) -> Any:
    module_name, _, attribute = path.partition(":")
    if os.getcwd() not in sys.path:  # a console script does not put the working folder there
        sys.path.append(os.getcwd())
    try:
        return getattr(importlib.import_module(module_name), attribute)
    except (ImportError, AttributeError) as error:
        raise ValueError(
            f"cannot load {kind} {path!r} ({error}): expected package.module:name, with the "
            f"package installed or in the working folder"
        ) from error
