"""Judge neural networks before, or after very little, training, and find good ones by it.

The command is `untrained`; the rooms are `spaces`, `images`, `tables`, `kernels`, `scores`,
`training`, `search`, `runs` and `report`. What a theorist reaches for first is here.
"""

from importlib import import_module

TYPE_CHECKING = False  # as typing has it, whose import takes longer than Python's start
if TYPE_CHECKING:
    from untrained.kernels import (
        NNGP,
        Kernel,
        Regions,
        Regression,
        Spectrum,
        count_regions,
        draw_weights,
        features,
        nngp,
        ntk,
        ntk_contributions,
        ntk_operator,
        regression,
        spectrum,
    )

__all__ = [
    "NNGP",
    "Kernel",
    "Regions",
    "Regression",
    "Spectrum",
    "count_regions",
    "draw_weights",
    "features",
    "nngp",
    "ntk",
    "ntk_contributions",
    "ntk_operator",
    "regression",
    "spectrum",
]


def __getattr__(name: str) -> object:
    """Imports torch when something is asked for: the command must hear Ctrl-C before that."""
    if name not in __all__:
        raise AttributeError(f"module 'untrained' has no attribute {name!r}")
    return getattr(import_module("untrained.kernels"), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
