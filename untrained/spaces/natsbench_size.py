"""The size space of NATS-Bench: channels of five layers, with one cell for all.

Each layer has 8, 16, ..., 64 channels: 8^5 = 32,768 architectures.

Source: Dong, Liu, Musial & Gabrys, "NATS-Bench: Benchmarking NAS Algorithms for Architecture
Topology and Size", TPAMI 2021, https://arxiv.org/abs/2009.00437.
"""

import itertools
import random
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import ClassVar

from torch import nn

from untrained.spaces import nasbench201_network, natsbench_size_network
from untrained.spaces.exporting import arguments, call, source_of
from untrained.spaces.graph import CellGraph, Edge
from untrained.spaces.natsbench_size_network import WIDEST, SizeNetwork
from untrained.spaces.space import Architecture, Scale, Shape, Space, crossed, halvings

LAYERS = ("cell", "reduction", "cell", "reduction", "cell")
"After the stem, which has the first one's channels; a reduction halves the resolution."
CHANNELS = tuple(range(8, WIDEST + 1, 8))
SHAPE = "c1:c2:c3:c4:c5"


@dataclass(frozen=True, order=True)
class SizeArchitecture(Architecture):
    """The channels of the five layers, from the images to the classifier.

    Other than five, or a number that is none of 8, 16, ..., 64, raises ValueError.
    """

    widths: tuple[int, ...]

    def __post_init__(self) -> None:
        wrong = [width for width in self.widths if width not in CHANNELS]
        if wrong or len(self.widths) != len(LAYERS):
            raise ValueError(
                f"not an architecture of the size space: expected five numbers of channels out "
                f"of {', '.join(map(str, CHANNELS))}, got {wrong[0] if wrong else self.widths}"
            )

    def __str__(self) -> str:
        return ":".join(map(str, self.widths))


@dataclass(frozen=True)
class SizeScale(Scale):
    """How large a network is built; the layers' widths keep their proportions.

    Below 8 channels of the widest layer, layers that differ as published may have equal widths.
    """

    channels: int = WIDEST
    "Channels of the widest layer: one of w as published has max(1, round(w * channels / 64))."


class NATSBenchSize(Space[SizeArchitecture]):
    """The space; a stateless value."""

    name = "natsbench_size"
    scales: ClassVar = {
        "full": SizeScale(),
        "narrow": SizeScale(channels=32),
        "small": SizeScale(channels=8),
        "thin": SizeScale(channels=8),
    }

    def parse(self, text: str) -> SizeArchitecture:
        """From the five numbers of channels, `c1:c2:c3:c4:c5`.

        Example:
            >>> str(NATSBenchSize().parse("64:8:16:32:64"))
            '64:8:16:32:64'
        """
        parts = text.strip().split(":")
        if len(parts) != len(LAYERS) or not all(map(str.isdecimal, parts)):
            raise ValueError(
                f"not an architecture of the size space: expected {SHAPE}, such as 8:16:32:48:64, "
                f"got {text!r}"
            )
        return SizeArchitecture(tuple(map(int, parts)))

    def sample(self, rng: random.Random) -> SizeArchitecture:
        return SizeArchitecture(tuple(rng.choice(CHANNELS) for _ in LAYERS))

    def neighbours(self, architecture: SizeArchitecture) -> tuple[SizeArchitecture, ...]:
        """One layer with another number of channels: 5 * 7 = 35."""
        widths = architecture.widths
        return tuple(
            SizeArchitecture((*widths[:k], other, *widths[k + 1 :]))
            for k, width in enumerate(widths)
            for other in CHANNELS
            if other != width
        )

    def cross(
        self, first: SizeArchitecture, second: SizeArchitecture, rng: random.Random
    ) -> SizeArchitecture:
        return SizeArchitecture(crossed(first.widths, second.widths, rng))

    def enumerate(self) -> Iterator[SizeArchitecture]:
        """Every architecture once, in the order of the benchmark's indices."""
        return map(SizeArchitecture, itertools.product(CHANNELS, repeat=len(LAYERS)))

    def canonical(self, architecture: SizeArchitecture) -> SizeArchitecture:
        """Itself: no two architectures compute the same function as published."""
        return architecture

    def terms(self, architecture: SizeArchitecture) -> Mapping[SizeArchitecture, int]:
        """Each pair of successive layers, with the others at their narrowest; without each layer
        between two others, which would then count twice."""
        narrowest = (CHANNELS[0],) * len(LAYERS)

        def with_layers(start: int, stop: int) -> SizeArchitecture:
            kept = architecture.widths[start:stop]
            return SizeArchitecture((*narrowest[:start], *kept, *narrowest[stop:]))

        terms = Counter(with_layers(k, k + 2) for k in range(len(LAYERS) - 1))
        terms.subtract(with_layers(k, k + 1) for k in range(1, len(LAYERS) - 1))
        return {term: n for term, n in terms.items() if n}

    def build(
        self, architecture: SizeArchitecture, scale: Scale, *, inputs: Shape, classes: int
    ) -> nn.Module:
        """The network, on images of any size.

        Raises:
            ValueError: a scale of another space, or a size out of its range.
        """
        return SizeNetwork(
            architecture.widths,
            inputs=inputs[0],
            classes=classes,
            halvings=halvings(inputs),
            **arguments(scale, SizeScale),
        )

    def export(
        self, architecture: SizeArchitecture, scale: Scale, *, inputs: Shape, classes: int
    ) -> tuple[str, str]:
        sizes = {"inputs": inputs[0], "classes": classes, "halvings": halvings(inputs)}
        source = source_of(nasbench201_network, natsbench_size_network)
        sizes |= arguments(scale, SizeScale)
        return source, call("SizeNetwork", (architecture.widths,), sizes)

    def graphs(self, architecture: SizeArchitecture) -> tuple[CellGraph, ...]:
        """The chain of the five layers, between the stem and the classifier: `cell x64`."""
        nodes = ("input", *map(str, range(1, len(LAYERS))), "output")
        layers = zip(LAYERS, architecture.widths, strict=True)
        edges = tuple(Edge(k, k + 1, f"{name} x{w}") for k, (name, w) in enumerate(layers))
        return (CellGraph("layers", nodes, edges),)
