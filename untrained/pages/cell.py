"""The cell graph laid out from top to bottom, to be written as inline SVG."""

import logging
import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import count
from typing import Any, NamedTuple

from untrained.spaces import CellGraph, Edge, Space

logger = logging.getLogger(__name__)

NODE_STEP = 104.0
"Vertical distance between neighbouring nodes; all lengths are in SVG units, pixels at full size."
NODE_HEIGHT = 30.0
LABEL_HEIGHT = 22.0
CHARACTER = 7.4
"Width of a character of a label."
LANE = 26.0
"Distance between the places that an arc may take."
MARGIN = 6.0
ORDERS = 8
"Orders in which arcs are placed before the narrowest drawing is taken."
BERNSTEIN = tuple(
    ((1 - t) ** 3, 3 * t * (1 - t) ** 2, 3 * t**2 * (1 - t), t**3)
    for t in (step / 24 for step in range(1, 24))
)


class Spot(NamedTuple):
    """A point of the drawing."""

    x: float
    y: float


class Box(NamedTuple):
    """A rectangle around a label or a node."""

    x: float
    y: float
    "The centre."
    width: float
    height: float

    def holds(self, spot: Spot) -> bool:
        """Whether a point lies inside."""
        x, y = abs(spot.x - self.x), abs(spot.y - self.y)
        return 2 * x < self.width and 2 * y < self.height

    def meets(self, other: "Box") -> bool:
        """Whether two rectangles overlap."""
        x, y = abs(other.x - self.x), abs(other.y - self.y)
        return 2 * x < self.width + other.width and 2 * y < self.height + other.height


@dataclass(frozen=True)
class Arc:
    """One operation, drawn as a cubic curve with its name at the middle.

    An edge without an operation has neither name nor colour.
    """

    source: str
    target: str
    operation: str
    colour: int | None
    "Index of the operation in the legend."
    curve: tuple[Spot, Spot, Spot, Spot]
    label: Box
    "Room for the name, or for nothing."

    @cached_property
    def spots(self) -> tuple[Spot, ...]:
        """Points between the ends of the curve: sum_k C(3, k) t^k (1 - t)^(3 - k) P_k."""
        (x0, y0), (x1, y1), (x2, y2), (x3, y3) = self.curve
        return tuple(
            Spot(a * x0 + b * x1 + c * x2 + d * x3, a * y0 + b * y1 + c * y2 + d * y3)
            for a, b, c, d in BERNSTEIN
        )

    @property
    def path(self) -> str:
        """The curve as SVG path data."""
        (x0, y0), *rest = self.curve
        return f"M{x0:.1f} {y0:.1f} C" + " ".join(f"{x:.1f} {y:.1f}" for x, y in rest)

    @property
    def tip(self) -> Spot:
        """Where the arrow points."""
        return self.curve[3]

    @property
    def points_to(self) -> int:
        """Direction of the arrow at its tip in degrees: 0 right, 90 down, 180 left."""
        dx = self.curve[3].x - self.curve[2].x
        return 90 if abs(dx) < 1 else (0 if dx > 0 else 180)


@dataclass(frozen=True)
class Node:
    """One node with its name."""

    name: str
    box: Box


@dataclass(frozen=True)
class CellDrawing:
    """A cell with a place for everything."""

    name: str
    nodes: tuple[Node, ...]
    arcs: tuple[Arc, ...]
    left: float
    top: float
    width: float
    height: float


def graphs_of(space: Space[Any], architecture: str) -> tuple[CellGraph, ...] | None:
    """The cells, to be drawn; None where the space cannot read the architecture."""
    try:
        return space.graphs(space.parse(architecture))
    except Exception as error:  # somebody else's space may raise anything
        logger.warning("cannot draw %s: %s: %s", architecture, type(error).__name__, error)
        return None


def operations(graphs: Sequence[CellGraph]) -> dict[str, int]:
    """Operation -> index of its colour, in the order of the alphabet."""
    names = sorted({edge.operation for graph in graphs for edge in graph.edges} - {""})
    return {name: index for index, name in enumerate(names)}


