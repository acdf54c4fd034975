"""Judge neural networks before, or after very little, training, and find good ones by it.

The command is `untrained`; `docs/design.md` says what each subpackage is for. What a theorist
reaches for first is here.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
