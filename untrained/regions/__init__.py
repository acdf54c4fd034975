"""Linear regions of piecewise-linear networks: counted by activation patterns, or cut exactly."""

from untrained.regions.counting import Regions, count_regions
from untrained.regions.slices import LineRegions, PlaneRegions, line_regions, plane_regions

__all__ = [
    "LineRegions",
    "PlaneRegions",
    "Regions",
    "count_regions",
    "line_regions",
    "plane_regions",
]
