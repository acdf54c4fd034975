"""The space against the benchmark's own table and published counts."""

import itertools
import random
from functools import partial
from pathlib import Path
from typing import Any

import polars as pl
import pytest
import torch
from architectures import network_of, parameters, sampled
from naive import total
from torch import nn

from untrained.searchers import make_searcher
from untrained.spaces import CellScale, Scale, get_space
from untrained.spaces.nasbench101 import (
    OPERATIONS,
    NASBench101,
    NB101Architecture,
    cell,
    graph_hash,
    prune,
)
from untrained.spaces.nasbench101_network import GraphNetwork

SPACE = NASBench101()
# The benchmark's own example, a cell of Inception's kind; 5x5 convolutions as two 3x3.
INCEPTION = "i-c1-c3-c3-c3-mp-o:0-1,0-2,0-3,0-5,1-6,2-6,3-4,4-6,5-6"
samples = partial(sampled, SPACE)


def full_parameters(architecture: NB101Architecture) -> int:
    with torch.device("meta"):
        return parameters(network_of(SPACE, GraphNetwork, architecture, SPACE.scales["full"]))


def counted(architecture: NB101Architecture) -> int:
    """The same by the benchmark's rules, written down anew."""
    trained = SPACE.canonical(architecture)
    n, edges = len(trained.operations), trained.edges
    total, wide = 3 * 128 * 9 + 2 * 128, 128
    for stage, _ in itertools.product(range(3), range(3)):
        out = 128 << stage
        last = [i for i, j in edges if j == n - 1 and i > 0]
        channels = {v: out // len(last) + (k < out % len(last)) for k, v in enumerate(last)} | {
            n - 1: out
        }
        for v in range(n - 2, 0, -1):
            channels.setdefault(v, max([channels[j] for i, j in edges if i == v], default=0))
        for i, j in edges:
            total += (wide + 2) * channels[j] if i == 0 else 0
        for v in range(1, n - 1):
            size = {"c3": 9, "c1": 1, "mp": 0}[str(trained).split(":")[0].split("-")[v]]
            total += size * channels[v] ** 2 + 2 * channels[v] * bool(size)
        wide = out
    return total + 512 * 10 + 10


def test_hashes_and_parameters_of_the_table(data: Path) -> None:
    """Of 2,000 rows; `python experiments/nngp.py check` does all 20,000."""
    table = pl.read_parquet(data / "tables" / "nasbench101.parquet").sample(2000, seed=0)
    texts = zip(table["ops"], table["adjacency"], strict=True)
    architectures = [SPACE.parse(f"{ops}:{adjacency}") for ops, adjacency in texts]
    assert [graph_hash(a) for a in architectures] == table["hash"].to_list()
    assert [counted(a) for a in architectures] == table["params"].to_list()
    for i in random.Random(0).sample(range(len(table)), 40):
        assert full_parameters(architectures[i]) == table["params"][i]


def test_published_counts_of_small_cells() -> None:
    few = list(itertools.takewhile(lambda a: len(a.operations) <= 5, SPACE.enumerate()))
    counts = [sum(len(a.operations) == n for a in few) for n in range(2, 6)]
    assert counts == [1, 6, 84, 2441]
    assert len({graph_hash(a) for a in few}) == len(few)


def test_isomorphic_cells_are_one() -> None:
    rng = random.Random(3)
    for architecture in samples(60):
        n = len(architecture.operations)
        for _ in range(20):
            place = [0, *rng.sample(range(1, n - 1), n - 2), n - 1]
            edges = [(place[i], place[j]) for i, j in architecture.edges]
            if any(i > j for i, j in edges):
                continue
            operations = [""] * n
            for v in range(n):
                operations[place[v]] = architecture.operations[v]
            other = cell([[int((i, j) in edges) for j in range(n)] for i in range(n)], operations)
            assert graph_hash(other) == graph_hash(architecture)
            assert SPACE.canonical(other) == SPACE.canonical(architecture)
        assert SPACE.canonical(SPACE.canonical(architecture)) == SPACE.canonical(architecture)


def test_canonical_forms_tell_what_hashes_tell() -> None:
    architectures = samples(400)
    forms = {SPACE.canonical(a) for a in architectures}
    assert len(forms) == len({graph_hash(a) for a in architectures})


