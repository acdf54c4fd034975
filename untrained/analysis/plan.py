"""How a kernel was computed: the plan that `kernels.planning` makes, and a kernel keeps."""

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Plan:
    """How a kernel is computed."""

    method: str
    reason: str
    "Why this method."
    predicted: Mapping[str, float]
    "Seconds on one core of the machine that `costs` was fitted on, for each method that applies."
    precision: str
    "Of products; see `contraction`."
    memory: int
    "The ceiling in bytes."
    chunk: int
    "Examples in a pass."
    side: int
    "Examples on each side of a tile of Theta."
    groups: tuple[tuple[str, ...], ...]
    "Parameters that are gathered in the same passes."
    columns: int
    "Of the readout, gathered in the same passes."
    calibration: int
    "Examples in a pass that takes statistics alone."
    together: int
    "Rows of J in one batched product; examples of `vmap`."
    workspace: int
    "Bytes for the rows of one parameter at a time."
