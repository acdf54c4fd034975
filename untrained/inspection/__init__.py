"""Trainability: what hinders the training of any network, layer by layer, and what to change."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
