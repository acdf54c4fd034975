"""What may be chosen of a kernel by a word; free of torch, so that flags are read without it."""

from typing import Literal

Named = Literal["all", "weights", "weights_below_head"]
"Parameters that a kernel is of."
Policy = Literal["batch", "frozen", "running"]
"Statistics that BatchNorm normalises by."
