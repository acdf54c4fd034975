"""Runs: propose, build, train a little, score, store; resumed after any interruption."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
