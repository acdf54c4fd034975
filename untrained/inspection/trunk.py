"""The trunk of a network: the layers that everything passes on its way from images to outputs.

Layers are nodes in the order of the program, and a layer leads to all that use its output. One is
on the trunk if no way leads around it: if there is no step from a layer before it to one after it.
What only a residual branch holds is beside the trunk, and may be zero without harm.
"""

from collections.abc import Sequence

INPUT = -1
"The images, as a source of layers."

Sources = Sequence[frozenset[int]]
"Of each layer, those that it uses."


def on_trunk(sources: Sources, outputs: frozenset[int]) -> list[bool]:
    """Whether each layer is.

    Example:
        >>> one, other = frozenset({INPUT}), frozenset({0})
        >>> on_trunk([one, other, other | {1}], frozenset({2}))  # 2 adds 0 and what 1 makes of it
        [True, False, True]
    """
    last = len(sources)
    steps = [*sources, outputs]
    used = _used(steps) & _reached(steps)
    around = [0] * (last + 1)
    for end in used:
        for start in steps[end]:
            if start == INPUT or start in used:
                around[start + 1] += 1
                around[end] -= 1
    counts, passing = [], 0
    for change in around[:last]:
        passing += change
        counts.append(passing)
    return [k in used and counts[k] == 0 for k in range(last)]


def _used(steps: Sources) -> set[int]:
    """Those that lead to the outputs, which are the last."""
    found = {len(steps) - 1}
    for k in reversed(range(len(steps))):
        if k in found:
            found |= steps[k] - {INPUT}
    return found


def _reached(steps: Sources) -> set[int]:
    """Those that the images lead to."""
    found: set[int] = set()
    for k, starts in enumerate(steps):
        if INPUT in starts or found & starts:
            found.add(k)
    return found
