"""Images: where pixels come from, and the batches that scores are shown.

`load_images` turns a name, a `.npz` file or a folder of pictures into `Images`: three disjoint
splits, class names, channel statistics and a fingerprint. `draw_probe` cuts a `Probe`, a
normalised batch, from the training split; every random choice comes from a generator that the
caller passes. The subpackage knows nothing of networks.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
