"""What limits leave of a space, in words."""

from untrained.runs.limit import Limit
from untrained.runs.record import Limited


def limited_in_words(found: Limited) -> str:
    """For people, in a line or two.

    Example:
        >>> found = Limited({"parameters": 1e5, "latency": 0.005}, 200, 3, 1000)
        >>> print(limited_in_words(found))  # doctest: +NORMALIZE_WHITESPACE
        Limits: parameters at most 100,000, latency at most 5 ms. 3 of 200 random architectures of
        the space are within. Those drawn are uniform among them; where none of 1,000 draws was
        within, the last was changed step by step until it was.
    """
    limits = ", ".join(str(Limit(name, most)) for name, most in found.limits.items())
    are = "is" if found.within == 1 else "are"
    return (
        f"Limits: {limits}. {found.within:,} of {found.drawn:,} random architectures of the space "
        f"{are} within. Those drawn are uniform among them; where none of {found.tries:,} draws "
        f"was within, the last was changed step by step until it was."
    )
