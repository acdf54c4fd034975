"""Reports of what is stored: of runs and of trackings, finished or under way."""

import errno
import os
import posixpath
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from untrained import tables
from untrained.files import whole_files
from untrained.locations import Location
from untrained.outside import command_line
from untrained.pages.cell import graphs_of
from untrained.pages.headline import image_facts
from untrained.pages.page import PAGE as RUN_PAGE
from untrained.pages.page import Parts, report_parts
from untrained.pages.tracked_page import PAGE as TRACK_PAGE
from untrained.pages.tracked_page import tracked_parts
from untrained.pages.writing import write_page
from untrained.runs.config_file import as_toml
from untrained.runs.mistakes import read_mistakes
from untrained.runs.record import RunRecord, record_of
from untrained.spaces import SPACES, Space
from untrained.storage import RunFolder
from untrained.tracking.config import as_plain, command_of
from untrained.tracking.track import load_track
from untrained.tracking.track_one import load_asked
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
    there = whole_files(folder.network)
    parts = run_parts(
        record_of(folder),
        space=space,
        exported={
            label: _link(folder.network / file, page)
            for file, label in EXPORTED.items()
            if file in there
        },
        beside=lambda name: _link(RunFolder(folder.out, name).report, page),
        folder=folder.path,
        command=_command(folder),
    )
    with _explaining(folder, page):
        write_page(page, RUN_PAGE, **parts)
    return page


def run_parts(
    record: RunRecord,
    *,
    beside: Callable[[str], str],
    command: str,
    space: Space[Any] | None = None,
    exported: Mapping[str, str] = {},
    folder: Location,
) -> Parts:
    """What the page of a stored run shows.

    Args:
        record: the run.
        beside: link to the page of another run of the same search, by its name.
        command: what writes the page.
        space: the run's; as `report_run` takes it.
        exported: label -> link to a file.
        folder: the run's, where pictures of mistakes may lie.
    """
    space = space or SPACES.get(record.space)
    graphs = graphs_of(space, record.selected) if space and record.selected else None
    return report_parts(
        record,
        space=space,
        graphs=graphs or (),
        standings=tables.standings(record.space, record.selected or "")
        if graphs is not None
        else (),
        exported=exported,
        beside={name: beside(name) for name in record.beside},
        mistakes=read_mistakes(folder, len(image_facts(record.images).classes)),
        command=command,
    )


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
    parts = track_parts(folder)
    with _explaining(folder, page):
        write_page(page, TRACK_PAGE, **parts)
    return page


def track_parts(folder: RunFolder) -> Parts:
    """What the page of a stored tracking shows.

    Raises:
        ValueError, OSError: as `report_track`.
    """
    config, architecture = load_asked(folder)
    return tracked_parts(
        load_track(folder.path),
        title=f"{config.network or config.space} on {config.images}",
        network=architecture or str(config.network),
        facts=as_plain(config),
        toml=as_toml(config, "track", *([architecture] if architecture else [])),
        command=command_of(config, architecture),
    )


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
