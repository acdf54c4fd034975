from .contents import Arrays as Arrays
from .contents import Shard as Shard
from .contents import Shards as Shards
from .formats import FORMATS as FORMATS
from .formats import read_archive as read_archive
from .published import PUBLISHED as PUBLISHED
from .published import ImageSet as ImageSet
