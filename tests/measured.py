"""What was read, of a draw or of one call of a score."""

from collections.abc import Callable, Iterable

from untrained.runs.failures import attempt
from untrained.runs.readings import Measurement, checked, reading_of
from untrained.storage import Reading


def readings(of_draw: Iterable[Measurement]) -> tuple[Reading, ...]:
    """The reading of each setup; without seconds, which differ from run to run."""
    return tuple(measurement.reading for measurement in of_draw)


def read(call: Callable[[], object]) -> Reading:
    """What a score gives; an error in computing it, or NaN, becomes a reason, as in a run."""
    return reading_of(*attempt(lambda: checked(call())))
