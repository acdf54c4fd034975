"""What spaces share in building and exporting networks."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from types import ModuleType
from typing import Any

from untrained.spaces.space import Scale

OF_OURS = re.compile(r"^from untrained\..* import [\w, ]+\n", re.MULTILINE)
"Imports that need the library."


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
    return "\n\n".join(OF_OURS.sub("", text) for text in texts)


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
