"""Archives: image sets in the files that their authors publish, read as arrays or as shards.

All code that reads images of others' formats is here. Nothing in them is executed or unpacked to
disk, and what a file claims of itself is compared with what it holds before memory is taken.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
