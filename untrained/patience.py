"""Waiting for what is away: a server, an object store.

Any subpackage may import this; it imports none.
"""

import logging
import time

logger = logging.getLogger(__name__)

PATIENCE_SECONDS = 600.0
"For how long something that is away is tried again."
FIRST_PAUSE, LONGEST_PAUSE = 0.1, 10.0
"Seconds from one attempt to the next, twice as long each time."


class Patience:
    """With one thing that is tried until it succeeds."""

    def __init__(self) -> None:
        self.pause = FIRST_PAUSE
        self.until: float | None = None

    def wait(self, away: str) -> bool:
        """Until it is to be tried again; not at all, and False, once that was long enough.

        Args:
            away: what is away and why, which is said the first time.
        """
        now = time.monotonic()
        if self.until is None:
            self.until = now + PATIENCE_SECONDS
            minutes = PATIENCE_SECONDS // 60
            logger.warning("%s: tried again for %d minutes; nothing is lost", away, minutes)
        if now > self.until:
            return False
        time.sleep(self.pause)
        self.pause = min(2 * self.pause, LONGEST_PAUSE)
        return True
