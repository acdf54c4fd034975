"""The coloured data set that is always there: shapes with textures, drawn by this file.

Ten classes: a disc, a ring, a square, a triangle or a cross, in stripes or in checks. Place, size,
angle and all colours are random, so that no pixel by itself says anything of the class: a linear
model stays near chance, a perceptron learns some, a convolutional network most. All of it is
integers made of one stream of bits, so that every machine draws the same pixels.
"""

import hashlib
import math

import numpy as np
import torch
from jaxtyping import Int, Int32, UInt8

from untrained.images.collection import Collection
from untrained.images.dataset import Labelled
from untrained.images.resizing import describe_resize, resize_square

SIDE = 16
"Pixels."
TRAIN, TEST = 5_000, 1_000
"Images."
SHAPES = ("disc", "ring", "square", "triangle", "cross")
TEXTURES = ("striped", "checked")
CLASSES = tuple(f"{texture} {shape}" for texture in TEXTURES for shape in SHAPES)
STREAM = b"untrained: shapes, 1"
"Its SHAKE-128 is the stream of bits."
UNIT = 32
"Parts of a pixel's side, in which places and sizes are counted."
PERIOD = 2 * UNIT
"Width of a stripe, side of a check."
NOISE = 24
"Grey levels up to which each value of a pixel is changed."
BLOCK = 500
"Images that are drawn together."
ANGLES = 64
"In a turn; each has its cosine and sine in 1/256, none of which lies near a half."
TURNS = [2 * math.pi * k / ANGLES for k in range(ANGLES)]
COSINES = np.array([round(256 * math.cos(turn)) for turn in TURNS], np.int32)
SINES = np.array([round(256 * math.sin(turn)) for turn in TURNS], np.int32)


def read_shapes(size: int | None) -> Collection:
    """Draw 6,000 colour images of 16 x 16 pixels, of which 1,000 are for tests."""
    pixels = torch.from_numpy(draw_shapes(TRAIN + TEST)).permute(0, 3, 1, 2).contiguous()
    labels = torch.arange(len(pixels)) % len(CLASSES)
    notes: tuple[str, ...] = ()
    if size is not None:
        notes = describe_resize((SIDE, SIDE), size)
        pixels = resize_square(pixels, size)
    parts = zip(pixels.split([TRAIN, TEST]), labels.split([TRAIN, TEST]), strict=True)
    train, test = (Labelled(*part) for part in parts)
    return Collection("shapes", CLASSES, train, test=test, notes=notes)


def draw_shapes(count: int) -> UInt8[np.ndarray, "n side side 3"]:
    """The first so many images; image k is of class k modulo 10."""
    each = 15 + SIDE * SIDE * 3
    bits = np.frombuffer(hashlib.shake_128(STREAM).digest(count * each), np.uint8)
    draws = bits.reshape(count, each).astype(np.int32)
    kinds = np.arange(count) % len(CLASSES)
    blocks = [slice(start, start + BLOCK) for start in range(0, count, BLOCK)]
    return np.concatenate([_drawn(draws[block], kinds[block]) for block in blocks])


def _drawn(draws: Int32[np.ndarray, "n bytes"], kinds: Int[np.ndarray, " n"]) -> np.ndarray:
    """Images of these kinds: six bytes decide on place, size and angle, nine on three colours."""
    size, right, down, angle, *phases = draws[:, :6, None, None].swapaxes(0, 1)
    radius = 5 * UNIT + 3 * UNIT * size // 256
    free = SIDE * UNIT // 2 - 7 * radius // 8
    middle = SIDE * UNIT // 2
    # Four points a pixel, whose mean it is, relative to the shape's middle.
    points = np.arange(2 * SIDE, dtype=np.int32) * (UNIT // 2) + UNIT // 4
    x = points[None, None, :] - middle - (right - 128) * free // 128
    y = points[None, :, None] - middle - (down - 128) * free // 128
    cosine, sine = COSINES[angle % ANGLES], SINES[angle % ANGLES]
    u, v = (x * cosine + y * sine) >> 8, (y * cosine - x * sine) >> 8
    texture, shape = np.divmod(kinds, len(SHAPES))
    ground, first, second = _colours(draws[:, 6:15])
    odd = _odd(u + phases[0], v + phases[1], texture)
    seen = np.where(odd[..., None], first, second)
    seen = np.where(_inside(u, v, radius, shape)[..., None], seen, ground)
    means = seen.reshape(-1, SIDE, 2, SIDE, 2, 3).sum((2, 4)) // 4
    noise = (draws[:, 15:].reshape(means.shape) - 128) * NOISE // 128
    return (means + noise).clip(0, 255).astype(np.uint8)


def _colours(draws: Int32[np.ndarray, "n 9"]) -> np.ndarray:
    """Of the ground and of two for the texture, in each channel 64 to 191 of 256 levels apart."""
    ground, *steps = draws.reshape(-1, 3, 3).swapaxes(0, 1)[:, :, None, None]
    first = (ground + 64 + steps[0] // 2) % 256
    return np.stack([ground, first, (first + 64 + steps[1] // 2) % 256])


def _odd(u: np.ndarray, v: np.ndarray, texture: np.ndarray) -> np.ndarray:
    """Whether a point lies in an odd stripe (texture 0), or on an odd check (texture 1)."""
    row, column = v // PERIOD, u // PERIOD
    return (row + column * texture[:, None, None]) % 2 == 1


def _inside(u: np.ndarray, v: np.ndarray, radius: np.ndarray, shape: np.ndarray) -> np.ndarray:
    """Whether a point (u, v) lies in a shape of this radius."""
    square, across, down = u * u + v * v, abs(u), abs(v)
    long, short = radius, 3 * radius // 8
    disc = square < radius * radius
    inside = {
        "disc": disc,
        "ring": disc & (square > 5 * radius * radius // 16),
        "square": np.maximum(across, down) < 7 * radius // 8,
        "triangle": (8 * v > -5 * radius) & (28 * across < 20 * radius - 16 * v),
        "cross": (np.minimum(across, down) < short) & (np.maximum(across, down) < long),
    }
    return np.choose(shape[:, None, None], [inside[name] for name in SHAPES])
