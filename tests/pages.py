"""What tests read of pages."""

import re
from typing import Any

from untrained.pages.packed import unpacked

FIGURE = re.compile(r'<script type="text/plain" class="figure">(.*?)</script>', re.DOTALL)


def figures_of(page: str) -> list[dict[str, Any]]:
    """The figures of a page, in order."""
    return [unpacked(text) for text in FIGURE.findall(page)]
