"""Kernels of any network, and what can be read from them.

Notation, used in every docstring and body of this room:

    n, m      examples                      theta     parameters, alpha one of them, p of them
    f_k(x)    output k of K                 R, g      readout (K, q), g = f R
    J         d g_q(x_i) / d theta          Theta     J J^T, the neural tangent kernel
    s_i       sum_k f_k(x_i)                lambda    eigenvalues, kappa = lambda_max / lambda_min
    A, D      what a layer multiplies its weight (o x a) by, and the gradient of its output, at
              each of t positions
    z, K      features before the readout, and their kernel, the NNGP's
"""

from untrained.kernels.features import features
from untrained.kernels.nngp import NNGP, nngp
from untrained.kernels.ntk import Kernel, ntk, ntk_contributions, ntk_operator
from untrained.kernels.regions import Regions, count_regions
from untrained.kernels.regression import Regression, regression
from untrained.kernels.spectrum import Spectrum, spectrum
from untrained.kernels.weights import draw_weights

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
