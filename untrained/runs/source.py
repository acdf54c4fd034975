"""What a Python file means: its syntax tree without docstrings, and what it imports."""

import ast
import hashlib
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

IMPORTERS = ("import_module", "__import__", "run_module")
"Functions that import the module that their first argument names."
LOADERS = ("spec_from_file_location", "SourceFileLoader", "run_path", "exec", "load_module")
"Functions that run code which an import statement does not name."


class Import(NamedTuple):
    """One import, as it is written."""

    level: int
    "Dots in front: 0 for an absolute one."
    module: str
    "Empty in `from . import name`."
    names: tuple[str, ...] = ()
    "What is taken from it, each perhaps a module; `*` for everything."


class Source(NamedTuple):
    """What a file means."""

    digest: str
    "Equal for files that differ in comments, docstrings and formatting alone."
    imports: tuple[Import, ...]
    "Inside functions too."
    computed: bool
    "Whether it also imports or runs what only its execution would tell."
    exported: tuple[str, ...]
    "The literal names of `__all__`."


def read_source(path: Path) -> Source:
    """What the file means; a file that is not Python is its bytes, and imports nothing."""
    state = path.stat()
    return _read(path, state.st_mtime_ns, state.st_size)


@lru_cache(maxsize=4096)
def _read(path: Path, modified: int, size: int) -> Source:
    content = path.read_bytes()
    try:
        tree = ast.parse(content)
    except (SyntaxError, ValueError):  # an extension module, a file of an older Python
        return Source(_hash(content), (), False, ())
    found, computed = [], False
    for node in ast.walk(tree):
        drop_bare(node)
        if isinstance(node, ast.Import):
            found += [Import(0, alias.name) for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            names = tuple(alias.name for alias in node.names)
            found.append(Import(node.level, node.module or "", names))
        elif isinstance(node, ast.Call):
            name = node.func.attr if isinstance(node.func, ast.Attribute) else _name(node.func)
            named = _literal(node) if name in IMPORTERS else None
            found += [named] if named else []
            computed |= name in LOADERS or (name in IMPORTERS and named is None)
    exported = tuple(name for statement in tree.body for name in _exported(statement))
    return Source(_hash(ast.dump(tree).encode()), tuple(found), computed, exported)


def drop_bare(node: ast.AST) -> None:
    """Takes docstrings and other constants that stand for themselves out of a node's blocks."""
    for block in ("body", "orelse", "finalbody"):
        statements = getattr(node, block, None)
        if isinstance(statements, list):
            statements[:] = [s for s in statements if not _bare(s)]


def _bare(statement: ast.AST) -> bool:
    return isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant)


def _name(function: ast.expr) -> str:
    return function.id if isinstance(function, ast.Name) else ""


def _literal(call: ast.Call) -> Import | None:
    """`import_module(".helper", __package__)` as an import; None where its name is computed."""
    first = call.args[0] if call.args else None
    if not (isinstance(first, ast.Constant) and isinstance(first.value, str)):
        return None
    module = first.value.lstrip(".")
    return Import(len(first.value) - len(module), module)


def _exported(statement: ast.stmt) -> Iterator[str]:
    if isinstance(statement, ast.Assign | ast.AugAssign | ast.AnnAssign):
        targets = statement.targets if isinstance(statement, ast.Assign) else [statement.target]
        if statement.value and any(_name(target) == "__all__" for target in targets):
            for node in ast.walk(statement.value):
                if isinstance(node, ast.Constant) and isinstance(node.value, str):
                    yield node.value


def _hash(content: bytes) -> str:
    return hashlib.blake2b(content, digest_size=16).hexdigest()
