"""Conformance: what somebody's score, space or searcher keeps of its contract, and how it behaves.

It needs no tests of anybody's, and no data: small networks of several kinds are shown the bundled
digits.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
