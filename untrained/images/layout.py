"""Where the pictures of a folder lie: its splits, its classes, and what stands between."""

import os
import unicodedata
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

from untrained.archives.splits import SPLITS, split_of
from untrained.images.splits import shorten

LEFT_BY_OTHERS = {
    "__macosx", "@eadir", "@recycle", "@recently-snapshot", "#recycle", "#snapshot",
    "$recycle.bin", "lost+found", "system volume information", "__pycache__",
}  # fmt: skip
"Folders of thumbnails, deleted files and the like, which archives and file servers leave."
ADVICE = "give a folder with one subfolder of pictures for each class"


@dataclass(frozen=True)
class Layout:
    """Which folders hold which class of which split."""

    splits: Mapping[str, Mapping[str, tuple[Path, ...]]]
    "Split -> class -> its folders, more than one where their names differ in composition only."
    notes: tuple[str, ...]
    "What was left out, or may be other than meant."


def find_layout(path: Path) -> Layout:
    """Find splits and classes.

    If every subfolder that holds pictures is named as a split, these are splits; otherwise they
    are classes, all of the training split. A folder that holds nothing but one folder of folders
    stands for that one.

    Raises:
        ValueError: no class folder, splits beside other folders, or no training split.
    """
    root, notes = descended(path)
    folders = [folder for folder in visible_folders(root) if holds_pictures(folder)]
    named = {folder: split for folder in folders if (split := split_of(folder.name))}
    if not folders or len(named) < len(folders):
        check_no_split(root, named, [folder for folder in folders if folder not in named])
        classes, more = find_classes(root)
        return Layout({"train": classes}, (*notes, *more, *alike_inside(folders)))
    if "train" not in named.values() or len(set(named.values())) < len(named):
        raise ValueError(
            f"expected folders train and at most one each of validation and test in "
            f"{readable(root)}, got {listed(folders)}; rename or merge them"
        )
    found = {}
    order = list(SPLITS.values()).index
    for folder, split in sorted(named.items(), key=lambda item: order(item[1])):
        inner, deeper = descended(folder)
        found[split], more = find_classes(inner)
        notes += [*deeper, *more]
    return Layout(found, tuple(notes))


def descended(path: Path) -> tuple[Path, list[str]]:
    """The folder itself or, where it is but a shell around another, that one; and a note."""
    root = path
    while not loose_pictures(root):
        inner = [folder for folder in visible_folders(root) if holds_pictures(folder)]
        if len(inner) != 1 or split_of(inner[0].name) or loose_pictures(inner[0]):
            break
        root = inner[0]
    if root == path:
        return path, []
    return root, [f"read {readable(root)}, the one folder in {readable(path)}"]


def find_classes(path: Path) -> tuple[dict[str, tuple[Path, ...]], list[str]]:
    """The folders of each class, by name; and notes on what lies beside them."""
    folders, loose = visible_folders(path), loose_pictures(path)
    if not folders:
        got = "pictures lying in it" if loose else "none"
        raise ValueError(f"expected class folders in {readable(path)}, got {got}; {ADVICE}")
    classes: dict[str, tuple[Path, ...]] = {}
    for folder in folders:
        name = unicodedata.normalize("NFC", readable(folder.name))
        classes[name] = (*classes.get(name, ()), folder)
    notes = [
        f"read {len(same)} folders as one class {name!r}: their names differ in the composition "
        f"of accents only"
        for name, same in classes.items()
        if len(same) > 1
    ]
    if loose:
        notes.append(f"skipped pictures outside class folders: {shorten(loose)}")
    return dict(sorted(classes.items())), notes


def check_no_split(root: Path, named: Mapping[Path, str], others: list[Path]) -> None:
    """Refuse splits that lie beside other folders; a class may be called `train` all the same."""
    if "train" in named.values() and all(map(holds_classes, named)):
        raise ValueError(
            f"expected folders of splits alone (train, validation, test) or of classes alone in "
            f"{readable(root)}, got {listed([*named])} beside {listed(others)}; move "
            f"{listed(others)} elsewhere, or rename"
        )


