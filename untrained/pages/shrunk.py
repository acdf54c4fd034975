"""What a cheap score discarded before a search, in words."""

from untrained.pages.units import percent, readable, significant
from untrained.runs.record import Shrunk


def discarded_in_words(found: Shrunk) -> str:
    """For people, in a sentence.

    Example:
        >>> values = {"a": 1.0, "b": 2.0, "c": 3.0, "d": None}
        >>> print(discarded_in_words(Shrunk("macs", 0.5, 2.0, True, values)))
        Macs discarded 2 of 4 random architectures of the space, 1 of them as it failed: the \
search was among those with at least 2, about 50% of the space.
    """
    drawn, gone = len(found.values), len(found.discarded)
    failed = sum(value is None for value in found.values.values())
    why = f", {failed} of them as it failed" if failed else ""
    bound = "at least" if found.higher_is_better else "at most"
    return (
        f"{readable(found.score)} discarded {gone:,} of {drawn:,} random architectures of the "
        f"space{why}: the search was among those with {bound} {significant(found.threshold)}, "
        f"about {percent((drawn - gone) / drawn, 0)} of the space."
    )
