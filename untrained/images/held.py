"""Images that this process holds, under names that stand where a file's would."""

from collections.abc import Iterator
from contextlib import contextmanager

from untrained.images.dataset import Images

HERE = "here:"
"How such a name begins."

_held: dict[str, Images] = {}


@contextmanager
def holding(images: Images) -> Iterator[str]:
    """The name that `load_images` takes for these, in this process and for as long."""
    name, before = f"{HERE}{images.name}", dict(_held)
    _held[name] = images
    try:
        yield name
    finally:
        _held.clear()
        _held.update(before)


def held(name: str) -> Images:
    """The images of the name.

    Raises:
        ValueError: this process holds none of it.
    """
    if name not in _held:
        raise ValueError(
            f"images: expected some that this process holds, got none called {name!r}, which were "
            f"given to a call in Python: give them to untrained.search, or what it was, again"
        )
    return _held[name]
