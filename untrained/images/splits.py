"""Drawing the splits that a source does not bring."""

import numpy as np
import torch

from untrained.images.dataset import Labelled

LEAST = 5
"Training images a class must bring when a split is drawn: one a held-out split, three to learn."
MOST_VALIDATION = 5_000
"More validation images than this cost time and settle nothing."


def complete_splits(
    train: Labelled,
    validation: Labelled | None,
    test: Labelled | None,
    classes: tuple[str, ...],
    seed: int,
) -> tuple[Labelled, Labelled, Labelled]:
    """Draw the missing splits from the training images, class by class.

    A missing test split takes a fifth of each class; then a missing validation split takes a
    fifth of what is left of each class, at most 5,000 images in all. Fractions are rounded
    down, but each class gives at least one image. Images keep their order.

    Args:
        train: Images to draw from.
        validation: The source's own validation images, or None to draw them.
        test: The source's own test images, or None to draw them.
        classes: Class names, for the error.
        seed: Decides which images are held out; 0 or more.

    Returns:
        Disjoint training, validation and test images.

    Raises:
        ValueError: If a class has too few training images to appear in every split.
    """
    check_counts(train, classes, LEAST if validation is None or test is None else 1)
    rng = np.random.default_rng(seed)
    if test is None:
        train, test = hold_out(train, len(train), rng)
    if validation is None:
        train, validation = hold_out(train, MOST_VALIDATION, rng)
    return train, validation, test


def check_counts(train: Labelled, classes: tuple[str, ...], least: int) -> None:
    """Refuse fewer than two classes, and classes with fewer than `least` images."""
    if len(classes) < 2:
        raise ValueError(
            f"expected images of at least two classes, got {len(classes)}: "
            f"{', '.join(map(repr, classes)) or 'none'}; add images of another class"
        )
    counts = torch.bincount(train.labels, minlength=len(classes)).tolist()
    few = [f"{name!r} has {n}" for name, n in zip(classes, counts, strict=True) if n < least]
    if few:
        raise ValueError(
            f"expected {least} or more training images a class, so that each split shows every "
            f"class, but {shorten(few)}; add images, or leave such classes out"
        )


def hold_out(data: Labelled, most: int, rng: np.random.Generator) -> tuple[Labelled, Labelled]:
    """Split into kept and held-out images: a fifth of each class, about `most` in all."""
    labels = data.labels.numpy()
    counts = np.bincount(labels)
    held = np.maximum(1, np.minimum(counts // 5, counts * most // len(labels)))
    shuffled = rng.permutation(len(labels))
    by_class = shuffled[np.argsort(labels[shuffled], kind="stable")]
    # Place of each image in its own class, in shuffled order: the first `held` go.
    place = np.arange(len(labels)) - np.repeat(np.cumsum(counts) - counts, counts)
    out = torch.zeros(len(labels), dtype=torch.bool)
    out[torch.from_numpy(by_class[place < np.repeat(held, counts)])] = True
    return data.select((~out).nonzero().flatten()), data.select(out.nonzero().flatten())


def shorten(items: list[str], most: int = 3) -> str:
    """Join the first few items, and say how many more there are.

    Example:
        >>> shorten(["a", "b", "c", "d"])
        'a, b, c and 1 more'
    """
    more = f" and {len(items) - most} more" if len(items) > most else ""
    return ", ".join(items[:most]) + more
