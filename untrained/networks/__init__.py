"""Any network, looked into without leaving a trace: its calls, BatchNorm, features, weights.

Shows what a network computes, which parameters its calls use, and its rows of the Jacobian as
autograd gives them; draws its weights; and leaves it as it was.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
