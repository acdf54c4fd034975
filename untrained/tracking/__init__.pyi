from .by_class import ClassAlignment as ClassAlignment
from .by_layer import LayerShare as LayerShare
from .config import TrackConfig as TrackConfig
from .config import Tracking as Tracking
from .snapshots import Snapshot as Snapshot
from .track import Track as Track
from .track import load_track as load_track
