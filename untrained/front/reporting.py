"""The page of whatever was found, from Python."""

from untrained import pages
from untrained.benching import Leaderboard
from untrained.front.run import Run, open_run
from untrained.front.tracking import Tracked, open_track
from untrained.inspection import Inspection
from untrained.locations import Location, located
from untrained.ranking import Ranking
from untrained.storage import RunFolder
from untrained.tracking.track_one import holds_tracking

Found = Run | Tracked | Leaderboard | Ranking | Inspection


def report(
    found: Found | str | Location, page: str | Location | None = None, *, store: str | None = None
) -> Location:
    """Writes the page of what was found, as one file that needs nothing else; where it is.

    Args:
        found: what `search`, `score`, `train`, `track`, `bench`, `rank` or `inspect` returned; or
            the folder of a run or a tracking, finished or still running, or its URL.
        page: the file to write; by default in the folder of what was found.
        store: of a folder, where the run's numbers are, if it was given a store.

    Raises:
        ValueError: no such run, or no page where there is no folder.
        OSError: the page cannot be written.
    """
    where = located(page) if isinstance(page, str) else page
    if isinstance(found, Leaderboard):
        return pages.report_board(found, where)
    if isinstance(found, Ranking):
        return pages.report_ranking(found, where)
    if isinstance(found, Inspection):
        if where is None:
            raise ValueError("page: expected a file for an inspection, got None")
        return found.page(where)
    if not isinstance(found, Run | Tracked):
        found = _opened(located(str(found)), store)
    return found.report(where)


def _opened(folder: Location, store: str | None) -> Run | Tracked:
    if holds_tracking(RunFolder(folder.parent, folder.name, store)):
        return open_track(folder)
    return open_run(folder, store)
