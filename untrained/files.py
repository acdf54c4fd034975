"""Files and folders that are written whole or not at all.

Any subpackage may import this.
"""

import io
import json
import os
import shutil
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from untrained.locations import Location
from untrained.urls import URL

CONTENTS = "files.json"
"Under a URL: the files of a folder, with lengths and SHA-256. Written last and removed first."


def write_whole(path: Location, content: bytes) -> None:
    """Write a file, in a folder that exists, so that a kill leaves the old one or the new one."""
    if isinstance(path, URL):
        path.write_bytes(content)
        return
    unfinished = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with unfinished.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(unfinished, path)
    finally:
        unfinished.unlink(missing_ok=True)


def content_of(write: Callable[[io.BytesIO], Any]) -> bytes:
    """What a function writes into a file."""
    file = io.BytesIO()
    write(file)
    return file.getvalue()


@contextmanager
def folder_written_whole(folder: Location, names: Collection[str]) -> Iterator[Path]:
    """A new folder to write into, which takes the place of `folder` once all of it is written.

    An error, a kill or a full disk at any moment leaves the old one or the new one. Between two
    renames there is, for a moment, none: after a kill right then, the next call puts the old one
    back. Under a URL, where nothing can be renamed, there is none until the last file is there:
    see `whole_files`.

    Args:
        folder: where what is written ends.
        names: of the files that are replaced, or go where none is written; others are kept.

    Raises:
        ValueError: the working folder, which cannot be replaced under a running program.
        OSError: it cannot be written.
    """
    if isinstance(folder, URL):
        with TemporaryDirectory(prefix="untrained") as made:
            yield Path(made)
            _upload(Path(made), folder, names)
        return
    whole = folder.resolve()
    if Path.cwd().is_relative_to(whole):
        raise ValueError(
            f"expected a folder that can be replaced as a whole, got {folder}, in which this "
            f"program runs; try a folder in it, such as {folder / 'network'}"
        )
    new, old = (whole.with_name(f".{whole.name}.{end}") for end in ("new", "old"))
    whole.parent.mkdir(parents=True, exist_ok=True)
    if old.exists():
        _keep_others(old, whole, names)
    if whole.exists() and not whole.is_dir():
        raise FileExistsError(f"cannot write to {folder}: expected a folder, got a file")
    shutil.rmtree(new, ignore_errors=True)
    try:
        new.mkdir()
        if whole.exists():
            shutil.copymode(whole, new)
        yield new
        for path in new.iterdir():
            with path.open("rb") as file:
                os.fsync(file.fileno())
        _exchange(new, whole, old)
        if old.exists():
            _keep_others(old, whole, names)
    finally:
        shutil.rmtree(new, ignore_errors=True)


def whole_files(folder: Location) -> frozenset[str]:
    """Names of the files in a folder that `folder_written_whole` has written; none if not all.

    Raises:
        OSError: it cannot be read.
    """
    if isinstance(folder, Path):
        return frozenset(os.listdir(folder) if folder.exists() else ())
    try:
        contents = json.loads((folder / CONTENTS).read_bytes())
        whole = all((folder / name).size() == each["bytes"] for name, each in contents.items())
    except (FileNotFoundError, ValueError, TypeError, LookupError, AttributeError):
        return frozenset()
    return frozenset(contents) if whole else frozenset()


def _upload(made: Path, folder: URL, names: Collection[str]) -> None:
    (folder / CONTENTS).unlink(missing_ok=True)
    contents = {}
    for path in sorted(made.iterdir()):
        content = path.read_bytes()
        (folder / path.name).write_bytes(content)
        contents[path.name] = {"bytes": len(content), "sha256": sha256(content).hexdigest()}
    for name in {*names} - {*contents}:
        (folder / name).unlink(missing_ok=True)
    (folder / CONTENTS).write_bytes(json.dumps(contents, indent=2).encode())


def _exchange(new: Path, whole: Path, old: Path) -> None:
    if whole.exists():
        os.rename(whole, old)
    try:
        os.rename(new, whole)
    except OSError:
        if old.exists():
            os.rename(old, whole)
        raise


def _keep_others(old: Path, whole: Path, names: Collection[str]) -> None:
    """Moves what a replaced folder holds besides; all of it, where nothing has replaced it."""
    if not whole.exists():
        os.rename(old, whole)
        return
    for path in old.iterdir():
        if path.name not in names and not (whole / path.name).exists():
            os.rename(path, whole / path.name)
    shutil.rmtree(old)
