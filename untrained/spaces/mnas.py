"""MNAS: seven stages of mobile inverted bottlenecks for ImageNet, as in Accel-NASBench.

Each stage has one of 3 * 2 * 4 * 2 = 48 blocks (expansion, kernel, layers, squeeze-excite):
48^7 = 5.87e11 architectures.

Source: Tan et al., "MnasNet: Platform-Aware Neural Architecture Search for Mobile", CVPR 2019,
https://arxiv.org/abs/1807.11626; choices, swish and counts as in Ahmad et al., "Accel-NASBench:
Sustainable Benchmarking for Accelerator-Aware NAS", https://arxiv.org/abs/2404.08005.
"""

import itertools
import random
import re
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any, ClassVar

from torch import nn

from untrained.spaces import mnas_network
from untrained.spaces.exporting import arguments, call, source_of
from untrained.spaces.graph import CellGraph, Edge
from untrained.spaces.mnas_network import Block, MNASNetwork
from untrained.spaces.space import Architecture, Scale, Shape, Space, crossed

# The fields of a block, in order, and what each may be.
CHOICES: dict[str, tuple[Any, ...]] = {
    "expansion": (1, 4, 6),
    "kernel": (3, 5),
    "layers": (1, 2, 3, 4),
    "squeeze_excite": (False, True),
}
STAGES = 7
SHAPE = "e{1,4,6}k{3,5}l{1,2,3,4}se{0,1}"
FORM = re.compile("e([0-9]+)k([0-9]+)l([0-9]+)se([0-9]+)")


def _text(block: Block) -> str:
    return f"e{block.expansion}k{block.kernel}l{block.layers}se{int(block.squeeze_excite)}"


BLOCKS = {
    _text(block): block for block in itertools.starmap(Block, itertools.product(*CHOICES.values()))
}


@dataclass(frozen=True, order=True)
class MNASArchitecture(Architecture):
    """The seven blocks, from the images to the head.

    Other than seven, or a block that is none of the 48, raises ValueError.
    """

    blocks: tuple[Block, ...]

    def __post_init__(self) -> None:
        wrong = [block for block in self.blocks if _text(block) not in BLOCKS]
        if wrong or len(self.blocks) != STAGES:
            raise ValueError(
                f"not an MNAS architecture: expected seven blocks {SHAPE}, got "
                f"{wrong[0] if wrong else len(self.blocks)}"
            )

    def __str__(self) -> str:
        return "_".join(map(_text, self.blocks))


@dataclass(frozen=True)
class MNASScale(Scale):
    """How large a network is built; all widths keep their proportion to the stem's.

    The width multiplier is `channels` / 32: a stage of w channels as published has
    max(1, round(w * channels / 32)). This holds for the head too, whose 1,280 channels MobileNets
    keep below a multiplier of 1.
    """

    channels: int = 32
    "Channels of the stem."
    depth: float = 1.0
    "Multiplier of the layers of each block, rounded up."
    strides: int = 5
    """How many of the five convolutions of stride 2 (stem, then stages 2, 3, 4 and 6) keep it.
    The last ones do; the first ones get stride 1, so that small images keep their resolution."""


