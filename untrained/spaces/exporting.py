"""What spaces share in building and exporting networks."""

import ast
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from types import ModuleType
from typing import Any

from untrained.spaces.space import Scale


def arguments(scale: Scale, kind: type[Scale]) -> dict[str, Any]:
    """The scale as keyword arguments of a network.

    Raises:
        ValueError: a scale of another space.
    """
    if not isinstance(scale, kind):
        raise ValueError(f"expected {kind.__name__}(...), as in the space's scales; got {scale!r}")
    return asdict(scale)


def source_of(*modules: ModuleType) -> str:
    """The source text of modules that need torch and those before them alone, as one module."""
    files = [module.__file__ for module in modules]
    texts = [Path(file).read_text(encoding="utf-8") for file in files if file is not None]
    return "\n\n".join(map(without_ours, texts))


def without_ours(text: str) -> str:
    """The source text without imports of this library, whose names stand before it.

    Example:
        >>> without_ours("import torch\\nfrom untrained import (\\n    Choose,\\n)\\nx = 1\\n")
        'import torch\\nx = 1\\n'
    """
    lines = text.splitlines(keepends=True)
    for statement in reversed(ast.parse(text).body):
        named = statement.module if isinstance(statement, ast.ImportFrom) else None
        if (named or "").partition(".")[0] == "untrained":
            del lines[statement.lineno - 1 : statement.end_lineno]
    return "".join(lines)


def call(name: str, values: Sequence[object], keywords: Mapping[str, object]) -> str:
    """The source text of a call, an argument a line.

    Example:
        >>> print(call("Net", ((1, 2),), {"inputs": 3}))
        Net(
            (1, 2),
            inputs=3,
        )
    """
    lines = [repr(value) for value in values]
    lines += [f"{keyword}={value!r}" for keyword, value in keywords.items()]
    return f"{name}(\n" + "".join(f"    {line},\n" for line in lines) + ")"