def alike_inside(folders: list[Path]) -> list[str]:
    """A note where all class folders hold folders of the same names, as splits would."""
    inside = {tuple(readable(p.name) for p in visible_folders(folder)) for folder in folders}
    if len(folders) < 2 or len(inside) > 1 or not all(map(holds_classes, folders)):
        return []
    return [
        f"took {listed(folders)} for classes, each of which holds the folders "
        f"{shorten([*inside.pop()])}: if these are classes, call the folders above them train, "
        f"validation and test; if they are splits, let them stand above the classes"
    ]


def holds_classes(folder: Path) -> bool:
    """Tell whether pictures lie in two subfolders or more, and none beside them."""
    return not loose_pictures(folder) and sum(map(holds_pictures, visible_folders(folder))) > 1


def visible_folders(path: Path) -> list[Path]:
    """List subfolders that may hold pictures, by name; links to folders are among them."""
    with os.scandir(path) as entries:
        return sorted(path / e.name for e in entries if visible(e.name) and e.is_dir())


def visible(name: str) -> bool:
    """Tell whether a folder of this name is neither hidden nor left by a file server."""
    return name[0] != "." and name.casefold() not in LEFT_BY_OTHERS


def files_below(folder: Path) -> Iterator[Path]:
    """Files at any depth that are not hidden; of links, those to files alone are followed."""
    for path, inner, files in os.walk(folder):
        inner[:] = sorted(filter(visible, inner))
        yield from (Path(path, name) for name in sorted(files) if name[0] != ".")


def holds_pictures(folder: Path) -> bool:
    """Tell whether a picture lies at any depth."""
    return any(map(is_picture, files_below(folder)))


def loose_pictures(path: Path) -> list[str]:
    """Name the pictures that lie in `path` itself."""
    found = (p for p in path.iterdir() if p.name[0] != "." and is_picture(p))
    return sorted(readable(p.name) for p in found)


def is_picture(path: Path) -> bool:
    """Tell by its ending whether Pillow opens a file."""
    kind = Image.registered_extensions().get(path.suffix.lower())
    return kind in Image.OPEN and path.is_file()


def note_links(root: Path, layout: Layout) -> list[str]:
    """Notes on links: those to folders are not followed below classes, and some lead out."""
    out: list[Path] = []
    unfollowed: list[Path] = []
    broken: list[Path] = []
    home = root.resolve()
    classes = [folders for split in layout.splits.values() for folders in split.values()]
    for folder in (folder for folders in classes for folder in folders):
        if folder.is_symlink() and not folder.resolve().is_relative_to(home):
            out.append(folder)
        for path, inner, files in os.walk(folder):
            inner.sort()
            unfollowed += [link for name in inner if (link := Path(path, name)).is_symlink()]
            for link in (
                link for name in sorted(files) if (link := Path(path, name)).is_symlink()
            ):
                if not link.exists():
                    broken.append(link)
                elif not link.resolve().is_relative_to(home) and is_picture(link):
                    out.append(link)
    said = {
        f"did not follow links to folders: {listed(unfollowed)}; copy the pictures": unfollowed,
        f"skipped links that lead nowhere: {listed(broken)}": broken,
        f"followed {len(out)} links that lead out of the folder: {listed(out)}": out,
    }
    return [note for note, links in said.items() if links]


def listed(paths: list[Path]) -> str:
    """The first few names."""
    return shorten([readable(path.name) for path in paths])


def readable(name: str | Path) -> str:
    """A name as text that can be written: bytes that are no UTF-8 as `\\xe9`.

    Example:
        >>> readable("caf\\udce9.png")
        'caf\\\\xe9.png'
    """
    return os.fsencode(name).decode("utf-8", "backslashreplace")
