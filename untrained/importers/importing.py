"""Benchmarks' own files into tables of the data folder."""

import io
from collections.abc import Callable, Iterable
from pathlib import Path

import polars as pl

from untrained.data import data_folder
from untrained.files import write_whole
from untrained.importers.hwnasbench import read_hwnasbench
from untrained.importers.nasbench101 import read_nasbench101
from untrained.importers.nasbench301 import read_nasbench301
from untrained.importers.natsbench import read_natsbench
from untrained.importers.suite_zero import read_suite_zero
from untrained.importers.watching import Watched, unwatched
from untrained.tables.inventory import KNOWN

FORMATS: dict[str, Callable[[Path, Watched], tuple[str, pl.DataFrame]]] = {
    "natsbench": read_natsbench,
    "nasbench101": read_nasbench101,
    "nasbench301": read_nasbench301,
    "suite-zero": read_suite_zero,
    "hwnasbench": read_hwnasbench,
}
"By name: a path -> the name of a table's file, and its rows."
FOLDERS = ("natsbench", "nasbench301")
"Formats that may be a folder."


def import_table(
    format: str, path: Path, *, replace: bool = False, watched: Watched = unwatched
) -> Path:
    """Write a benchmark's own files as a table of the data folder.

    Args:
        format: of `FORMATS`.
        path: the file, or the folder, that the benchmark's authors publish.
        replace: whether a table of this name, if there is one, gives way.
        watched: is given what is read, one after another, and passes it on.

    Returns:
        The file that was written, whole or not at all.

    Raises:
        ValueError: another format, files that hold something else, or a table that is there.
        OSError: a file that cannot be read or written.
    """
    if format not in FORMATS:
        raise ValueError(f"expected a format out of {', '.join(FORMATS)}, got {format!r}")
    if not path.exists():
        raise FileNotFoundError(f"expected files of {format} at {path}, got nothing there")
    if path.is_dir() and format not in FOLDERS:
        raise ValueError(f"expected a file of {format}, got the folder {path}; name a file in it")
    if not replace:
        check_new(format)
    folder = data_folder() / "tables"
    name, frame = FORMATS[format](path, watched)
    target = folder / name
    if not replace:
        _check_free([target])
    folder.mkdir(parents=True, exist_ok=True)
    content = io.BytesIO()
    frame.write_parquet(content, compression="zstd")
    write_whole(target, content.getvalue())
    return target


def check_new(format: str) -> None:
    """Refuse a format all of whose tables are there.

    Raises:
        ValueError: If they are.
    """
    folder = data_folder() / "tables"
    _check_free(folder / table.file for table in KNOWN if table.format == format)


def _check_free(targets: Iterable[Path]) -> None:
    """Refuse to write where each of these tables is there already."""
    there = list(targets)
    if all(target.exists() for target in there):
        raise ValueError(
            f"expected no table at {' or '.join(map(str, there))} yet, got one; move it away, or "
            f"replace it with --replace"
        )
