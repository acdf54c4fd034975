"""Importers: files as the authors of benchmarks publish them, made into tables of the data folder.

All code that reads tables of others' formats is here; that of images is in `archives`. Nothing in
the files is executed: `untrained.pickles` knows a few types and refuses all else by name.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
