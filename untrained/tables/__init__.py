"""Benchmark tables: what real training gave architectures of a space, and judging scores by it.

Scores and searches cannot see this subpackage, so no trained accuracy leaks into a training-free
number.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
