"""The space against the benchmark's own numbers."""

import random
from pathlib import Path

import polars as pl
import pytest
import torch

from untrained.spaces import CellScale, get_space
from untrained.spaces.nasbench201 import NASBench201, NB201Architecture, reachable
from untrained.spaces.nasbench201_network import Cell

SPACE = NASBench201()
BEST = (
    "|nor_conv_3x3~0|+|nor_conv_3x3~0|nor_conv_3x3~1|"
    "+|skip_connect~0|nor_conv_3x3~1|nor_conv_3x3~2|"
)


def test_counts_of_the_paper() -> None:
    everything = list(SPACE.enumerate())
    assert len(everything) == len(set(everything)) == 15_625
    assert len({SPACE.canonical(a) for a in everything}) == 6_466
    assert sum(map(reachable, everything)) == 9_445


def test_text_forms_come_back() -> None:
    rng = random.Random(0)
    for architecture in [SPACE.supernet(), *(SPACE.sample(rng) for _ in range(200))]:
        assert SPACE.parse(str(architecture)) == architecture
    assert str(SPACE.parse(BEST)) == BEST


def test_partial_text_forms_come_back() -> None:
    partial = SPACE.supernet()
    rng = random.Random(1)
    while choices := SPACE.choices(partial):
        assert partial.partial
        assert SPACE.parse(str(partial)) == partial
        partial = SPACE.without(partial, rng.choice(choices))
    assert not partial.partial