class MNAS(Space[MNASArchitecture]):
    """The space; a stateless value."""

    name = "mnas"
    scales: ClassVar = {
        "full": MNASScale(),
        "narrow": MNASScale(channels=16, strides=3),
        "small": MNASScale(channels=8, strides=3),
        "thin": MNASScale(channels=4, strides=0),
    }

    def parse(self, text: str) -> MNASArchitecture:
        """From seven blocks `e{1,4,6}k{3,5}l{1,2,3,4}se{0,1}` joined by `_`.

        Example:
            >>> text = "e1k3l1se0_e6k3l2se0_e6k5l3se1_e6k3l4se0_e6k3l2se1_e6k5l3se1_e6k3l1se0"
            >>> str(MNAS().parse(text)) == text
            True
        """
        texts = text.strip().split("_")
        if len(texts) != STAGES:
            raise ValueError(
                f"not an MNAS architecture: expected seven blocks {SHAPE} joined by _, got "
                f"{len(texts)}, {text!r}; {_advice(text)}"
            )
        return MNASArchitecture(tuple(_block(part, k) for k, part in enumerate(texts, start=1)))

    def sample(self, rng: random.Random) -> MNASArchitecture:
        blocks = tuple(BLOCKS.values())
        return MNASArchitecture(tuple(rng.choice(blocks) for _ in range(STAGES)))

    def neighbours(self, architecture: MNASArchitecture) -> tuple[MNASArchitecture, ...]:
        """One of the four choices of one block changed: 7 * (2 + 1 + 3 + 1) = 49."""
        blocks = architecture.blocks
        return tuple(
            MNASArchitecture((*blocks[:k], block._replace(**{name: other}), *blocks[k + 1 :]))
            for k, block in enumerate(blocks)
            for name, options in CHOICES.items()
            for other in options
            if other != getattr(block, name)
        )

    def cross(
        self, first: MNASArchitecture, second: MNASArchitecture, rng: random.Random
    ) -> MNASArchitecture:
        return MNASArchitecture(crossed(first.blocks, second.blocks, rng))

    def enumerate(self) -> Iterator[MNASArchitecture]:
        """Every architecture once, one at a time: there are 5.87e11."""
        return map(MNASArchitecture, itertools.product(BLOCKS.values(), repeat=STAGES))

    def canonical(self, architecture: MNASArchitecture) -> MNASArchitecture:
        """Itself: no two architectures are known to compute the same function as published.

        A scale with `depth` below 1 may build the same network from two of them.
        """
        return architecture

    def terms(self, architecture: MNASArchitecture) -> Mapping[MNASArchitecture, int]:
        """Each block in its stage, with the smallest in all others; and what a network of the
        smallest then has too often."""
        smallest = (BLOCKS["e1k3l1se0"],) * STAGES
        terms = Counter(
            MNASArchitecture((*smallest[:k], block, *smallest[k + 1 :]))
            for k, block in enumerate(architecture.blocks)
        )
        terms[MNASArchitecture(smallest)] += 1 - STAGES
        return {term: n for term, n in terms.items() if n}

    def build(
        self, architecture: MNASArchitecture, scale: Scale, *, inputs: Shape, classes: int
    ) -> nn.Module:
        """The network, on images of any size.

        Raises:
            ValueError: a scale of another space, or a size out of its range.
        """
        return MNASNetwork(
            architecture.blocks, inputs=inputs[0], classes=classes, **arguments(scale, MNASScale)
        )

    def export(
        self, architecture: MNASArchitecture, scale: Scale, *, inputs: Shape, classes: int
    ) -> tuple[str, str]:
        sizes = {"inputs": inputs[0], "classes": classes, **arguments(scale, MNASScale)}
        return source_of(mnas_network), call("MNASNetwork", (architecture.blocks,), sizes)

    def graphs(self, architecture: MNASArchitecture) -> tuple[CellGraph, ...]:
        """The chain of the seven stages, between the stem and the head: `e6 k3 x2 se`."""
        nodes = ("input", *map(str, range(1, STAGES)), "output")
        edges = tuple(
            Edge(k, k + 1, _described(block)) for k, block in enumerate(architecture.blocks)
        )
        return (CellGraph("stages", nodes, edges),)


def _described(block: Block) -> str:
    squeezed = " se" if block.squeeze_excite else ""
    return f"e{block.expansion} k{block.kernel} x{block.layers}{squeezed}"


def _block(text: str, stage: int) -> Block:
    if text in BLOCKS:
        return BLOCKS[text]
    if match := FORM.fullmatch(text):
        for (name, options), digits in zip(CHOICES.items(), match.groups(), strict=True):
            _check(name.replace("_", "-"), int(digits), [int(o) for o in options], text, stage)
    longer = [block for block in BLOCKS if block.startswith(text.lower())]
    near = longer or get_close_matches(text.lower(), BLOCKS, n=1, cutoff=0)
    raise ValueError(
        f"broken block {stage} of an MNAS architecture: expected {SHAPE}, got {text!r}; "
        f"did you mean {near[0]}?"
    )


def _check(name: str, number: int, known: list[int], text: str, stage: int) -> None:
    if number not in known:
        near = min(known, key=lambda other: abs(other - number))
        raise ValueError(
            f"unknown {name} {number} in block {stage} of an MNAS architecture: expected one of "
            f"{', '.join(map(str, known))}, got {text!r}; did you mean {near}?"
        )


def _advice(text: str) -> str:
    """What to try where there are not seven parts."""
    found = [match.group() for match in FORM.finditer(text.lower())]
    if len(found) == STAGES:
        return f"did you mean {'_'.join(found)}?"
    return "write one block for each of the seven stages"
