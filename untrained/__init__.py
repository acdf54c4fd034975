"""Judge neural networks before, or after very little, training, and find good ones by it.

The command is `untrained`; `docs/design.md` says what each subpackage is for. What a theorist
reaches for first is here.
"""

from importlib import import_module

TYPE_CHECKING = False  # as typing has it, whose import takes longer than Python's start
if TYPE_CHECKING:
    from untrained.analysis import Kernel, Regression, Spectrum, regression, spectrum
    from untrained.kernels import NNGP, nngp, ntk, ntk_contributions, ntk_operator
    from untrained.networks import draw_weights, features
    from untrained.regions import Regions, count_regions

_HOMES = {
    **dict.fromkeys(("Kernel", "Regression", "Spectrum", "regression", "spectrum"), "analysis"),
    **dict.fromkeys(("NNGP", "nngp", "ntk", "ntk_contributions", "ntk_operator"), "kernels"),
    **dict.fromkeys(("draw_weights", "features"), "networks"),
    **dict.fromkeys(("Regions", "count_regions"), "regions"),
}

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
    if name not in _HOMES:
        raise AttributeError(f"module 'untrained' has no attribute {name!r}")
    return getattr(import_module(f"untrained.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
