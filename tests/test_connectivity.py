"""Effective depth and width against the paths themselves, one by one."""

import random
from collections.abc import Iterator

import pytest
import torch

from untrained.images import Images, ProbeSpec, draw_probe
from untrained.runs.tasks import build
from untrained.scores import SCORES
from untrained.spaces import CellGraph, Connectivity, Edge, connectivity, get_space

NB201 = get_space("nasbench201")


def paths(graph: CellGraph, node: int, weights: int = 0) -> Iterator[int]:
    """For every path from a node to the last: how many convolutions it passes."""
    if node == len(graph.nodes) - 1:
        yield weights
    for edge in graph.edges:
        if edge.source == node:
            operation = edge.operation or graph.nodes[edge.target]
            yield from paths(graph, edge.target, weights + ("conv" in operation))


def of_paths(found: list[int]) -> Connectivity:
    if not sum(found):
        return Connectivity(0, 0)
    depth = sum(found) / len(found)
    return Connectivity(depth, sum(weights > 0 for weights in found) / depth)


@pytest.mark.parametrize("space", ["nasbench201", "nasbench101", "darts"])
def test_connectivity_is_that_of_all_paths(space: str) -> None:
    rng = random.Random(0)
    for _ in range(100):
        for graph in get_space(space).graphs(get_space(space).sample(rng)):
            found = [p for node in range(graph.inputs) for p in paths(graph, node)]
            assert connectivity(graph) == pytest.approx(of_paths(found))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        # The four paths of a cell, as the published code lists them: 0-1-2-3, 0-1-3, 0-2-3, 0-3.
        ("|conv~0|+|conv~0|conv~1|+|conv~0|conv~1|conv~2|", (2.0, 2.0)),  # 3, 2, 2, 1
        ("|conv~0|+|none~0|skip_connect~1|+|avg_pool_3x3~0|none~1|conv~2|", (1.0, 1.0)),  # 2, 0
        ("|none~0|+|none~0|conv~1|+|none~0|conv~1|conv~2|", (0.0, 0.0)),  # none
        ("|none~0|+|none~0|none~1|+|skip_connect~0|none~1|none~2|", (0.0, 0.0)),  # 0
    ],
)
def test_connectivity_of_cells_by_hand(text: str, expected: tuple[float, float]) -> None:
    architecture = NB201.parse(text.replace("conv~", "nor_conv_3x3~"))
    assert connectivity(NB201.graphs(architecture)[0]) == Connectivity(*expected)


def test_what_computes_the_same_has_the_same_connectivity() -> None:
    """Operations without input, or that lead nowhere, lie on no path."""
    rng = random.Random(1)
    for _ in range(50):
        one = NB201.sample(rng)
        other = NB201.canonical(one)
        assert connectivity(NB201.graphs(one)[0]) == connectivity(NB201.graphs(other)[0])


def test_operations_that_share_an_edge_make_a_path_each() -> None:
    edges = (Edge(0, 1, "nor_conv_3x3"), Edge(0, 1, "skip_connect"))
    assert connectivity(CellGraph("cell", ("input", "output"), edges)) == Connectivity(0.5, 2.0)


# As scores


@pytest.mark.parametrize("name", ["nasbench201", "nasbench101", "darts"])
def test_scores_are_means_over_the_cells_of_what_a_run_builds(name: str, digits: Images) -> None:
    space, rng = get_space(name), random.Random(2)
    probe = draw_probe(digits, ProbeSpec(1), torch.Generator())
    for _ in range(3):
        architecture = space.sample(rng)
        network = build(name, str(architecture), space.scales["small"], digits)
        cells = [
            of_paths([p for node in range(graph.inputs) for p in paths(graph, node)])
            for graph in space.graphs(architecture)
        ]
        for place, score in enumerate(("effective_depth", "effective_width")):
            found = SCORES[score]()(network, probe, torch.Generator()).value
            assert found == pytest.approx(sum(cell[place] for cell in cells) / len(cells))


def test_a_network_without_cells_has_no_connectivity(digits: Images) -> None:
    probe = draw_probe(digits, ProbeSpec(1), torch.Generator())
    for name in ("mnas", "natsbench_size"):
        space = get_space(name)
        text = str(space.sample(random.Random(0)))
        network = build(name, text, space.scales["small"], digits)
        for score in ("effective_depth", "effective_width"):
            found = SCORES[score]()(network, probe, torch.Generator())
            assert found.value is None
            assert "a space whose cells are graphs of operations" in found.reason
