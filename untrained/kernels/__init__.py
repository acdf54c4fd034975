"""Kernels of any network: the NTK, and the NNGP by Monte Carlo.

Notation, used in every docstring and body of `networks`, `layerwise`, `kernels`, `analysis` and
`regions`:

    n, m      examples                      theta     parameters, alpha one of them, p of them
    f_k(x)    output k of K                 R, g      readout (K, q), g = f R
    J         d g_q(x_i) / d theta          Theta     J J^T, the neural tangent kernel
    s_i       sum_k f_k(x_i)                lambda    eigenvalues, kappa = lambda_max / lambda_min
    A, D      what a layer multiplies its weight (o x a) by, and the gradient of its output, at
              each of t positions
    z, K      features before the readout, and their kernel, the NNGP's
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
