"""Judge neural networks before, or after very little, training, and find good ones by it.

The command is `untrained`; the rooms are `spaces`, `images`, `tables`, `kernels`, `scores`,
`training`, `search`, `runs` and `report`. What a theorist reaches for first is here.
"""

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
