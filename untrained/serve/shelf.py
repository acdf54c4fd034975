"""Pages as they are now, drawn once for all who look at them, and only after a change."""

import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Hashable
from dataclasses import dataclass
from hashlib import blake2b
from typing import NamedTuple

from untrained.serve.library import Library

LOOK_AGAIN = 3.0
"Seconds after which a page is drawn again without a sign of change, as a driver that dies gives."
IDLE, BUSY = 8.0, 3.0
"A page is kept so many times as long as it took to draw: without a sign of change, and with one."
PATIENCE = 10.0
"Seconds for which a page that cannot be read any more is shown as it was."
KEPT = 16
"Pages that are kept, those that were looked at last."


class Page(NamedTuple):
    """A page at a moment."""

    html: str
    status: int = 200


@dataclass(frozen=True)
class Kept:
    """A page, and what it is of."""

    page: Page
    version: str
    "Digest of the page, which it names."
    state: Hashable
    "Of the library, before it was read."
    drawn: float
    "When it was, on the monotonic clock."
    took: float
    "Seconds."

    def holds(self, state: Hashable, now: float) -> bool:
        """Whether it need not be drawn anew, as the library is now in this state."""
        least = BUSY * self.took if state != self.state else max(LOOK_AGAIN, IDLE * self.took)
        return now - self.drawn < least


class Shelf:
    """The pages of a library."""

    def __init__(self, library: Library) -> None:
        self.library = library
        self._kept: OrderedDict[str, Kept] = OrderedDict()
        self._lock = threading.Lock()

    def get(self, name: str, draw: Callable[[], Page]) -> Kept:
        """The page of this name, drawn if anything was written since, or may have been."""
        with self._lock:  # one at a time: Python draws no two faster together
            kept, state, begun = self._kept.pop(name, None), self._state(), time.monotonic()
            if kept is None or not kept.holds(state, begun):
                kept = self._renewed(kept, state, draw(), begun)
            self._kept[name] = kept
            while len(self._kept) > KEPT:
                self._kept.popitem(last=False)
            return kept

    def _state(self) -> Hashable:
        try:
            return self.library.state()
        except (ValueError, OSError):  # which the page will say
            return None

    def _renewed(self, kept: Kept | None, state: Hashable, page: Page, begun: float) -> Kept:
        now = time.monotonic()
        lost = kept is not None and kept.page.status == 200 and page.status == 503
        if kept is not None and lost and now - kept.drawn < PATIENCE:
            return kept
        version = blake2b(page.html.encode(), digest_size=8).hexdigest()
        named = page.html.replace("<html", f'<html data-version="{version}"', 1)
        return Kept(page._replace(html=named), version, state, now, now - begun)
