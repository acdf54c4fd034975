"""Scores against tables: how well each ranks architectures by what real training gave them."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
