"""Random architectures of a space, no two of which compute the same."""

import random
from typing import Any

from untrained.spaces import Architecture, Space

IN_VAIN = 3000
"Random architectures that are known already, after which a space is taken for exhausted."


def draw_distinct(
    space: Space[Any], count: int, seed: int, *, name: str, flag: str
) -> list[Architecture]:
    """So many random architectures, in the order of the draw.

    They depend on the space and the seed alone; more of them have the fewer's among them.

    Args:
        space: what is drawn from.
        count: how many.
        seed: of the run.
        name: of the space, for the error.
        flag: what asks for the count, for the error.

    Raises:
        ValueError: the space has no such number.
    """
    rng = random.Random(f"{seed}/sample")
    found: dict[Architecture, Architecture] = {}
    in_vain = 0
    while len(found) < count:
        architecture = space.sample(rng)
        form = space.canonical(architecture)
        in_vain = in_vain + 1 if form in found else 0
        if in_vain == IN_VAIN:
            raise ValueError(
                f"{flag}: expected at most {len(found)}, as the space {name} seems to have "
                f"no more architectures, got {count}"
            )
        found.setdefault(form, architecture)
    return list(found.values())