def draw_cell(graph: CellGraph, colours: Mapping[str, int]) -> CellDrawing:
    """Lay a cell out: nodes in a column, short arcs near it, longer ones farther out.

    Each arc takes the first place, going outwards to the right and left in turn, where its label
    meets no other label, node or arc, and its curve no other label or node. Of several orders in
    which arcs may choose, the one that gives the narrowest drawing is taken.
    """
    nodes = tuple(
        Node(
            name, Box(0, i * NODE_STEP, max(NODE_HEIGHT, CHARACTER * len(name) + 22), NODE_HEIGHT)
        )
        for i, name in enumerate(graph.nodes)
    )
    placed = (_placed(nodes, edges, colours) for edges in _orders(graph.edges))
    drawings = [_framed(graph.name, nodes, arcs) for arcs in placed]
    return min(drawings, key=lambda drawing: drawing.width)


def _orders(edges: Sequence[Edge]) -> Iterator[list[Edge]]:
    """Short arcs first, then that order with more and more disorder; names before the nameless."""
    rng = random.Random(0)
    for k in range(ORDERS):
        disorder = 3 * k / ORDERS
        lengths = [e.target - e.source + disorder * rng.random() for e in edges]
        keyed = sorted(zip(lengths, edges, strict=True), key=lambda p: (not p[1].operation, *p))
        yield [edge for _, edge in keyed]


def _placed(
    nodes: Sequence[Node], edges: Sequence[Edge], colours: Mapping[str, int]
) -> tuple[Arc, ...]:
    arcs: list[Arc] = []
    for edge in edges:
        places = _places(nodes, edge, colours.get(edge.operation))
        arcs.append(next(arc for arc in places if _is_free(arc, nodes, arcs)))
    return tuple(arcs)


def _places(nodes: Sequence[Node], edge: Edge, colour: int | None) -> Iterator[Arc]:
    if edge.target - edge.source == 1:
        yield _arc(nodes, edge, colour, 0.0)
    for lane in count(2):
        yield _arc(nodes, edge, colour, lane * LANE)
        yield _arc(nodes, edge, colour, -lane * LANE)


def _arc(nodes: Sequence[Node], edge: Edge, colour: int | None, reach: float) -> Arc:
    """The arc whose middle lies `reach` to the right of the column."""
    source, target = nodes[edge.source], nodes[edge.target]
    side = (reach > 0) - (reach < 0)
    start, end = _port(source, side, 1), _port(target, side, -1)
    middle = (start.x + end.x) / 2
    bend = middle + (reach - middle) / 0.75 if side else 0.0  # a cubic's middle, solved for bend
    curve = (start, Spot(bend, start.y + 8), Spot(bend, end.y - 8), end)
    width = CHARACTER * len(edge.operation) + 16
    label = Box(reach, (start.y + end.y) / 2, width, LABEL_HEIGHT)
    return Arc(source.name, target.name, edge.operation, colour, curve, label)


def _port(node: Node, side: int, end: int) -> Spot:
    """Where arcs touch a node: its left or right side, or below (`end` 1) and above it."""
    x, y, width, height = node.box
    return Spot(x + side * width / 2, y + end * 4) if side else Spot(x, y + end * height / 2)


def _is_free(arc: Arc, nodes: Sequence[Node], placed: Sequence[Arc]) -> bool:
    boxes = [*(node.box for node in nodes), *(other.label for other in placed)]
    return not (
        any(arc.label.meets(box) for box in boxes)
        or any(box.holds(spot) for box in boxes for spot in arc.spots)
        or any(arc.label.holds(spot) for other in placed for spot in other.spots)
    )


def _framed(name: str, nodes: tuple[Node, ...], arcs: tuple[Arc, ...]) -> CellDrawing:
    boxes = [*(node.box for node in nodes), *(arc.label for arc in arcs)]
    reach = [spot.x for arc in arcs for spot in arc.spots]
    left = min([*(box.x - box.width / 2 for box in boxes), *reach]) - MARGIN
    right = max([*(box.x + box.width / 2 for box in boxes), *reach]) + MARGIN
    top = -NODE_HEIGHT / 2 - MARGIN
    height = (len(nodes) - 1) * NODE_STEP + NODE_HEIGHT + 2 * MARGIN
    return CellDrawing(name, nodes, arcs, left, top, right - left, height)
