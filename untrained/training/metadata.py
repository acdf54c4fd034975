"""What a program must know to use an exported network, as plain text by name."""

import json
from importlib.metadata import version

from untrained.images.dataset import Images
from untrained.training.loader import readable

NORMALISATION = "(pixels / 255 - mean) / std, channel by channel, of uint8 pixels"


def metadata(images: Images, architecture: str) -> dict[str, str]:
    """Class names, the images that the network takes, and what it is; lists and numbers as JSON.

    Example:
        >>> from untrained.images import load_images
        >>> found = metadata(load_images("digits"), "cell")
        >>> found["classes"], found["channels"], found["size"]
        ('["0", "1", "2", "3", "4", "5", "6", "7", "8", "9"]', '1', '[8, 8]')
    """
    channels, height, width = images.shape
    return {
        "classes": json.dumps(images.classes),
        "channels": json.dumps(channels),
        "size": json.dumps((height, width)),
        "mean": json.dumps(images.mean.tolist()),
        "std": json.dumps(images.std.tolist()),
        "normalisation": NORMALISATION,
        "preprocessing": (
            "the centre in the proportions of size (height, width), resized to it with "
            "antialiasing, then normalised"
        ),
        "architecture": readable(architecture),
        "data": f"{images.name} {images.fingerprint}",
        "library": f"untrained {version('untrained')}",
    }
