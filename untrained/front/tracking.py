"""The tangent kernel of one network through its training, from Python."""

from collections.abc import Callable, Collection
from contextlib import ExitStack
from dataclasses import dataclass, fields, replace
from typing import Any, Unpack

import plotly.graph_objects as go
import polars as pl
import torch
from torch import nn

from untrained import pages
from untrained.estimate import Quantity
from untrained.front.asked import Network, Pictures, named_network, with_images
from untrained.front.flags import configured, takes_flags
from untrained.front.keywords import TrackFlags, TrackingFlags
from untrained.images import Images, load_images
from untrained.locations import Location, located
from untrained.notebook import card
from untrained.pages.tracked import ADVANTAGE, COMPARED, QUESTIONS, result, series, verdict
from untrained.pages.tracked_drawings import draw_grid, draw_panel
from untrained.pages.tracked_page import write_tracked
from untrained.pages.tracked_parts import BREAKDOWNS, Part, grid
from untrained.plugins import is_path
from untrained.runs.streams import stream
from untrained.storage import RunFolder
from untrained.tracking.by_class import ClassAlignment
from untrained.tracking.by_layer import LayerShare
from untrained.tracking.config import TrackConfig, Tracking
from untrained.tracking.scales import Scales, scaling
from untrained.tracking.snapshots import MEASURED, Snapshot, draw_tracked_images
from untrained.tracking.track import Snapshots, Track, load_track
from untrained.tracking.track_one import track_one

PANELS = (*(panel for panels in QUESTIONS.values() for panel in panels), COMPARED, ADVANTAGE)


@dataclass(frozen=True)
class Tracked:
    """How a network's kernel moved while the network was trained."""

    track: Track
    "Snapshots and kernels."
    folder: RunFolder | None = None
    "Where they are kept; None where they are not."

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
    def by_class(self) -> pl.DataFrame:
        """One row a class and snapshot: `epoch`, `class`, `images`, and each alignment.

        Null where not resolved; without rows in trackings of older versions.
        """
        classes = self.track.classes
        rows = [
            {"epoch": snapshot.epoch, "class": classes[each.label], **_plain(each)}
            for snapshot in self.track.snapshots
            for each in snapshot.by_class
        ]
        return pl.DataFrame(
            rows, {"epoch": pl.Int64, "class": pl.String, **_types(ClassAlignment)}
        )

    @property
    def by_layer(self) -> pl.DataFrame:
        """One row a layer and snapshot: `epoch`, `layer`, alignment, share of the trace, movement.

        Null where not resolved; without rows where no layers were asked for.
        """
        rows = [
            {"epoch": snapshot.epoch, **_plain(each)}
            for snapshot in self.track.snapshots
            for each in snapshot.by_layer
        ]
        return pl.DataFrame(rows, {"epoch": pl.Int64, **_types(LayerShare)})

    @property
    def verdict(self) -> str:
        """Whether the kernel moved, and what that was worth."""
        return verdict(result(self.track))

    def plot(self, quantity: str = "alignment", by: Part | None = None) -> go.Figure:
        """A quantity by epoch, with what is shown beside it on the page.

        Args:
            quantity: a column of `snapshots`, such as `alignment` or `correlation_initial`; or of
                `by_class` or `by_layer`, such as `trace_share`.
            by: `class` or `layer`, for a row of each; None for the whole kernel.

        Raises:
            ValueError: one that no figure shows, or a tracking without layers.
        """
        if by is not None:
            return self._plot_by(by, quantity)
        shown = {line.quantity: panel for panel in PANELS for line in panel.lines}
        panel = shown[_known("quantity", quantity, shown)]
        return draw_panel(panel, [series(self.track.snapshots, line) for line in panel.lines])

    def _plot_by(self, by: Part, quantity: str) -> go.Figure:
        shown = {each.quantity: each for each in BREAKDOWNS[_known("by", by, BREAKDOWNS)]}
        breakdown = shown[_known("quantity", quantity, shown)]
        found = grid(self.track, by, quantity)
        if not found.rows:
            raise ValueError(f"by: expected a tracking with numbers by {by}, got one without")
        return draw_grid(breakdown, found)

    def report(self, page: Location | str | None = None) -> Location:
        """Writes the page of the tracking, and returns where it is.

        Args:
            page: the file to write; by default report.html in the folder.

        Raises:
            ValueError: neither a page nor a folder.
        """
        where = located(page) if isinstance(page, str) else page
        if self.folder is not None:
            return pages.report_track(self.folder, where)
        if where is None:
            raise ValueError("page: expected a file for a tracking without a folder, got None")
        optimizer = self.track.optimizer
        title = f"Tangent kernel {f'of {optimizer} ' if optimizer else ''}in training"
        write_tracked(self.track, where, title=title, network="")
        return where

    def _repr_html_(self) -> str:
        where = "" if self.folder is None else str(self.folder.path)
        return card("Tangent kernel in training", [self.verdict, where], self.snapshots)


