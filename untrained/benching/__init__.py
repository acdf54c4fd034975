"""Scores against tables: how well each ranks architectures by what real training gave them.

The subpackage can be called as its function `bench`: the two share their name, and which of them
`untrained.bench` is would else depend on what was imported first.
"""

import sys
from types import ModuleType
from typing import Any

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)


class _Bench(ModuleType):
    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self.bench(*args, **kwargs)


sys.modules[__name__].__class__ = _Bench
