"""What limits leave of a space, in words."""

from untrained.runs.limit import Limit
from untrained.runs.record import Limited

CERTAIN = 10
"Architectures within limits that are to be expected among the draws, where one is always drawn."


def limited_in_words(found: Limited) -> str:
    """For people, in a line or two.

    Example:
        >>> found = Limited({"parameters": 1e5, "latency": 0.005}, 200, 1, 1000)
        >>> print(limited_in_words(found))  # doctest: +NORMALIZE_WHITESPACE
        Limits: parameters at most 100,000, latency at most 5 ms. 1 of 200 random architectures of
        the space is within, and those drawn are uniform among such; where none of 1,000 draws was,
        the last was changed step by step until it was.
    """
    limits = ", ".join(str(Limit(name, most)) for name, most in found.limits.items())
    told = (
        f"Limits: {limits}. {found.within:,} of {found.drawn:,} random architectures of the space "
        f"{'is' if found.within == 1 else 'are'} within, and those drawn are uniform among such"
    )
    if found.within * found.tries > CERTAIN * found.drawn:
        return f"{told}."
    return (
        f"{told}; where none of {found.tries:,} draws was, the last was changed step by step "
        f"until it was."
    )
