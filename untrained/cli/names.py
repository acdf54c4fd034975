"""Names where there is little room: cut where they are equal, and broken into lines."""

import re
from collections.abc import Iterator, Sequence

PARTS = re.compile(r"[^|+/,:;=.()\s-]*[|+/,:;=.()\s-]*")
"A word of a text form, with the signs after it."
WORDS = re.compile(r"[^_ :.]*(?:[_:.]| [↑↓]| )*")
"A word of a heading, likewise."
LEFT_OUT = "…"


def shortened(texts: Sequence[str]) -> list[str]:
    """The same texts without what all of them have in common, so that they still differ.

    Parts of texts with equally many are compared one by one; of others, from both ends.

    Example:
        >>> shortened(["|conv~0|+|none~0|none~1|", "|conv~0|+|skip~0|none~1|"])
        ['…none~0|…', '…skip~0|…']
        >>> shortened(["nets:wide", "nets:wide.deep"])
        ['…wide', '…wide.deep']
    """
    if len({*texts}) < 2:
        return [*texts]
    parts = [PARTS.findall(text)[:-1] for text in texts]  # the last is always empty
    if len({*map(len, parts)}) == 1:
        same = [len({*column}) == 1 for column in zip(*parts, strict=True)]
        return ["".join(_without(each, same)) for each in parts]
    start, end = _common(parts), _common([each[::-1] for each in parts])
    end = min(end, *(len(each) - start for each in parts))
    ends = [each[start : len(each) - end] for each in parts]
    before, after = LEFT_OUT * (start > 0), LEFT_OUT * (end > 0)
    return [f"{before}{''.join(each)}{after}" for each in ends]


def _without(parts: Sequence[str], same: Sequence[bool]) -> Iterator[str]:
    """The parts that are not the same; what is left out between them is told."""
    for k, part in enumerate(parts):
        if not same[k]:
            yield part
        elif k == 0 or not same[k - 1]:
            yield LEFT_OUT


def _common(parts: Sequence[Sequence[str]]) -> int:
    """How many parts all of them begin with; none of them wholly."""
    columns = [len({*column}) == 1 for column in zip(*parts, strict=False)]
    return min([*columns, False].index(False), min(map(len, parts)) - 1)


def broken(text: str, width: int, parts: re.Pattern[str] = PARTS) -> str:
    r"""The text in lines of at most so many letters, broken between its parts where possible.

    Example:
        >>> broken("|nor_conv_3x3~0|+|none~0|none~1|", 18).split("\n")
        ['|nor_conv_3x3~0|+|', 'none~0|none~1|']
    """
    lines = [""]
    for part in parts.findall(text):
        if lines[-1] and len(lines[-1]) + len(part.rstrip()) > width:
            lines.append("")
        lines[-1] += part
        while len(lines[-1].rstrip()) > width:
            lines[-1:] = [lines[-1][:width], lines[-1][width:]]
    return "\n".join(line.rstrip() for line in lines)
