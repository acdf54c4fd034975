from .adding import add_images as add_images
from .dataset import Images as Images
from .dataset import Labelled as Labelled
from .inventory import known_images as known_images
from .probe import Probe as Probe
from .probe import ProbeSpec as ProbeSpec
from .probe import draw_probe as draw_probe
from .sources import load_images as load_images
