"""The tangent kernel of one network through its training, from Python."""

from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, replace
from typing import Unpack

import plotly.graph_objects as go
import polars as pl

from untrained import pages
from untrained.front.asked import Network, Pictures, named_network, with_images
from untrained.front.flags import configured, takes_flags
from untrained.front.keywords import TrackFlags
from untrained.locations import Location, located
from untrained.notebook import card
from untrained.pages.tracked import ADVANTAGE, COMPARED, QUESTIONS, result, series, verdict
from untrained.pages.tracked_drawings import draw_panel
from untrained.plugins import is_path
from untrained.runs.snapshots import MEASURED, Snapshot
from untrained.runs.track_config import TrackConfig
from untrained.runs.track_one import track_one
from untrained.runs.tracking import Track, load_track
from untrained.storage import RunFolder

PANELS = (*(panel for panels in QUESTIONS.values() for panel in panels), COMPARED, ADVANTAGE)


@dataclass(frozen=True)
class Tracked:
    """How a network's kernel moved while the network was trained."""

    track: Track
    "Snapshots and kernels."
    folder: RunFolder
    "Where they are kept."

    @property
    def snapshots(self) -> pl.DataFrame:
        """One row a snapshot: `epoch`, `seconds`, and each quantity; null where not resolved."""
        rows = [
            {
                "epoch": snapshot.epoch,
                "seconds": snapshot.seconds,
                **{name: getattr(snapshot, name).value for name in MEASURED},
            }
            for snapshot in self.track.snapshots
        ]
        return pl.DataFrame(rows, infer_schema_length=None)

    @property
    def verdict(self) -> str:
        """Whether the kernel moved, and what that was worth."""
        return verdict(result(self.track))

    def plot(self, quantity: str = "alignment") -> go.Figure:
        """A quantity by epoch, with what is shown beside it on the page.

        Args:
            quantity: a column of `snapshots`, such as `alignment` or `correlation_initial`.

        Raises:
            ValueError: one that no figure shows.
        """
        shown = {line.quantity: panel for panel in PANELS for line in panel.lines}
        if quantity not in shown:
            raise ValueError(f"quantity: expected one of {', '.join(shown)}, got {quantity!r}")
        panel = shown[quantity]
        return draw_panel(panel, [series(self.track.snapshots, line) for line in panel.lines])

    def report(self, page: Location | str | None = None) -> Location:
        """Writes the page of the tracking, and returns where it is.

        Args:
            page: the file to write; by default report.html in the folder.
        """
        return pages.report_track(self.folder, located(page) if isinstance(page, str) else page)

    def _repr_html_(self) -> str:
        return card("Tangent kernel in training", [self.verdict, str(self.folder.path)],
                    self.snapshots)  # fmt: skip


@takes_flags(TrackConfig, "images", "network")
def track(
    network: Network,
    images: Pictures = "digits",
    *,
    config: TrackConfig = TrackConfig(),  # noqa: B008  # a frozen value
    on_snapshot: Callable[[Snapshot], None] | None = None,
    **flags: Unpack[TrackFlags],
) -> Tracked:
    """Follows the tangent kernel of one network through training, as `untrained track`.

    Args:
        network: any nn.Module, with its initial weights, of which a copy is trained; a function
            or class that makes one, or its `package.module:name`; or an architecture of `space`.
        images: as of `search`.
        config: what the flags change.
        on_snapshot: called with each new snapshot.
        flags: as of `TrackConfig`, which says what each means.

    Raises:
        ValueError, OSError: as `search`.

    Example:
        >>> import untrained
        >>> from torch import nn
        >>> network = nn.Sequential(nn.Flatten(), nn.Linear(64, 10))
        >>> found = untrained.track(network, support=0, training={"epochs": 1})
        >>> found.snapshots["change_initial"].to_list()  # of a linear network, it cannot move
        [0.0, 0.0]
    """
    asked = configured(config, flags)
    with ExitStack() as stack:
        asked = with_images(asked, images, stack)
        text = named_network(network, stack)
        if is_path(text):
            folder, found = track_one(replace(asked, network=text), None, on_snapshot)
        else:
            folder, found = track_one(asked, text, on_snapshot)
    return Tracked(found, folder)


def open_track(folder: str | Location) -> Tracked:
    """A tracking that is there, finished or still running.

    Args:
        folder: the tracking's, as `untrained track` printed it; or its URL.

    Raises:
        ValueError: what is there cannot be read.
        OSError: no such tracking.
    """
    where = located(str(folder))
    return Tracked(load_track(where), RunFolder(where.parent, where.name))
