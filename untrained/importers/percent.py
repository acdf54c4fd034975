"""Accuracies that other tools keep in percent."""


def fraction(percent: object) -> float:
    """The accuracy in [0, 1].

    Raises:
        ValueError: no accuracy.
    """
    if not isinstance(percent, int | float) or not 0 <= percent <= 100:
        raise ValueError(f"expected an accuracy from 0 to 100 %, got {percent!r}")
    return percent / 100
