"""Any network, looked into without leaving a trace: its calls, BatchNorm, features, weights.

Shows what a network computes, which parameters its calls use, and its rows of the Jacobian as
autograd gives them; draws its weights; and leaves it as it was.
"""

from untrained.networks.arguments import Selection
from untrained.networks.batchnorm import Policy
from untrained.networks.features import Features, features
from untrained.networks.readout import Output, random_readout
from untrained.networks.weights import draw_weights, ntk_parametrisation

__all__ = [
    "Features",
    "Output",
    "Policy",
    "Selection",
    "draw_weights",
    "features",
    "ntk_parametrisation",
    "random_readout",
]
