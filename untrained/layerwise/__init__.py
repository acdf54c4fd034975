"""Per-example gradients of whole batches, layer by layer, without the n x p Jacobian.

`structured` is the method; `survey` finds where a network uses its parameters, `layers` and
`outer` hold the formulas, `independence` and `influence` check that examples are apart.
"""

from untrained.layerwise.structured import structured
from untrained.layerwise.survey import Survey, survey

__all__ = [
    "Survey",
    "structured",
    "survey",
]
