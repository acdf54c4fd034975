"""Whether the code that a process has loaded is the code on the disk.

A process that lives long, such as a notebook's, goes on with the code that it imported when the
file is edited. What it computes then is not what the file says.
"""

import ast
import sys
from abc import ABCMeta
from collections.abc import Iterator, Mapping
from functools import lru_cache
from importlib.machinery import SourceFileLoader
from pathlib import Path
from types import CodeType, FunctionType, ModuleType
from typing import Any

from untrained.runs.closure import OURS, is_local

PLAIN = (int, float, complex, str, bytes, bool, tuple, type(None))  # those that cannot change


def check_loaded(name: str, path: Path, digest: str) -> None:
    """Refuse a module that was edited after this process loaded it.

    Compared are all functions that it holds, its own and others', and the literal values of its
    names and those of its classes, with what the files say now; and once that was so, the digest.

    Raises:
        ValueError: it differs; it says what to do.
    """
    module = sys.modules.get(name)
    if module is None:
        return
    spec, before = _noted.get(name, (None, digest))
    same = before == digest or spec is not module.__spec__  # another one: loaded anew
    edited = _edited(module, path) if same else path
    if edited is not None:
        raise ValueError(
            f"{edited}: expected the code that {name} runs in this process, got a file that was "
            f"edited since it was loaded; start a new process (in a notebook, restart the kernel)"
        )
    _noted[name] = module.__spec__, digest


_noted: dict[str, tuple[object, str]] = {}  # of each module, what its file said when last checked


def _edited(module: ModuleType, path: Path) -> Path | None:
    """The file that is no longer what the module holds; None if each is."""
    if not _compiled_as_is(module):
        return None
    for function in _functions(module):
        if not _current(function):
            return Path(function.__code__.co_filename)
    return None if _agrees(vars(module), _written(path, *_state(path)).body) else path


def _compiled_as_is(module: ModuleType) -> bool:
    """Whether its code is that of its file, and not that of an import hook."""
    return type(getattr(getattr(module, "__spec__", None), "loader", None)) is SourceFileLoader


def _functions(module: ModuleType) -> Iterator[FunctionType]:
    """Functions and methods that the module holds."""
    for value in list(vars(module).values()):
        inside = list(vars(value).values()) if isinstance(value, type) else [value]
        for each in inside:
            if isinstance(each, staticmethod | classmethod):
                each = each.__func__
            each = each.fget if isinstance(each, property) else each
            if isinstance(each, FunctionType):
                yield each


def _current(function: FunctionType) -> bool:
    """Whether a function is one of those in its file, if its file is the user's."""
    code, module = function.__code__, sys.modules.get(function.__module__)
    path = Path(code.co_filename)
    if module is None or not _compiled_as_is(module) or module.__file__ != code.co_filename:
        return True  # made by a decorator, or of a module that is not at hand
    if module.__name__.partition(".")[0] == OURS or not (is_local(path) and path.is_file()):
        return True
    written = _codes(path, *_state(path)).get(code.co_qualname, ())
    return any(_equal(code, other) for other in written)


def _state(path: Path) -> tuple[int, int]:
    state = path.stat()
    return state.st_mtime_ns, state.st_size


@lru_cache(maxsize=1024)
def _written(path: Path, modified: int, size: int) -> ast.Module:
    return ast.parse(path.read_bytes())


@lru_cache(maxsize=1024)
def _codes(path: Path, modified: int, size: int) -> Mapping[str, list[CodeType]]:
    """The code of every function in a file, by qualified name."""
    found: dict[str, list[CodeType]] = {}
    waiting = [compile(path.read_bytes(), str(path), "exec", dont_inherit=True)]
    while waiting:
        code = waiting.pop()
        found.setdefault(code.co_qualname, []).append(code)
        waiting += [constant for constant in code.co_consts if isinstance(constant, CodeType)]
    return found


def _equal(one: CodeType, other: CodeType) -> bool:
    """Whether they do the same, wherever in the file they stand and whatever their docstrings."""
    names = ("co_code", "co_names", "co_varnames", "co_freevars")
    if any(getattr(one, name) != getattr(other, name) for name in names):
        return False
    pairs = list(zip(one.co_consts, other.co_consts, strict=False))
    if pairs and all(isinstance(constant, str) for constant in pairs[0]):
        pairs = pairs[1:]  # the docstring
    return len(one.co_consts) == len(other.co_consts) and all(
        _equal(a, b)
        if isinstance(a, CodeType) and isinstance(b, CodeType)
        else (type(a), a) == (type(b), b)
        for a, b in pairs
    )


def _agrees(namespace: Mapping[str, Any], body: list[ast.stmt]) -> bool:
    """Whether names that are given a literal value once still have it."""
    for statement in body:
        if isinstance(statement, ast.ClassDef):
            kept = namespace.get(statement.name)
            usual = type(kept) in (type, ABCMeta)  # other metaclasses may change what is written
            if usual and not _agrees(vars(kept), statement.body):
                return False
        elif isinstance(statement, ast.Assign | ast.AnnAssign) and statement.value is not None:
            targets = (
                statement.targets if isinstance(statement, ast.Assign) else [statement.target]
            )
            for target in targets:
                if isinstance(target, ast.Name) and not _holds(
                    namespace, target.id, statement.value, body
                ):
                    return False
    return True


def _holds(namespace: Mapping[str, Any], name: str, value: ast.expr, body: list[ast.stmt]) -> bool:
    try:
        literal = ast.literal_eval(value)
    except ValueError:
        return True
    kept = namespace.get(name, literal)
    if type(kept) not in PLAIN or (type(kept), kept) == (type(literal), literal):
        return True
    nodes = [node for statement in body for node in ast.walk(statement)]
    changed = [node for node in nodes if _changes(node, name)]
    return len(changed) > 1 or any(isinstance(node, ast.Attribute) for node in changed)


def _changes(node: ast.AST, name: str) -> bool:
    """Whether it gives the name a value, or says that a function may."""
    if isinstance(node, ast.Global):
        return name in node.names
    stored = isinstance(getattr(node, "ctx", None), ast.Store)
    return stored and name in (getattr(node, "id", None), getattr(node, "attr", None))
