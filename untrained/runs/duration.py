"""Durations as `--time-budget` has them: `90s`, `15m`, `2h`."""

import math
import re

UNITS = {"s": 1.0, "m": 60.0, "h": 3600.0}
WRITTEN = re.compile(r"([0-9]{1,9}\.?[0-9]{0,9}|\.[0-9]{1,9})([smh])")
LONGEST = 1e7
"Seconds, about four months."


def parse_duration(text: str) -> float:
    """Seconds.

    Raises:
        ValueError: another form, none at all, or more than four months.

    Example:
        >>> parse_duration("90s"), parse_duration("15m"), parse_duration("1.5h")
        (90.0, 900.0, 5400.0)
    """
    found = WRITTEN.fullmatch(text)
    seconds = float(found[1]) * UNITS[found[2]] if found else 0.0
    if not 0 < seconds <= LONGEST:
        raise ValueError(f"time_budget: expected a duration such as 90s, 15m or 2h, got {text!r}")
    return seconds


def written(seconds: float) -> str:
    """The next longer duration that reads well.

    Example:
        >>> [written(seconds) for seconds in (3.2, 47.0, 118.5, 121.0, 900.0, 7201.0, 4e4)]
        ['5s', '50s', '2m', '3m', '15m', '2.5h', '11.5h']
    """
    if seconds <= 120:
        steps, unit = (5, "s") if seconds <= 110 else (60, "s")
    else:
        steps, unit = (60, "m") if seconds <= 7200 else (1800, "h")
    whole = math.ceil(seconds / steps) * steps
    return "2m" if whole == 120 else f"{whole / UNITS[unit]:g}{unit}"
