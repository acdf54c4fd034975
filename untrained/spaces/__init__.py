"""Search spaces: architectures as values, and the networks they stand for.

A space samples, mutates, enumerates and builds. It knows nothing of images, scores or tables.
"""

from functools import lru_cache
from typing import Any

from untrained.plugins import find
from untrained.spaces.choose import Choose
from untrained.spaces.connectivity import Connectivity, connectivity
from untrained.spaces.darts import DARTS
from untrained.spaces.function_space import FunctionSpace, space_of
from untrained.spaces.graph import CellGraph, Edge
from untrained.spaces.mnas import MNAS
from untrained.spaces.models import Models
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
    Sources,
    Space,
    prunable,
)

__all__ = [
    "MODELS",
    "SPACES",
    "Architecture",
    "CellGraph",
    "CellScale",
    "Choice",
    "Choose",
    "Connectivity",
    "Crowd",
    "Edge",
    "FunctionSpace",
    "NothingKept",
    "PrunableSpace",
    "RestrictedSpace",
    "Scale",
    "Shape",
    "Sources",
    "Space",
    "connectivity",
    "get_space",
    "prunable",
    "restricted",
]

MODELS = Models()
"What is named and not searched; no name in a store is imported by it unless somebody asks."

SPACES: dict[str, Space[Any]] = {
    "nasbench201": NASBench201(),
    "darts": DARTS(),
    "nasbench101": NASBench101(),
    "mnas": MNAS(),
    "natsbench_size": NATSBenchSize(),
}
"Those that are searched; `models` stands beside them."


def get_space(name: str) -> Space[Any]:
    """The space of this name, or the one at `package.module:name`.

    That is a `Space`, or a function of `choose`, `inputs` and `classes`: see `FunctionSpace`.
    """
    found: Any = find("space", name, {**SPACES, Models.name: MODELS}, object)
    if isinstance(found, Space):
        return found
    if isinstance(found, type) or not callable(found):
        raise ValueError(
            f"space {name!r}: expected an instance of Space, or a function "
            f"make(choose, inputs, classes), got {found!r}"
        )
    return _made(found, name)


_made = lru_cache(maxsize=64)(space_of)
