"""The Python front door: the commands as functions, and what they find as values.

Each function takes the flags of its command as keyword arguments.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
