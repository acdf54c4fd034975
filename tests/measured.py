"""What was read of a draw, without seconds, which differ from run to run."""

from collections.abc import Iterable

from untrained.runs import Reading
from untrained.runs.readings import Measurement


def readings(of_draw: Iterable[Measurement]) -> tuple[Reading, ...]:
    """The reading of each setup."""
    return tuple(measurement.reading for measurement in of_draw)
