"""What a kernel says: spectra, alignments, regression. No network in sight.

A kernel from elsewhere will do as well: any symmetric matrix.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
