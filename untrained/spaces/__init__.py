"""Search spaces: architectures as values, and the networks they stand for.

A space samples, mutates, enumerates and builds. It knows nothing of images, scores or tables.
"""

from typing import Any

from untrained.plugins import find
from untrained.spaces.connectivity import Connectivity, connectivity
from untrained.spaces.darts import DARTS
from untrained.spaces.graph import CellGraph, Edge
from untrained.spaces.mnas import MNAS
from untrained.spaces.nasbench101 import NASBench101
from untrained.spaces.nasbench201 import NASBench201
from untrained.spaces.natsbench_size import NATSBenchSize
from untrained.spaces.restricted import NothingKept, RestrictedSpace, restricted
from untrained.spaces.space import (
    Architecture,
    CellScale,
    Choice,
    Crowd,
    PrunableSpace,
    Scale,
    Shape,
    Space,
    prunable,
)

__all__ = [
    "SPACES",
    "Architecture",
    "CellGraph",
    "CellScale",
    "Choice",
    "Connectivity",
    "Crowd",
    "Edge",
    "NothingKept",
    "PrunableSpace",
    "RestrictedSpace",
    "Scale",
    "Shape",
    "Space",
    "connectivity",
    "get_space",
    "prunable",
    "restricted",
]

SPACES: dict[str, Space[Any]] = {
    "nasbench201": NASBench201(),
    "darts": DARTS(),
    "nasbench101": NASBench101(),
    "mnas": MNAS(),
    "natsbench_size": NATSBenchSize(),
}


def get_space(name: str) -> Space[Any]:
    """The space of this name, or the one at `package.module:name`."""
    return find("space", name, SPACES, Space)