def _plain(found: ClassAlignment | LayerShare) -> dict[str, Any]:
    """Its columns, quantities by their values."""
    named = {name: getattr(found, name) for name in _types(type(found))}
    return {
        name: value.value if isinstance(value, Quantity) else value
        for name, value in named.items()
    }


def _types(kind: type[Any]) -> dict[str, Any]:
    """The columns of what is said of a class or layer; a class goes by its name."""
    types: dict[Any, Any] = {int: pl.Int64, str: pl.String, Quantity: pl.Float64}
    return {each.name: types[each.type] for each in fields(kind) if each.name != "label"}


def _known(argument: str, given: Any, known: Collection[Any]) -> Any:
    """What was given, if it is known."""
    if given not in known:
        raise ValueError(f"{argument}: expected one of {', '.join(known)}, got {given!r}")
    return given


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


class Tracker:
    """Snapshots of a network in whatever loop trains it, on images fixed once.

    Under an optimizer that scales the step of each parameter, outputs move by J P J^T, P the
    scales; of Adam they change with every step, so that this kernel moves even where J does not.

    Example:
        >>> from torch import nn
        >>> import untrained
        >>> network = nn.Sequential(nn.Flatten(), nn.Linear(64, 10))
        >>> tracker = untrained.Tracker("digits", probe=32, support=0)
        >>> for epoch in range(3):
        ...     snapshot = tracker(network)  # the first at initialisation
        ...     # then train it for an epoch
        >>> tracker.tracked.snapshots["epoch"].to_list()
        [0, 1, 2]
    """

    def __init__(
        self,
        images: Pictures = "digits",
        *,
        size: int | None = None,
        seed: int = 0,
        device: str = "cpu",
        optimizer: torch.optim.Optimizer | Scales | None = None,
        **flags: Unpack[TrackingFlags],
    ):
        """Draws the images.

        Args:
            images: as of `search`; the network is shown them normalised.
            size: as of `load_images`.
            seed: of the choice of images.
            device: where to compute.
            optimizer: by whose steps the kernel is scaled: Adam or AdamW (before the first step
                the network needs gradients); SGD or None for none; or a function of the network
                that gives the diagonal of P by the names of parameters, such as
                `untrained.kernels.sign_scales` for sign descent. Parameters without are left out.
            flags: as of `Tracking`, which says what each means; `every` is the loop's affair.

        Raises:
            ValueError: an optimizer whose scales are not known.
        """
        loaded = (
            images if isinstance(images, Images) else load_images(images, size=size, seed=seed)
        )
        spec = configured(Tracking(), flags)
        shown = draw_tracked_images(loaded, spec, stream(seed, "tracking"))
        self._snapshots = Snapshots(
            nn.Identity(), loaded, shown, spec, device, None, None, *scaling(optimizer)
        )

    def __call__(self, network: nn.Module, epoch: int | None = None) -> Snapshot:
        """A snapshot of the network as it is now, which is left so.

        Args:
            network: from normalised images to logits, on the device.
            epoch: its number, larger than the last; by default the next. 0 is initialisation.

        Raises:
            ValueError: another number, or a kernel that cannot be asked for.
        """
        seen = self._snapshots.seen
        least = seen[-1].snapshot.epoch + 1 if seen else 0
        number = least if epoch is None else epoch
        if number < least or (not seen and number):
            raise ValueError(f"epoch: expected {least}{' or more' * bool(seen)}, got {epoch!r}")
        self._snapshots.network = network
        self._snapshots.take(number or None)
        return self._snapshots.seen[-1].snapshot

    @property
    def tracked(self) -> Tracked:
        """What was seen so far; one snapshot or more."""
        return Tracked(self._snapshots.track())
