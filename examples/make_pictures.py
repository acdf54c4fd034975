"""Draws 1,000 pictures, a folder for each shape: `python make_pictures.py` makes `pictures`."""

import random
from pathlib import Path

from PIL import Image, ImageDraw

SIDE = 32
CORNERS = {"triangles": 3, "squares": 4, "pentagons": 5, "discs": 60}


def colour(least: int, most: int, rng: random.Random) -> tuple[int, int, int]:
    return rng.randint(least, most), rng.randint(least, most), rng.randint(least, most)


def picture(corners: int, rng: random.Random) -> Image.Image:
    """A bright regular polygon of any place, size and angle on a dark ground."""
    image = Image.new("RGB", (SIDE, SIDE), colour(0, 90, rng))
    radius = rng.uniform(8, 13)
    x, y = rng.uniform(radius, SIDE - radius), rng.uniform(radius, SIDE - radius)
    ImageDraw.Draw(image).regular_polygon(
        (x, y, radius), corners, rotation=rng.uniform(-30, 30), fill=colour(110, 255, rng)
    )
    return image


def main() -> None:
    rng = random.Random(0)
    for kind, corners in CORNERS.items():
        folder = Path("pictures", kind)
        folder.mkdir(parents=True, exist_ok=True)
        for i in range(250):
            picture(corners, rng).save(folder / f"{i}.png")


if __name__ == "__main__":
    main()
