"""Images from shards of encoded pictures."""

from collections.abc import Iterator
from functools import partial
from io import BytesIO
from pathlib import Path

import numpy as np
from PIL import Image

from untrained.archives import Shard, Shards
from untrained.images.collection import Collection
from untrained.images.decoding import Decoded, Open, Part, Source, decode
from untrained.images.pictures import SIDE, collection_of, digest, pictures_of

AT_ONCE = 1_000
"Encoded pictures that are in memory."
MOST_NATIVE = 96
"Side in pixels up to which squares keep their size where none is asked for."


def collect_shards(found: Shards, path: Path, size: int | None) -> Collection:
    """Decode the pictures of all shards, as those of a folder; see `read_folder`.

    Args:
        found: The shards.
        path: Where they lie; its name names the data set.
        size: Side in pixels; None means that of the first picture, if it is a square of at most 96
            pixels, or else 32.

    Raises:
        ValueError: If no picture can be read, or a shard is damaged.
    """
    side = native_side(found.shards[0]) if size is None else size
    made_of = digest(side, files_told(found))
    pictures = pictures_of(path, side, made_of, partial(decode_shards, found, path, side))
    return collection_of(pictures, path, found.classes)


def native_side(shard: Shard) -> int:
    """The side of the first picture, if it is a small square."""
    first = shard.read(0, 1)[0] if len(shard) else None
    try:
        with Image.open(BytesIO(first or b"")) as picture:
            width, height = picture.size
    except Exception:  # decoders raise nearly anything on broken files; this one is told later
        return SIDE
    return width if width == height <= MOST_NATIVE else SIDE


def decode_shards(found: Shards, path: Path, side: int, file: Open) -> Decoded:
    """Write the pixels of all pictures to a file; see `decode`.

    Raises:
        ValueError: If none of the training pictures can be read.
    """
    decoded = decode(partial(parts_of, found), side, file)
    if not any(group.split == "train" for group in decoded.groups):
        why = decoded.warnings[0] if decoded.warnings else "shards without pictures"
        raise ValueError(
            f"expected training pictures that can be read in {path}, got none ({why}); fetch it "
            f"again"
        )
    return decoded


def parts_of(found: Shards) -> Iterator[Part]:
    """Some pictures at a time, by class."""
    for shard in found.shards:
        for start in range(0, len(shard), AT_ONCE):
            stop = min(start + AT_ONCE, len(shard))
            contents = shard.read(start, stop)
            labels = shard.labels[start:stop]
            for k in np.unique(labels).tolist():
                rows = np.flatnonzero(labels == k).tolist()
                sources = [Source(shard.names[start + i], contents[i]) for i in rows]
                yield Part(shard.split, found.classes[k], sources)


def files_told(found: Shards) -> Iterator[object]:
    """Name, size and time of change of every shard, and its labels."""
    yield found.classes
    for shard in found.shards:
        state = shard.file.stat()
        yield shard.split, str(shard.file), state.st_size, state.st_mtime_ns
        yield shard.labels.tobytes()
