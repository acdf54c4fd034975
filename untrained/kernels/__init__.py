"""Kernels of any network, and what can be read from them.

Notation, used in every docstring and body of this room:

    n, m      examples                      theta     parameters, alpha one of them
    f_k(x)    logit k of K                  s_i       sum_k f_k(x_i)
    J         (n, p) d s_i / d theta        Theta     J J^T, the neural tangent kernel
    lambda    eigenvalues of Theta          kappa     lambda_max / lambda_min
    X, D      a layer's input, and the gradient of sum_i s_i with respect to its output
"""

from untrained.kernels.ntk import ntk
from untrained.kernels.regions import Regions, count_regions
from untrained.kernels.spectrum import Spectrum, spectrum
from untrained.kernels.weights import draw_weights

__all__ = ["Regions", "Spectrum", "count_regions", "draw_weights", "ntk", "spectrum"]
