"""Names of folders and files that mean splits."""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path

SPLITS = {
    "train": "train",
    "training": "train",
    "val": "validation",
    "valid": "validation",
    "validation": "validation",
    "dev": "validation",
    "test": "test",
    "testing": "test",
}
"Names that mean splits, in any case, and of folders with an ending such as `_set` or `-images`."
ENDING = re.compile(r"[\W_]*(set|data|images|pictures|split)?$")


def split_of(name: str) -> str | None:
    """The split that a folder's name means.

    Example:
        >>> split_of("Training_set"), split_of("trains")
        ('train', None)
    """
    return SPLITS.get(ENDING.sub("", name.casefold()))


def files_ending(path: Path, ending: str) -> list[Path]:
    """The files of an ending in a folder, or in those of its folders that are splits or `data`.

    There are none where other folders lie in it, or folders in those: these hold pictures, and a
    file beside them is no shard. A file that has the ending itself is the one.
    """
    if not path.is_dir():
        return [path] if path.name.casefold().endswith(ending) and path.is_file() else []
    folders = folders_in(path)
    if any(folders_in(f) or not (f.name == "data" or split_of(f.name)) for f in folders):
        return []
    found = (file for folder in (path, *folders) for file in folder.iterdir())
    return sorted(f for f in found if f.name.casefold().endswith(ending) and f.name[0] != ".")


def folders_in(path: Path) -> list[Path]:
    """Folders that are not hidden."""
    return [folder for folder in path.iterdir() if folder.name[0] != "." and folder.is_dir()]


def split_of_shard(file: Path, root: Path) -> str | None:
    """The split that the name of a file means, or else that of a folder between it and `root`.

    Example:
        >>> split_of_shard(Path("data/train-00000-of-00002.parquet"), Path("data"))
        'train'
        >>> split_of_shard(Path("data/test/0000.parquet"), Path("data"))
        'test'
    """
    words = re.split(r"[\W_]+", file.stem.casefold())
    found = [SPLITS[word] for word in words if word in SPLITS]
    if found:
        return found[0]
    folders = file.relative_to(root).parts[:-1] if file != root else ()
    return next(filter(None, map(split_of, reversed(folders))), None)


def shards_by_split(files: Sequence[Path], root: Path) -> Mapping[str, list[Path]]:
    """Split -> its files, training first; where no name means a split, all are for training.

    Raises:
        ValueError: If some names mean a split and others none, or none is for training.
    """
    found: dict[str | None, list[Path]] = {}
    for file in sorted(files):
        found.setdefault(split_of_shard(file, root), []).append(file)
    if set(found) == {None}:
        return {"train": found[None]}
    if None in found or "train" not in found:
        strange = found.get(None, next(iter(found.values())))[0].name
        raise ValueError(
            f"expected files of {root} to be named by their splits, train-..., validation-... and "
            f"test-..., the first of them at least, got {strange!r}; rename or move it"
        )
    return {split: found[split] for split in dict.fromkeys(SPLITS.values()) if split in found}
