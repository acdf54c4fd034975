from .counting import Regions as Regions
from .counting import count_regions as count_regions
from .slices import LineRegions as LineRegions
from .slices import PlaneRegions as PlaneRegions
from .slices import line_regions as line_regions
from .slices import plane_regions as plane_regions
