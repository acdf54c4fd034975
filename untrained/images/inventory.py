"""The image sets that the package knows by name, those at hand and those to get."""

import zipfile
from dataclasses import replace
from pathlib import Path

import numpy as np

from untrained.archives import PUBLISHED, ImageSet
from untrained.data import Holding, data_folder, sha256, where
from untrained.images.kept import Kept, kept_pictures
from untrained.images.npz import LAYOUT

BUILT_IN = (
    Holding("digits", "8 x 8 handwritten digits", "", where="bundled", rows=1_797),
    Holding("shapes", "16 x 16 coloured shapes with textures", "", where="bundled", rows=6_000),
)


def known_images() -> tuple[Holding, ...]:
    """Image sets that are built in or published, whatever else the data folder names, and the
    pictures that are kept decoded."""
    others = {path.stem for path in (data_folder() / "images").glob("*.npz")} - PUBLISHED.keys()
    sets = (_holding(name) for name in (*PUBLISHED, *sorted(others)))
    return (*BUILT_IN, *sets, *map(_decoded, kept_pictures()))


def _decoded(kept: Kept) -> Holding:
    side = " x ".join(map(str, kept.shape[1:]))
    return Holding(
        f"pictures/{kept.folder.name}",
        f"decoded pictures of {kept.of} at {side}" if kept.of else "decoded pictures",
        "",
        where=f"cache folder, {kept.bytes / 1e6:,.1f} MB; untrained data clear removes them",
        path=kept.folder,
        rows=kept.pictures,
        reason="" if kept.of else "damaged",
    )


def _holding(name: str) -> Holding:
    path = data_folder() / "images" / f"{name}.npz"
    known = PUBLISHED.get(name)
    holds = known.holds if known else "your own images"
    missing = Holding(f"images/{name}.npz", holds, _obtain(name, known))
    if not path.exists():
        return missing
    found = replace(missing, where=where(path), path=path)
    try:
        return replace(found, rows=_count(path), sha256=sha256(path))
    except Exception as error:  # damaged files raise a dozen kinds
        return replace(found, reason=f"expected a .npz with {LAYOUT}: {error}")


def _obtain(name: str, known: ImageSet | None) -> str:
    if known is None or not known.files:
        return f"write a .npz with {LAYOUT}; from {known.source if known else 'your own'}"
    return f"untrained data add {name} fetches {known.bytes / 1e6:,.0f} MB; from {known.source}"


def _count(path: Path) -> int:
    """Training images, from the header of their array alone."""
    with zipfile.ZipFile(path) as archive, archive.open("x_train.npy") as file:
        version = np.lib.format.read_magic(file)
        read = np.lib.format.read_array_header_1_0
        return (read if version == (1, 0) else np.lib.format.read_array_header_2_0)(file)[0][0]