def test_vertices_on_no_path_do_not_count() -> None:
    dangling = SPACE.parse("i-c3-c1-mp-o:0-1,0-2,1-4,3-4")
    assert str(prune(dangling)) == "i-c3-o:0-1,1-2"
    assert SPACE.canonical(dangling) == SPACE.parse("i-c3-o:0-1,1-2")
    assert full_parameters(dangling) == full_parameters(SPACE.parse("i-c3-o:0-1,1-2"))


def test_texts_come_back() -> None:
    for architecture in samples(100):
        assert SPACE.parse(str(architecture)) == architecture
        bits = "".join(str(there) for row in architecture.matrix for there in row)
        codes = str(architecture).split(":")[0]
        assert SPACE.parse(f"{codes}:{bits}") == architecture


def test_naslibs_tuple_by_hand() -> None:
    """Input, 3x3, pool, 1x1, output, with an edge past the pool."""
    rows = "01100 00010 00010 00001 00000".replace(" ", "")
    text = str((*map(int, rows), 0, 4, 2, 3, 1))
    expected = "i-c3-mp-c1-o:0-1,0-2,1-3,2-3,3-4"
    for each in (text, text.replace(" ", ""), text.replace("(", "[").replace(")", "]")):
        assert str(SPACE.parse(each)) == expected


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("(0, 1, 0, 0, 1, 1)", "from input"),
        ("(0, 1, 0, 0, 0, 1, 0)", "NASLib's tuple of n x n digits .* got '\\(0, 1"),
        ("(0, 1, 0, 0, 0, 5)", "NASLib's tuple"),
        ("()", "NASLib's tuple"),
        ("((0, 1), 0, 0, 0, 1)", "NASLib's tuple"),
        ("(010001)", "NASLib's tuple"),
        ("(" + 40 * "1  " + "x)", "NASLib's tuple"),  # and at once
        ("(0, 2, 0, 0, 0, 1)", "0 or 1"),
        ("", "not a NAS-Bench-101 cell"),
        ("i-c3-o", "not a NAS-Bench-101 cell"),
        ("i-c3-o:0-1;1-2", "not a NAS-Bench-101 cell"),
        ("i-c5-o:0-1,1-2", "unknown operation 'c5'.*did you mean c"),
        ("i-c3-o:0-1,1-3", "expected edges from a vertex to a later one of 0 to 2, got 1-3"),
        ("i-c3-o:0-1,2-1", "no edge leads back"),
        ("i-c3-o:0-1,1-1", "no edge leads back"),
        ("i-c3-o:010001010", "no edge leads back"),
        ("i-c3-o:0100010", "3 x 3 digits"),
        ("c3-i-o:0-1,1-2", "from input"),
        ("i-i-o:0-1,1-2", "between input and output, got 'input'"),
        ("i-c3-o:0-1", "no path|none in"),
        ("i:0", "2 to 7 vertices"),
        ("i-c3-c3-c3-c3-c3-c3-o:0-1,1-7", "2 to 7 vertices, got 8"),
        (
            "i-c3-c3-c3-c3-c3-o:0-1,0-2,0-3,0-4,0-5,1-6,2-6,3-6,4-6,5-6",
            "at most 9 edges.*got 10",
        ),
    ],
)
def test_what_is_no_cell_is_refused_in_one_line(text: str, message: str) -> None:
    with pytest.raises(ValueError, match=message) as error:
        SPACE.parse(text)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("matrix", "operations", "message"),
    [
        ([[0, 1], [0, 0]], ["input", "conv3x3-bn-relu", "output"], "3 x 3 for 3 operations"),
        ([[0, 2], [0, 0]], ["input", "output"], "0 or 1 above the diagonal"),
        ([[0, 0], [1, 0]], ["input", "output"], "0 or 1 above the diagonal"),
        ([[0, 1], [0, 0]], ["input", "conv3x3-bn-relu"], "to output"),
        ([[0, 1, 0], [0, 0, 1], [0, 0, 0]], ["input", "conv5x5", "output"], "got 'conv5x5'"),
    ],
)
def test_matrices_as_the_benchmark_has_them(
    matrix: list[list[int]], operations: list[str], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        cell(matrix, operations)


def test_neighbours_are_valid_and_differ() -> None:
    for architecture in samples(20):
        neighbours = SPACE.neighbours(architecture)
        hashes = {graph_hash(a) for a in (architecture, *neighbours)}
        assert len(hashes) == 1 + len(neighbours) > 3
        for other in neighbours:
            assert len(other.edges) <= 9
            assert prune(other) == other
            assert SPACE.parse(str(other)) == other


def test_every_small_cell_is_reached_by_steps() -> None:
    """From the smallest cell, one change at a time."""
    known = {graph_hash(SPACE.parse("i-o:0-1")): SPACE.parse("i-o:0-1")}
    new = list(known.values())
    while new:
        found = {graph_hash(b): b for a in new for b in SPACE.neighbours(a)}
        new = [a for h, a in found.items() if h not in known and len(a.operations) <= 4]
        known |= {graph_hash(a): a for a in new}
    assert len(known) == 1 + 6 + 84


def naive(network: Any, architecture: NB101Architecture, x: torch.Tensor) -> torch.Tensor:
    """The network vertex by vertex, by the paper's description."""
    x = network.stem(x)
    n, edges = len(architecture.operations), architecture.edges
    for part in network.body:
        if isinstance(part, nn.MaxPool2d):
            x = nn.functional.max_pool2d(x, 2)
            continue
        values: dict[int, torch.Tensor] = {}
        for v in range(1, n):
            enter = [i for i, j in edges if j == v]
            projected = [part.projections[str(v)](x) for i in enter if i == 0]
            if v == n - 1:
                joined = [values[i] for i in enter if i > 0]
                x = total([torch.cat(joined, 1), *projected] if joined else projected)
            else:
                wide = part.channels[v]
                parts = [values[i][:, :wide] for i in enter if i > 0] + projected
                values[v] = part.vertices[str(v)](total(parts))
    return network.classifier(x.mean((2, 3)))


@pytest.mark.parametrize("text", [INCEPTION, "i-o:0-1", "i-c3-o:0-1,0-2,1-2"])
def test_networks_compute_what_the_paper_says(text: str) -> None:
    architecture = SPACE.canonical(SPACE.parse(text))
    torch.manual_seed(0)
    network = SPACE.build(architecture, CellScale(10, 2), inputs=(3, 32, 32), classes=4).eval()
    x = torch.randn(2, 3, 16, 16)
    torch.testing.assert_close(network(x), naive(network, architecture, x))


def test_random_networks_too() -> None:
    x = torch.randn(2, 3, 8, 8)
    for found in samples(15):
        architecture = SPACE.canonical(found)
        network = SPACE.build(
            architecture, SPACE.scales["small"], inputs=(3, 32, 32), classes=4
        ).eval()
        torch.testing.assert_close(network(x), naive(network, architecture, x))


def test_the_exported_source_builds_the_same_network() -> None:
    architecture, scale = SPACE.parse(INCEPTION), SPACE.scales["small"]
    source, expression = SPACE.export(architecture, scale, inputs=(3, 32, 32), classes=7)
    names: dict[str, Any] = {}
    exec(source, names)
    built = SPACE.build(architecture, scale, inputs=(3, 32, 32), classes=7)
    again = eval(expression, names)
    again.load_state_dict(built.state_dict())
    x = torch.randn(2, 3, 8, 8)
    torch.testing.assert_close(again.eval()(x), built.eval()(x))


@pytest.mark.parametrize(
    ("scale", "message"),
    [(CellScale(2, 1), "set channels to 5 or more"), (Scale(), "expected CellScale")],
)
def test_impossible_scales_are_refused(scale: Scale, message: str) -> None:
    wide = SPACE.parse("i-c3-c3-c3-o:0-1,0-2,0-3,1-4,2-4,3-4")
    with pytest.raises(ValueError, match=message):
        SPACE.build(wide, scale, inputs=(3, 32, 32), classes=2)


@pytest.mark.parametrize("searcher", ["pruning", "nasi"])
def test_searches_that_prune_say_that_there_is_no_supernet(searcher: str) -> None:
    with pytest.raises(ValueError, match=r"supernets.*try --searcher random, evolution or local"):
        make_searcher(searcher, get_space("nasbench101"), (), 1, {})


def test_drawings_show_operations_on_vertices() -> None:
    (graph,) = SPACE.graphs(SPACE.parse(INCEPTION))
    assert graph.nodes[0] == "input"
    assert graph.nodes[-1] == "output"
    assert [name.split(": ")[1] for name in graph.nodes[1:3]] == ["conv1x1", "conv3x3"]
    assert len(graph.edges) == 9
    assert not any(edge.operation for edge in graph.edges)
    assert {name for a in samples(30) for name in a.operations[1:-1]} <= set(OPERATIONS)
