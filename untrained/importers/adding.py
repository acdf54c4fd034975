"""Benchmarks' own files, fetched from where their authors publish them, as tables."""

import shutil
from pathlib import Path

from untrained.data import data_folder
from untrained.downloads import Bars, PublishedFile, download, unseen
from untrained.importers.importing import check_new, import_table
from untrained.importers.watching import Watched, unwatched

PUBLISHED = {
    "nasbench101": PublishedFile(
        "https://storage.googleapis.com/nasbench/nasbench_full.tfrecord",
        "sha256:3d64db8180fb1b0207212f9032205064312b6907a3bbc81eabea10db2f5c7e9c",
    )
}
"Format -> the file that is fetched. The checksum is the authors'; others publish none."


def add_table(
    format: str,
    path: Path | None = None,
    *,
    replace: bool = False,
    bars: Bars = unseen,
    watched: Watched = unwatched,
) -> Path:
    """Write a benchmark's own files as a table of the data folder; see `import_table`.

    Args:
        format: Of `FORMATS`.
        path: The file or folder; None fetches it, and checks the checksum.
        replace: Whether a table of this name, if there is one, gives way.
        bars: How the download is shown.
        watched: As of `import_table`.

    Raises:
        ValueError: As `import_table`; or nothing can be fetched by this name.
        OSError: A file cannot be fetched, read or written.
    """
    if path is not None:
        return import_table(format, path, replace=replace, watched=watched)
    if format not in PUBLISHED:
        raise ValueError(
            f"expected a table that can be fetched, {', '.join(PUBLISHED)}, got {format!r}, of "
            f"which no checksum is known here; fetch it as untrained data says, and name its path "
            f"as well"
        )
    if not replace:
        check_new(format)
    folder = data_folder() / "downloads" / format
    (file,) = download([PUBLISHED[format]], folder, bars)
    table = import_table(format, file, replace=replace, watched=watched)
    shutil.rmtree(folder)
    return table
