"""Reports of what is stored: of runs and of trackings, finished or under way."""

import errno
import os
import posixpath
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from untrained import tables
from untrained.files import whole_files
from untrained.locations import Location
from untrained.outside import command_line
from untrained.pages.cell import graphs_of
from untrained.pages.page import write_report
from untrained.pages.tracked_page import write_tracked
from untrained.runs.record import record_of
from untrained.runs.track_config import as_plain, command_of
from untrained.runs.track_one import load_asked
from untrained.runs.tracking import load_track
from untrained.spaces import SPACES, Space
from untrained.storage import RunFolder
from untrained.urls import URL

EXPORTED = {
    "network.py": "loader: needs torch and safetensors alone",
    "weights.safetensors": "weights",
    "network.onnx": "ONNX",
    "network.pt2": "torch.export",
    "MODEL_CARD.md": "model card",
}


def report_run(
    folder: RunFolder, page: Location | None = None, *, space: Space[Any] | None = None
) -> Location:
    """Writes the page of a run, finished or under way, and returns its path.

    Args:
        folder: the run's; it and its store are only read if the page lies elsewhere.
        page: where to write; by default in the folder.
        space: the run's, where the caller has it; by default ours of the name in the store. What
            a store names is never imported: an architecture of any other space is not drawn.

    Raises:
        ValueError: no such store or run.
        OSError: the page cannot be written.
    """
    page = page or folder.report
    record = record_of(folder)
    space = space or SPACES.get(record.space)
    graphs = graphs_of(space, record.selected) if space and record.selected else None
    there = whole_files(folder.network)
    files = {
        label: _link(folder.network / file, page)
        for file, label in EXPORTED.items()
        if file in there
    }
    with _explaining(folder, page):
        write_report(
            record,
            page,
            space=space,
            graphs=graphs or (),
            standings=tables.standings(record.space, record.selected or "")
            if graphs is not None
            else (),
            exported=files,
            beside={
                name: _link(RunFolder(folder.out, name).report, page) for name in record.beside
            },
            command=_command(folder),
        )
    return page


def report_track(folder: RunFolder, page: Location | None = None) -> Location:
    """Writes the page of a tracking, finished or under way, and returns its path.

    Args:
        folder: the tracking's; it is only read if the page lies elsewhere.
        page: where to write; by default in the folder.

    Raises:
        ValueError: there is no snapshot yet, or what is there cannot be read.
        OSError: no such tracking, or the page cannot be written.
    """
    page = page or folder.report
    config, architecture = load_asked(folder)
    track = load_track(folder.path)
    with _explaining(folder, page):
        write_tracked(
            track,
            page,
            title=f"{config.network or config.space} on {config.images}",
            network=architecture or str(config.network),
            facts=as_plain(config),
            command=command_of(config, architecture),
        )
    return page


def _link(file: Location, page: Location) -> str:
    """The way from a page to a file, with `/`."""
    if isinstance(file, Path) and isinstance(page, Path):
        return Path(os.path.relpath(file.absolute(), page.absolute().parent)).as_posix()
    if isinstance(file, Path):
        return file.absolute().as_posix()
    together = isinstance(page, URL) and page.root == file.root
    return posixpath.relpath(file, page.parent) if together else file


@contextmanager
def _explaining(folder: RunFolder, page: Location) -> Iterator[None]:
    """A page that cannot be written, as in a folder that is only to be read, may lie elsewhere."""
    try:
        yield
    except OSError as error:
        if error.errno == errno.ENOSPC or isinstance(page, URL):
            raise
        raise OSError(
            f"cannot write {page}: {error.strerror or error}; write it elsewhere: "
            f"{_command(folder, '--page', 'report.html')}"
        ) from error


def _command(folder: RunFolder, *words: str) -> str:
    """What writes the page again."""
    store = () if folder.elsewhere is None else ("--store", folder.elsewhere)
    return command_line("untrained", "report", str(folder.path), *store, *words)
