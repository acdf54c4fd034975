"""Networks whose layers are infinitely wide: their kernels, in closed form or nearly so.

Letters are those of `untrained.kernels`; phi is an activation, sigma_w and sigma_b say how weights
and biases are drawn.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