def test_naslibs_numbers_by_hand() -> None:
    """Edges 0-1, 0-2, 0-3, 1-2, 1-3, 2-3; skip, none, 3x3, 1x1, pool: written out."""
    expected = (
        "|avg_pool_3x3~0|+|skip_connect~0|nor_conv_1x1~1|+|nor_conv_3x3~0|none~1|skip_connect~2|"
    )
    for text in ("(4, 0, 2, 3, 1, 0)", " [4,0,2,3,1,0] "):
        assert str(SPACE.parse(text)) == expected


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "expected"),
        ("(4, 0, 2, 3, 1)", r"NASLib's six numbers from 0 to 4, .*, got '\(4, 0"),
        ("(4, 0, 2, 3, 1, 5)", "NASLib's six numbers"),
        ("(4, 0, 2, 3, 1, True)", "NASLib's six numbers"),
        ("(4, 0, 2, 3, 1, 0.0)", "NASLib's six numbers"),
        ("(4, 0, 2, 3, 1, 0", "NASLib's six numbers"),
        ("(4, 0, 2, 3, 1, exit())", "NASLib's six numbers"),
        ("(" + "-" * 100_000 + "1)", "NASLib's six numbers"),
        ("resnet18", "expected"),
        (BEST[:-4], "expected"),
        (BEST.replace("~2", "~1"), "expected"),
        (BEST + "+|none~0|", "expected"),
        (BEST.replace("skip_connect", "skip"), "did you mean skip_connect"),
        (BEST.replace("skip_connect", ""), "an edge without an operation"),
        (BEST.replace("skip_connect", "none,"), "an edge without an operation"),
    ],
)
def test_wrong_texts_say_what_was_expected(text: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        SPACE.parse(text)


@pytest.mark.parametrize(("classes", "base"), [(10, 73_306), (100, 79_156), (120, 80_456)])
def test_parameter_formula(classes: int, base: int) -> None:
    rng = random.Random(2)
    for architecture in [SPACE.sample(rng) for _ in range(6)]:
        network = SPACE.build(architecture, CellScale(), inputs=(3, 32, 32), classes=classes)
        ones, threes = (str(architecture).count(f"nor_conv_{k}") for k in ("1x1", "3x3"))
        count = sum(p.numel() for p in network.parameters())
        assert count == base + 28_000 * ones + 243_040 * threes


def test_formula_gives_every_parameter_count_of_the_table(data: Path) -> None:
    """Together with the test above: every row's count is that of the network we build."""
    frame = pl.read_parquet(data / "tables" / "nasbench201.parquet")
    parsed = {SPACE.parse(text) for text in frame["architecture"]}
    assert parsed == set(SPACE.enumerate())
    ones = frame["architecture"].str.count_matches("nor_conv_1x1")
    threes = frame["architecture"].str.count_matches("nor_conv_3x3")
    assert (73_306 + 28_000 * ones + 243_040 * threes == frame["cifar10_params"]).all()


def test_edge_order_by_isomorphic_rows_having_like_accuracies(data: Path) -> None:
    """Isomorphic strings were trained apart; under a wrong edge order they would differ widely."""
    frame = pl.read_parquet(data / "tables" / "nasbench201.parquet")
    canonical = [str(SPACE.canonical(SPACE.parse(text))) for text in frame["architecture"]]
    spread = (
        frame.with_columns(canonical=pl.Series(canonical))
        .group_by("canonical")
        .agg(pl.col("cifar10_test_200").std())["cifar10_test_200"]
    )
    median = spread.drop_nulls().median()
    assert isinstance(median, float)
    assert median < 0.003


def naive_cell(cell: Cell, architecture: NB201Architecture, x: torch.Tensor) -> torch.Tensor:
    """The cell by its definition, edges named as in the text form."""
    operations = [
        [cell.get_submodule(f"edges.{i}_{j}.{name}") for name in kept if name != "none"]
        for (i, j), kept in zip(
            [(0, 1), (0, 2), (1, 2), (0, 3), (1, 3), (2, 3)], architecture.edges, strict=True
        )
    ]

    def edge(e: int, node: torch.Tensor) -> torch.Tensor:
        return sum((o(node) for o in operations[e]), torch.zeros_like(node)) / len(
            architecture.edges[e]
        )

    first = edge(0, x)
    second = edge(1, x) + edge(2, first)
    return edge(3, x) + edge(4, first) + edge(5, second)


@pytest.mark.parametrize("seed", range(8))
def test_cell_against_its_definition(seed: int) -> None:
    rng = random.Random(seed)
    architecture = SPACE.supernet() if seed == 0 else SPACE.sample(rng)
    cell = Cell(architecture.edges, 4).double().eval()
    x = torch.randn(2, 4, 5, 5, dtype=torch.float64, generator=torch.manual_seed(seed))
    torch.testing.assert_close(cell(x), naive_cell(cell, architecture, x))


def outcome(architecture: NB201Architecture) -> torch.Tensor:
    """The cell as a function, with one fixed map for each kind of operation."""
    generator = torch.Generator().manual_seed(0)
    a, b, x = (torch.randn(n, 6, dtype=torch.float64, generator=generator) for n in (6, 6, 6))
    maps = {
        "none": torch.zeros_like,
        "skip_connect": lambda node: node,
        "nor_conv_1x1": lambda node: torch.tanh(a @ node),
        "nor_conv_3x3": lambda node: torch.sin(b @ node),
        "avg_pool_3x3": lambda node: node.cumsum(0),
    }
    o = [maps[kept[0]] for kept in architecture.edges]
    first = o[0](x)
    second = o[1](x) + o[2](first)
    return o[3](x) + o[4](first) + o[5](second)


def test_canonical_forms_compute_the_same_function() -> None:
    rng = random.Random(3)
    moved = 0
    for architecture in [SPACE.sample(rng) for _ in range(300)]:
        canonical = SPACE.canonical(architecture)
        torch.testing.assert_close(outcome(canonical), outcome(architecture))
        assert SPACE.canonical(canonical) == canonical
        moved += canonical != architecture
    assert moved > 50


def test_neighbours_differ_in_one_edge() -> None:
    architecture = SPACE.parse(BEST)
    neighbours = SPACE.neighbours(architecture)
    assert len(set(neighbours)) == 24
    for other in neighbours:
        pairs = zip(architecture.edges, other.edges, strict=True)
        assert sum(a != b for a, b in pairs) == 1
    assert SPACE.mutate(architecture, random.Random(0)) in neighbours


@pytest.mark.parametrize("side", [1, 3, 7, 8, 32])
@pytest.mark.parametrize("inputs", [1, 3])
def test_any_input_size_and_class_count(side: int, inputs: int) -> None:
    network = SPACE.build(
        SPACE.supernet(), SPACE.scales["small"], inputs=(inputs, side, side), classes=7
    )
    assert network(torch.randn(2, inputs, side, side)).shape == (2, 7)


def test_thin_network_has_the_published_number_of_neurons() -> None:
    network = SPACE.build(SPACE.supernet(), SPACE.scales["thin"], inputs=(1, 32, 32), classes=10)
    neurons = []
    for module in network.modules():
        if isinstance(module, torch.nn.ReLU):
            module.register_forward_hook(lambda m, i, output: neurons.append(output[0].numel()))
    network(torch.randn(4, 1, 3, 3))
    assert sum(neurons) == 117


def test_a_network_without_stem_needs_as_many_channels_as_the_images() -> None:
    with pytest.raises(ValueError, match="without a stem"):
        SPACE.build(SPACE.supernet(), SPACE.scales["thin"], inputs=(3, 32, 32), classes=10)


def test_graph_leaves_none_out() -> None:
    (graph,) = SPACE.graphs(SPACE.parse(BEST.replace("skip_connect", "none")))
    assert len(graph.edges) == 5
    assert graph.nodes == ("input", "1", "2", "output")


def test_unknown_space_names_the_nearest() -> None:
    with pytest.raises(ValueError, match="nasbench201"):
        get_space("nasbench210")
