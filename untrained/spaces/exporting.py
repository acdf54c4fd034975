"""What spaces share in building and exporting networks."""

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


def source_of(module: ModuleType) -> str:
    """The source text of a module that needs torch alone."""
    assert module.__file__ is not None
    return Path(module.__file__).read_text(encoding="utf-8")


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
