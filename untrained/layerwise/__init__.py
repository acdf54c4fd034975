"""Per-example gradients of whole batches, layer by layer, without the n x p Jacobian.

`structured` is the method; `survey` finds where a network uses its parameters, `layers` and
`outer` hold the formulas, `independence` and `influence` check that examples are apart.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
