"""The space against published numbers, and its networks against their definition."""

import ast
import itertools
import random
import re
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import torch
from architectures import network_of, parameters, sampled
from torch import Tensor, nn

from untrained.kernels import ntk
from untrained.spaces import Choice, Scale, get_space, prunable
from untrained.spaces.darts import (
    DARTS,
    DARTSArchitecture,
    DARTSScale,
    genotype,
    nasbench301,
)
from untrained.spaces.darts_network import (
    EDGES,
    OPERATIONS,
    AuxiliaryHead,
    Cell,
    DARTSNetwork,
    FactorizedReduce,
)

SPACE = DARTS()
NAMES = tuple(OPERATIONS)
# The cells of Liu et al. (second order), Chen et al. (P-DARTS, https://arxiv.org/abs/1904.12760)
# and Xu et al. (PC-DARTS on CIFAR-10, https://arxiv.org/abs/1907.05737), as their authors give
# them, with the parameters in millions that their papers print for CIFAR-10 and ImageNet.
DARTS_V2 = (
    "Genotype(normal=[('sep_conv_3x3', 0), ('sep_conv_3x3', 1), ('sep_conv_3x3', 0), "
    "('sep_conv_3x3', 1), ('sep_conv_3x3', 1), ('skip_connect', 0), ('skip_connect', 0), "
    "('dil_conv_3x3', 2)], normal_concat=[2, 3, 4, 5], reduce=[('max_pool_3x3', 0), "
    "('max_pool_3x3', 1), ('skip_connect', 2), ('max_pool_3x3', 1), ('max_pool_3x3', 0), "
    "('skip_connect', 2), ('skip_connect', 2), ('max_pool_3x3', 1)], reduce_concat=[2, 3, 4, 5])"
)
P_DARTS = (
    "Genotype(normal=[('skip_connect', 0), ('dil_conv_3x3', 1), ('skip_connect', 0), "
    "('sep_conv_3x3', 1), ('sep_conv_3x3', 1), ('sep_conv_3x3', 3), ('sep_conv_3x3', 0), "
    "('dil_conv_5x5', 4)], normal_concat=range(2, 6), reduce=[('avg_pool_3x3', 0), "
    "('sep_conv_5x5', 1), ('sep_conv_3x3', 0), ('dil_conv_5x5', 2), ('max_pool_3x3', 0), "
    "('dil_conv_3x3', 1), ('dil_conv_3x3', 1), ('dil_conv_5x5', 3)], "
    "reduce_concat=range(2, 6))"
)
PC_DARTS = (
    "Genotype(normal=[('sep_conv_3x3', 1), ('skip_connect', 0), ('sep_conv_3x3', 0), "
    "('dil_conv_3x3', 1), ('sep_conv_5x5', 0), ('sep_conv_3x3', 1), ('avg_pool_3x3', 0), "
    "('dil_conv_3x3', 1)], normal_concat=range(2, 6), reduce=[('sep_conv_5x5', 1), "
    "('max_pool_3x3', 0), ('sep_conv_5x5', 1), ('sep_conv_5x5', 2), ('sep_conv_3x3', 0), "
    "('sep_conv_3x3', 3), ('sep_conv_3x3', 1), ('sep_conv_3x3', 2)], reduce_concat=range(2, 6))"
)
NODE = "|sep_conv_3x3~0|skip_connect~1|"
CELL = "+".join([NODE] * 4)
TEXT = f"normal:{CELL}/reduction:{CELL}"
POOLED = TEXT.replace("sep_conv_3x3", "max_pool_3x3").replace("skip_connect", "avg_pool_3x3")
PUBLISHED_PAIRS = [[0, 3], [1, 2]] * 4
ONE_SOURCE = TEXT.replace(CELL, f"{NODE}+|none~0|none~1|+|sep_conv_3x3~3|sep_conv_3x3~3|+{NODE}")
samples = partial(sampled, SPACE)
built = partial(network_of, SPACE, DARTSNetwork)


# Text forms


def test_text_forms_come_back() -> None:
    for architecture in [SPACE.supernet(), *samples(100)]:
        assert SPACE.parse(str(architecture)) == architecture
        assert " " not in str(architecture)
    assert str(SPACE.parse(TEXT)) == TEXT
    assert str(SPACE.parse(f"[{PUBLISHED_PAIRS}, {PUBLISHED_PAIRS}]")) == TEXT


def test_published_forms_come_back() -> None:
    for architecture in samples(50):
        assert SPACE.parse(genotype(architecture)) == architecture
        assert SPACE.parse(nasbench301(architecture)) == architecture
    assert str(SPACE.parse(DARTS_V2)).startswith(
        "normal:|sep_conv_3x3~0|sep_conv_3x3~1|+|sep_conv_3x3~0|sep_conv_3x3~1|+"
    )
    alone = DARTS_V2.replace("normal_concat=[2, 3, 4, 5], ", "").replace(
        ", reduce_concat=[2, 3, 4, 5]", ""
    )
    assert SPACE.parse(alone) == SPACE.parse(DARTS_V2)


def test_pairs_nested_by_node_and_dictionaries() -> None:
    """As reimplementations of DARTS and GDAS print them, with the weights of NumPy and without."""
    weight = np.random.default_rng(0).random
    for architecture in samples(20):
        call = ast.parse(genotype(architecture), mode="eval").body
        assert isinstance(call, ast.Call)
        flat = [ast.literal_eval(call.keywords[k].value) for k in (0, 2)]
        nested = [[tuple(cell[k : k + 2]) for k in (0, 2, 4, 6)] for cell in flat]
        weighed = [
            [tuple((*p, weight(dtype=np.float32)) for p in node) for node in c] for c in nested
        ]
        for normal, reduction in (flat, nested, weighed):
            gdas = {"normal": normal, "normal_concat": [2, 3, 4, 5]}
            gdas |= {"reduce": reduction, "reduce_concat": [2, 3, 4, 5]}
            assert SPACE.parse(str(gdas)) == architecture
            assert SPACE.parse(f"Genotype(normal={normal}, reduce={reduction})") == architecture
            assert SPACE.parse(re.sub(r"np\S+\((\S+)\)", r"\1", str(gdas))) == architecture
        assert SPACE.parse(str(nested)) == architecture


def test_published_forms_hold_discrete_architectures_alone() -> None:
    for write in (genotype, nasbench301):
        with pytest.raises(ValueError, match="discrete"):
            write(SPACE.supernet())


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "not a DARTS architecture"),
        ("resnet18", "not a DARTS architecture"),
        (CELL, "not a DARTS architecture"),
        (TEXT[:-1], "four nodes"),
        (TEXT + "+" + NODE, "four nodes"),
        (TEXT.replace("skip_connect", "skip", 1), "did you mean skip_connect"),
        (TEXT.replace("skip_connect", "skip_connect,none", 1), "leave the edge out"),
        (TEXT.replace("skip_connect", "", 1), "leave the edge out"),
        (TEXT.replace("|skip_connect~1", "", 1), "node 2 of the normal cell has too few inputs"),
        (TEXT.replace(NODE, "|skip_connect,sep_conv_3x3~0|", 1), "node 2 .* too few inputs"),
        (TEXT.replace(NODE, NODE + "skip_connect~0|", 1), "takes node 0 twice"),
        (TEXT.replace("connect~1", "connect,sep_conv_3x3~0", 1), "takes node 0 twice"),
        (TEXT.replace("~1", "~3", 1), "takes node 3: expected an earlier node, 0 to 1"),
        (DARTS_V2[:-1], "not a Genotype"),
        (DARTS_V2 + ")", "not a Genotype"),
        ("Genotype(normal=[])", "expected normal=.* and reduce="),
        ("Genotype", "expected normal=.* and reduce="),
        (DARTS_V2.replace("normal=", "normals="), "expected normal=.* and reduce="),
        (DARTS_V2.replace("[2, 3, 4, 5]", "[4, 5]"), "the four nodes"),
        (DARTS_V2.replace("[2, 3, 4, 5]", "range(3, 6)"), "the four nodes"),
        (DARTS_V2.replace("[2, 3, 4, 5]", "open('x')"), "the four nodes"),
        (DARTS_V2.replace("('skip_connect', 0), ", "", 1), "8 pairs .* got 7"),
        (DARTS_V2.replace("('skip_connect', 0)", "exit()", 1), "8 pairs"),
        (DARTS_V2.replace("'skip_connect', 0", "'skip_connect'", 1), "expected a pair"),
        (DARTS_V2.replace("skip_connect", "skip_conect", 1), "did you mean skip_connect"),
        (DARTS_V2.replace("('dil_conv_3x3', 2)", "('dil_conv_3x3', 5)"), "earlier node, 0 to 4"),
        ("{}", "expected normal=.* and reduce="),
        ("{'normal'}", "expected normal=.* and reduce="),
        ("{'normal': [], 'reduction': []}", "expected normal=.* and reduce="),
        ("{'normal': 3, 'reduce': []}", "the normal cell: expected 8 pairs .* got 3"),
        ("{'normal': [], 'reduce': []", "not a Genotype"),
        ("Genotype(" + 20_000 * "-", "not a Genotype: .*nested too deeply"),
        ("Genotype(" + 50_000 * "1+" + "1)", "not a Genotype: .*nested too deeply"),
        ("[" + 20_000 * "-", "cut or unbalanced"),
        (str({"normal": [("skip_connect", 0, "w")] * 8, "reduce": []}), "expected a pair"),
        (str({"normal": [[("skip_connect", 0)] * 2] * 4, "reduce": []}), "reduction .* got 0"),
        (f"[{PUBLISHED_PAIRS}]", "two cells"),
        (f"[{PUBLISHED_PAIRS}, {PUBLISHED_PAIRS[:-1]}]", "8 pairs .* got 7"),
        (f"[{PUBLISHED_PAIRS}, {PUBLISHED_PAIRS}", "unbalanced"),
        (f"[{PUBLISHED_PAIRS}, {PUBLISHED_PAIRS}]".replace("3", "7", 1), "operations from 0"),
        (f"[{PUBLISHED_PAIRS}, {PUBLISHED_PAIRS}]".replace("3", "-1", 1), "operations from 0"),
        (f"[{PUBLISHED_PAIRS}, {PUBLISHED_PAIRS}]".replace("3", "'x'", 1), "unknown operation"),
    ],
)
def test_wrong_texts_say_what_was_expected(text: str, message: str) -> None:
    with pytest.raises(ValueError, match=message) as error:
        SPACE.parse(text)
    assert "\n" not in str(error.value)


# Published numbers


@pytest.mark.parametrize(
    ("text", "cifar", "imagenet"),
    [(DARTS_V2, 3.3, 4.7), (P_DARTS, 3.4, 4.9), (PC_DARTS, 3.6, 5.3)],
)
def test_published_parameter_counts(text: str, cifar: float, imagenet: float) -> None:
    architecture = SPACE.parse(text)
    with torch.device("meta"):
        full = built(architecture, SPACE.scales["full"])
        large = built(architecture, SPACE.scales["imagenet"], classes=1000)
    assert round(parameters(full) / 1e6, 1) == cifar
    assert round(parameters(large) / 1e6, 1) == imagenet


def test_parameter_count_that_the_authors_code_prints() -> None:
    with torch.device("meta"):
        assert parameters(built(SPACE.parse(DARTS_V2), DARTSScale())) == 3_349_342


def widths(scale: DARTSScale) -> list[tuple[int, bool]]:
    """Channels of each cell, and whether it reduces."""
    channels, found = scale.channels, []
    for k in range(scale.cells):
        reduces = k in [s * scale.cells // scale.stages for s in range(1, scale.stages)]
        channels *= 1 + reduces
        found.append((channels, reduces))
    return found


class TableCounts:
    """Parameters, and multiply-adds apart from a constant, as NAS-Bench-301's table has them.

    Its networks are those of NASLib: BatchNorms of operations count in no parameters, and there
    is one after each pooling; ReLU and BatchNorm count as one multiply-add a value, pooling as 9.
    """

    def __init__(self) -> None:
        self.known: dict[tuple[str, int, int, int], tuple[int, int]] = {}

    def of(self, architecture: DARTSArchitecture) -> tuple[int, int]:
        totals = [0, 0]
        side = 32
        for channels, reduces in widths(SPACE.scales["nasbench301"]):
            edges = architecture.reduction if reduces else architecture.normal
            for (i, _), kept in zip(EDGES, edges, strict=True):
                for name in kept:
                    stride = 2 if reduces and i < 2 else 1
                    here = side // 2 if reduces and i > 1 else side
                    for k, count in enumerate(self.operation(name, channels, stride, here)):
                        totals[k] += count
            side //= 1 + reduces
        return totals[0], totals[1]

    def operation(self, name: str, channels: int, stride: int, side: int) -> tuple[int, int]:
        key = (name, channels, stride, side)
        if key not in self.known:
            with torch.device("meta"):
                operation = OPERATIONS[name](channels, stride)
                adds = counted(operation, torch.zeros(1, channels, side, side))
            norms = [m for m in operation.modules() if isinstance(m, nn.BatchNorm2d)]
            self.known[key] = (parameters(operation) - sum(map(parameters, norms)), adds)
        return self.known[key]


def counted(operation: nn.Module, x: Tensor) -> int:
    total = 0

    def count(module: nn.Module, _: object, output: Tensor) -> None:
        nonlocal total
        each = {nn.BatchNorm2d: 1, nn.ReLU: 1, nn.MaxPool2d: 10, nn.AvgPool2d: 10}
        if isinstance(module, nn.Conv2d):
            total += output.numel() * module.weight[0].numel()
        total += output.numel() * each.get(type(module), 0)

    for module in operation.modules():
        module.register_forward_hook(count)
    operation.eval()(x)
    return total


def test_every_row_of_nasbench301(data: Path) -> None:
    frame = pl.read_parquet(data / "tables" / "nasbench301_725.parquet")
    scale = SPACE.scales["nasbench301"]
    counts = TableCounts()
    with torch.device("meta"):
        network = built(SPACE.parse(frame["architecture"][0]), scale)
    operations = {name: p for name, p in network.named_parameters() if ".edges." in name}
    base = parameters(network) - sum(p.numel() for p in operations.values())
    constants = []
    for text, millions, adds in frame["architecture", "params", "flops"].iter_rows():
        architecture = SPACE.parse(text)
        assert by_node(nasbench301(architecture)) == by_node(text)
        own_parameters, own_adds = counts.of(architecture)
        assert round((base + own_parameters) / 1e6, 6) == millions
        constants.append(adds - own_adds / 1e6)
    assert max(constants) - min(constants) < 1.01e-4  # the table has four decimals
    norms = sum(p.numel() for p in operations.values() if p.ndim == 1)
    expected = round((parameters(network) - norms) / 1e6, 6)
    assert expected == frame["params"][0]  # the sum over operations is the network's


def by_node(text: str) -> list[list[list[int]]]:
    """The table's pairs of a node stand in any order."""
    return [[sorted(cell[k : k + 2]) for k in (0, 2, 4, 6)] for cell in ast.literal_eval(text)]


# Both inputs of a node from one, and inputs of zeros, as in genotypes that were trained


def trained(data: Path) -> pl.Series:
    return pl.read_parquet(data / "tables" / "darts_trained_600.parquet")["genotype"]


def test_every_trained_genotype_is_read(data: Path) -> None:
    for text in trained(data):
        architecture = SPACE.parse(text)
        assert not architecture.partial
        assert (
            SPACE.parse(str(architecture)) == SPACE.parse(genotype(architecture)) == architecture
        )
        assert SPACE.choices(architecture) == ()
        assert SPACE.crowded(architecture) == ()
        canonical = SPACE.canonical(architecture)
        assert SPACE.canonical(canonical) == canonical
        call = ast.parse(text, mode="eval").body
        assert isinstance(call, ast.Call)
        for k, edges in ((0, architecture.normal), (2, architecture.reduction)):
            pairs = ast.literal_eval(call.keywords[k].value)
            expected = Counter((i, j // 2 + 2, name) for j, (name, i) in enumerate(pairs))
            assert expected == Counter(
                (*edge, name) for edge, kept in zip(EDGES, edges, strict=True) for name in kept
            )


def alone(*operations: str) -> str:
    """An architecture whose node 2 of the normal cell has these inputs, all from node 0."""
    node = "|" + "|".join(f"{operation}~0" for operation in operations) + "|"
    return TEXT.replace(NODE, node, 1)


def test_operations_from_one_node_come_in_one_order() -> None:
    one = SPACE.parse(alone("skip_connect", "sep_conv_3x3"))
    assert one == SPACE.parse(alone("sep_conv_3x3", "skip_connect"))
    assert one.normal[0] == ("skip_connect", "sep_conv_3x3")
    same = SPACE.parse(alone("sep_conv_3x3", "sep_conv_3x3"))
    assert same.normal[0] == ("sep_conv_3x3", "sep_conv_3x3")
    assert len({one, same, SPACE.parse(TEXT)}) == 3


def test_none_is_the_same_from_everywhere() -> None:
    texts = [TEXT[: -len(NODE)] + f"|sep_conv_3x3~3|none~{i}|" for i in range(5)]
    one, *others = {SPACE.canonical(SPACE.parse(text)) for text in texts}
    assert not others
    assert [edge.operation for edge in SPACE.graphs(one)[1].edges].count("none") == 0
    with pytest.raises(ValueError, match="no index for none"):
        nasbench301(one)


def test_neighbours_of_a_node_with_one_source_lead_away_from_it() -> None:
    two = SPACE.parse(alone("skip_connect", "sep_conv_3x3"))
    neighbours = SPACE.neighbours(two)
    assert len(set(neighbours)) == len(neighbours) == 120 + 2
    assert not any(other.partial for other in neighbours)
    assert SPACE.parse(TEXT) in neighbours
    assert two not in SPACE.neighbours(SPACE.parse(TEXT))
    same = SPACE.neighbours(SPACE.parse(alone("none", "none")))
    assert len(set(same)) == len(same) == 120 - 2 * 6 + 7 + 1
    assert SPACE.mutate(two, random.Random(0)) in neighbours


def test_pruning_does_not_end_in_a_node_with_one_source() -> None:
    kept = "|skip_connect,sep_conv_3x3~0|skip_connect~1|"
    partial = SPACE.parse(TEXT.replace(NODE, kept, 1))
    with pytest.raises(ValueError, match="node 2 of the normal cell has too few inputs"):
        SPACE.without(partial, Choice(1, "skip_connect"))


def test_networks_of_trained_genotypes_against_their_definition(data: Path) -> None:
    """Every pair of a genotype is a term of its node's sum."""
    torch.manual_seed(0)
    scale = DARTSScale(channels=2, cells=2, stages=2)
    for text in trained(data).sample(10, seed=0):
        architecture = SPACE.parse(text)
        network = built(architecture, scale).double().eval()
        cells = (architecture.normal, architecture.reduction)
        for cell, edges, width in zip(network.cells, cells, (6, 8), strict=True):
            assert isinstance(cell, Cell)
            x = torch.randn(2, width, 7, 7, dtype=torch.float64)
            before = torch.randn(2, 6, 7, 7, dtype=torch.float64)
            nodes = [cell.before_last(before), cell.last(x)]
            for node in range(2, 6):
                terms = []
                for (i, j), kept in zip(EDGES, edges, strict=True):
                    if j == node and kept:
                        modules = cell.get_submodule(f"edges.{i}_{j}").children()
                        terms += [
                            module(nodes[i]) * (name != "none")
                            for name, module in zip(kept, modules, strict=True)
                        ]
                assert len(terms) == 2
                nodes.append(terms[0] + terms[1])
            torch.testing.assert_close(cell(before, x, 0.0), torch.cat(nodes[2:], 1))
        assert parameters(network) - sum(
            parameters(OPERATIONS[name](width, stride))
            for edges, width, reduces in (
                (architecture.normal, 2, False),
                (architecture.reduction, 4, True),
            )
            for (i, _), kept in zip(EDGES, edges, strict=True)
            for name in kept
            for stride in [2 if reduces and i < 2 else 1]
            if name != "none"
        ) == parameters(built(SPACE.parse(POOLED), scale))


# The space


def test_impossible_architectures_are_refused() -> None:
    architecture = SPACE.parse(TEXT)
    with pytest.raises(ValueError, match="node 2 of the reduction cell has too few inputs"):
        SPACE.without(architecture, Choice(14, "sep_conv_3x3"))
    with pytest.raises(ValueError, match="got 0"):
        DARTSArchitecture(((),) * 14, ((),) * 14)


def test_partial_is_more_than_two_edges_or_one_operation() -> None:
    assert not SPACE.parse(TEXT).partial
    assert SPACE.parse(TEXT.replace("skip_connect", "skip_connect,sep_conv_3x3", 1)).partial
    three = TEXT[: -len(NODE)] + NODE + "dil_conv_3x3~4|"
    assert SPACE.parse(three).partial
    assert SPACE.supernet().partial


def test_samples_cover_operations_and_inputs_alike() -> None:
    inputs: Counter[tuple[int, tuple[int, ...]]] = Counter()
    operations: Counter[str] = Counter()
    for architecture in samples(2000):
        assert not architecture.partial
        for cell in (architecture.normal, architecture.reduction):
            for node in range(2, 6):
                chosen = tuple(
                    i for (i, j), kept in zip(EDGES, cell, strict=True) if j == node and kept
                )
                inputs[node, chosen] += 1
            operations.update(name for kept in cell for name in kept)
    assert len(inputs) == 1 + 3 + 6 + 10
    for (node, _), count in inputs.items():
        expected = 4000 / (node * (node - 1) / 2)
        assert abs(count - expected) < 5 * expected**0.5
    assert set(operations) == set(NAMES)
    assert all(abs(count - 32000 / 7) < 5 * (32000 / 7) ** 0.5 for count in operations.values())


def test_neighbours_differ_in_one_choice_and_are_mutual() -> None:
    for architecture in samples(3):
        neighbours = SPACE.neighbours(architecture)
        assert len(set(neighbours)) == len(neighbours) == 8 * 2 * 6 + 2 * (2 + 4 + 6)
        assert architecture not in neighbours
        assert not any(other.partial for other in neighbours)
        some = random.Random(0).sample(neighbours, 20)
        assert all(architecture in SPACE.neighbours(other) for other in some)
    assert SPACE.mutate(architecture, random.Random(0)) in neighbours


def test_enumeration_goes_on_without_repeating() -> None:
    first = list(itertools.islice(SPACE.enumerate(), 2000))
    assert len(set(first)) == 2000
    assert not any(architecture.partial for architecture in first)


def test_pruning_goes_down_to_a_discrete_architecture() -> None:
    rng = random.Random(0)
    architecture = SPACE.supernet()
    assert len(SPACE.choices(architecture)) == 28 * 7
    while choices := SPACE.choices(architecture):
        architecture = SPACE.without(architecture, rng.choice(choices))
        assert SPACE.parse(str(architecture)) == architecture
    crowds = SPACE.crowded(architecture)
    assert [len(crowd.choices) for crowd in crowds] == [3, 4, 5] * 2
    assert {crowd.keep for crowd in crowds} == {2}
    edges = (*architecture.normal, *architecture.reduction)
    assert all(edges[choice.edge] == (choice.operation,) for c in crowds for choice in c.choices)
    assert len({choice.edge for crowd in crowds for choice in crowd.choices}) == 24
    for crowd in crowds:
        assert architecture.partial
        left = rng.sample(crowd.choices, len(crowd.choices) - crowd.keep)
        architecture = SPACE.without(architecture, *left)
        assert SPACE.parse(str(architecture)) == architecture
    assert not architecture.partial
    assert SPACE.crowded(architecture) == ()


def test_other_spaces_are_never_crowded() -> None:
    other = prunable(get_space("nasbench201"))
    assert other.crowded(other.supernet()) == ()
    assert (other.removed_at_once, SPACE.removed_at_once) == (1, 3)


def test_choices_are_described_by_cell_and_nodes() -> None:
    assert SPACE.describe(Choice(0, "sep_conv_3x3")) == "sep_conv_3x3 on 0-2 of the normal cell"
    assert (
        SPACE.describe(Choice(27, "max_pool_3x3")) == "max_pool_3x3 on 4-5 of the reduction cell"
    )


def test_graphs_have_the_kept_operations_and_the_output() -> None:
    normal, reduction = SPACE.graphs(SPACE.parse(DARTS_V2))
    assert (normal.name, reduction.name) == ("normal", "reduction")
    assert len(normal.edges) == len(reduction.edges) == 12
    assert normal.nodes == ("c_{k-2}", "c_{k-1}", "2", "3", "4", "5", "output")
    assert (2, 5, "dil_conv_3x3") in normal.edges
    assert [edge.source for edge in normal.edges if edge.target == 6] == [2, 3, 4, 5]


# Isomorphic cells


def relabelled(cell: tuple[tuple[str, ...], ...], new: dict[int, int]) -> list[tuple[str, ...]]:
    edges = dict(zip(EDGES, cell, strict=True))
    moved = {(new[i], new[j]): kept for (i, j), kept in edges.items() if kept}
    return [moved.get(edge, ()) for edge in EDGES]


def orders(cell: tuple[tuple[str, ...], ...]) -> list[dict[int, int]]:
    """Every way to number the nodes anew with inputs before their targets."""
    present = [edge for edge, kept in zip(EDGES, cell, strict=True) if kept]
    found = []
    for permuted in itertools.permutations(range(2, 6)):
        new = {0: 0, 1: 1} | {k + 2: node for k, node in enumerate(permuted)}
        if all(new[i] < new[j] for i, j in present):
            found.append(new)
    return found


def node_values(cell: tuple[tuple[str, ...], ...]) -> Tensor:
    """What the four nodes hold under one fixed map for each operation, in no order of nodes."""
    nodes = [torch.tensor(0.3).double(), torch.tensor(0.7).double()]
    for node in range(2, 6):
        terms = [
            torch.sin((2.1 + NAMES.index(name)) * nodes[i] + NAMES.index(name))
            for (i, j), kept in zip(EDGES, cell, strict=True)
            for name in kept
            if j == node
        ]
        nodes.append(sum(terms[1:], terms[0]))
    return torch.stack(nodes[2:]).sort().values


def test_canonical_cells_are_shared_by_isomorphic_ones() -> None:
    rng = random.Random(0)
    moved = 0
    for architecture in samples(300):
        canonical = SPACE.canonical(architecture)
        assert SPACE.canonical(canonical) == canonical
        for cell, other in (
            (architecture.normal, canonical.normal),
            (architecture.reduction, canonical.reduction),
        ):
            torch.testing.assert_close(node_values(cell), node_values(other))
        twin = DARTSArchitecture(
            *(
                tuple(relabelled(cell, rng.choice(orders(cell))))
                for cell in (architecture.normal, architecture.reduction)
            )
        )
        assert SPACE.canonical(twin) == canonical <= twin
        moved += canonical != architecture
    assert moved > 50
    assert SPACE.canonical(SPACE.supernet()) == SPACE.supernet()


def test_isomorphic_cells_give_one_function_under_permuted_weights() -> None:
    """Nodes permuted, and with them the columns of all that reads their concatenation."""
    scale = DARTSScale(channels=2, cells=3, stages=2)
    architecture = next(
        a for a in samples(99) if min(len(orders(c)) for c in (a.normal, a.reduction)) > 1
    )
    news = [orders(cell)[-1] for cell in (architecture.normal, architecture.reduction)]
    twin = DARTSArchitecture(
        *(
            tuple(relabelled(cell, new))
            for cell, new in zip((architecture.normal, architecture.reduction), news, strict=True)
        )
    )
    assert twin != architecture
    one, other = (built(a, scale).double().eval() for a in (architecture, twin))
    weights = {}
    reduces = [reduced for _, reduced in widths(scale)]
    readers = {"cells.1.last": 0, "cells.2.before_last": 0, "cells.2.last": 1, "classifier": 2}
    for name, value in one.state_dict().items():
        parts = name.split(".")
        if ".edges." in name:
            i, j = map(int, parts[3].split("_"))
            new = news[reduces[int(parts[1])]]
            parts[3] = f"{new[i]}_{new[j]}"
        reader = next((r for r in readers if name.startswith(r)), None)
        if reader is not None and value.ndim > 1:
            new = news[reduces[readers[reader]]]
            blocks = value.chunk(4, 1)
            value = torch.cat([blocks[k - 2] for k in sorted(range(2, 6), key=new.__getitem__)], 1)
        weights[".".join(parts)] = value
    other.load_state_dict(weights)
    x = torch.randn(2, 3, 8, 8, dtype=torch.float64)
    torch.testing.assert_close(other(x), one(x))


# The networks


def naive_cell(
    cell: Cell, edges: tuple[tuple[str, ...], ...], before_last: Tensor, last: Tensor
) -> Tensor:
    """The cell by its definition, each operation applied on its own."""
    nodes = [cell.before_last(before_last), cell.last(last)]
    for node in range(2, 6):
        total = torch.zeros(())
        for (i, j), kept in zip(EDGES, edges, strict=True):
            if j == node and kept:
                results = [cell.get_submodule(f"edges.{i}_{j}.{name}")(nodes[i]) for name in kept]
                total = total + torch.stack(results).mean(0)
        nodes.append(total)
    return torch.cat(nodes[2:], 1)


@pytest.mark.parametrize("reduction", [False, True])
@pytest.mark.parametrize("after_reduction", [False, True])
@pytest.mark.parametrize("seed", range(3))
def test_cell_against_its_definition(reduction: bool, after_reduction: bool, seed: int) -> None:
    torch.manual_seed(seed)
    architecture = SPACE.supernet() if seed == 0 else samples(1, seed)[0]
    edges = architecture.reduction if reduction else architecture.normal
    cell = Cell(edges, 6, 5, 4, reduction, after_reduction).double().eval()
    side = 14 if after_reduction else 7
    before_last = torch.randn(2, 6, side, side, dtype=torch.float64)
    last = torch.randn(2, 5, 7, 7, dtype=torch.float64)
    output = cell(before_last, last, 0.0)
    assert output.shape == (2, 16, *((4, 4) if reduction else (7, 7)))
    torch.testing.assert_close(output, naive_cell(cell, edges, before_last, last))


@pytest.mark.parametrize("side", [1, 6, 7])
def test_a_factorised_reduction_reads_even_and_odd_pixels(side: int) -> None:
    reduce = FactorizedReduce(3, 4).eval()
    x = torch.rand(2, 3, side, side)
    half = -(-side // 2)
    odd = torch.zeros(2, 3, half, half)
    odd[:, :, : side // 2, : side // 2] = x[:, :, 1::2, 1::2]
    weights = [conv.weight[:, :, 0, 0] for conv in (reduce.even, reduce.odd)]
    expected = torch.cat(
        [
            torch.einsum("oc,ncyx->noyx", w, part)
            for w, part in zip(weights, (x[:, :, ::2, ::2], odd), strict=True)
        ],
        1,
    )
    torch.testing.assert_close(reduce(x), reduce.norm(expected))


@pytest.mark.parametrize(
    ("name", "reductions"),
    [("full", [6, 13]), ("imagenet", [4, 9]), ("small", [1]), ("thin", [1])],
)
def test_reductions_stand_where_published(name: str, reductions: list[int]) -> None:
    scale = SPACE.scales[name]
    with torch.device("meta"):
        network = built(SPACE.parse(TEXT), scale, inputs=1 if name == "thin" else 3)
    convolutions = [cell.get_submodule("edges.0_2.sep_conv_3x3.0.1") for cell in network.cells]
    strides = [convolution.stride for convolution in convolutions]
    assert [k for k, stride in enumerate(strides) if stride == (2, 2)] == reductions
    after = [isinstance(cell.before_last, FactorizedReduce) for cell in network.cells]
    expected = [k + 1 for k in reductions if k + 1 < scale.cells]
    assert [k for k, value in enumerate(after) if value] == [0] * (name == "imagenet") + expected
    assert network.classifier.in_features == 4 * scale.channels * 2 ** len(reductions)


def test_imagenet_stem_brings_224_pixels_to_28() -> None:
    with torch.device("meta"):
        network = built(SPACE.parse(TEXT), SPACE.scales["imagenet"])
        x = torch.zeros(1, 3, 224, 224)
        first = network.stem(x)
        assert first.shape == (1, 48, 56, 56)
        assert network.second_stem(first).shape == (1, 48, 28, 28)


@pytest.mark.parametrize("side", [1, 3, 8, 13, 32])
@pytest.mark.parametrize("inputs", [1, 3])
def test_any_input_size_and_class_count(side: int, inputs: int) -> None:
    network = built(SPACE.supernet(), SPACE.scales["small"], inputs=inputs, classes=7)
    assert network(torch.randn(2, inputs, side, side)).shape == (2, 7)
    deeper = DARTSScale(channels=2, cells=5, downsampling=side % 3)
    network = built(samples(1)[0], deeper, inputs=inputs, classes=7)
    assert network(torch.randn(3, inputs, side, side)).shape == (3, 7)


def test_thin_network_takes_one_channel_without_a_stem() -> None:
    network = built(SPACE.supernet(), SPACE.scales["thin"], inputs=1)
    assert not list(network.stem)
    assert network(torch.randn(4, 1, 3, 3)).shape == (4, 10)


@pytest.mark.parametrize(
    ("scale", "message"),
    [
        (DARTSScale(channels=1, stem=False), "without a stem"),
        (DARTSScale(channels=3, stem=False, downsampling=1), "the stem downsamples"),
        (DARTSScale(cells=2, stages=3), "at least cells=3"),
        (DARTSScale(stages=1, auxiliary=True), "stages of at least 2"),
        (DARTSScale(channels=3, downsampling=3), "even"),
        (Scale(), "expected DARTSScale"),
    ],
)
def test_impossible_scales_are_refused(scale: Scale, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        SPACE.build(SPACE.supernet(), scale, inputs=(3, 32, 32), classes=10)


def test_exported_source_builds_the_same_network() -> None:
    architecture, scale = samples(1)[0], DARTSScale(channels=4, cells=3, auxiliary=True)
    source, constructor = SPACE.export(architecture, scale, inputs=(3, 32, 32), classes=5)
    imported = {
        name.split(".")[0]
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.Import | ast.ImportFrom)
        for name in (
            [str(node.module)] if isinstance(node, ast.ImportFrom) else [node.names[0].name]
        )
    }
    assert imported == {"torch", "collections"}
    names: dict[str, Callable[..., nn.Module]] = {}
    exec(source, names)
    other = eval(constructor, names).eval()
    network = built(architecture, scale, classes=5).eval()
    other.load_state_dict(network.state_dict())
    x = torch.randn(2, 3, 16, 16)
    torch.testing.assert_close(other(x), network(x))


@pytest.mark.parametrize(
    "case", ["supernet", "thin", "discrete", "one source", "imagenet", "auxiliary"]
)
def test_the_structured_kernel_is_that_of_the_loop(case: str) -> None:
    torch.manual_seed(0)
    few = DARTSScale(channels=4, cells=3)
    architecture, scale, inputs, side = {
        "supernet": (SPACE.supernet(), SPACE.scales["small"], 3, 8),
        "thin": (samples(1)[0], SPACE.scales["thin"], 1, 3),
        "discrete": (samples(1)[0], few, 3, 9),
        "one source": (SPACE.parse(ONE_SOURCE), few, 3, 9),
        "imagenet": (samples(1)[0], replace(few, downsampling=3), 3, 24),
        "auxiliary": (samples(1)[0], replace(few, auxiliary=True), 3, 16),
    }[case]
    network = built(architecture, scale, inputs=inputs).double()
    x = torch.randn(3, inputs, side, side, dtype=torch.float64)
    theta, loop = (
        ntk(network, x, batchnorm="frozen", parameters="weights", method=method)
        for method in ("structured", "loop")
    )
    torch.testing.assert_close(theta, loop, rtol=1e-9, atol=1e-9 * float(loop.max()))


# Training


def test_drop_path_drops_examples_and_keeps_the_mean() -> None:
    torch.manual_seed(0)
    cell = Cell(
        SPACE.parse(TEXT.replace("skip_connect", "max_pool_3x3")).normal, 4, 4, 4, False, False
    )
    cell.eval()
    x = torch.randn(1, 4, 6, 6).expand(4000, 4, 6, 6)
    whole, dropped = cell(x[:1], x[:1], 0.0)[0], cell(x, x, 0.3)
    first = dropped[:, :4].flatten(1)
    sep, pool = (
        cell.get_submodule(f"edges.{key}.{name}")(source(x[:1])).flatten() / 0.7
        for key, name, source in (
            ("0_2", "sep_conv_3x3", cell.before_last),
            ("1_2", "max_pool_3x3", cell.last),
        )
    )
    for expected, share in ((0 * sep, 0.09), (sep, 0.21), (pool, 0.21), (sep + pool, 0.49)):
        found = torch.isclose(first, expected, atol=1e-5).all(1).float().mean()
        assert abs(float(found) - share) < 0.03
    assert (dropped.mean(0) - whole).abs().max() < 0.1 * whole.abs().max()


def test_drop_path_leaves_identities_and_evaluation_alone() -> None:
    torch.manual_seed(0)
    skips = SPACE.parse(TEXT.replace("sep_conv_3x3", "skip_connect")).normal
    cell, x = Cell(skips, 4, 4, 4, False, False), torch.randn(3, 4, 6, 6)
    torch.testing.assert_close(cell(x, x, 0.9), cell(x, x, 0.0))
    network, x = built(samples(1)[0], DARTSScale(channels=4, cells=3)), torch.randn(3, 3, 8, 8)
    torch.testing.assert_close(network(x), network(x))  # BatchNorm sees the same batch
    network.drop_path = 0.5
    assert not torch.allclose(network(x), network(x))
    network.eval()
    torch.testing.assert_close(network(x), network(x))


@pytest.mark.parametrize(("downsampling", "side"), [(0, 32), (3, 224)])
def test_auxiliary_logits_come_in_training_alone(downsampling: int, side: int) -> None:
    scale = DARTSScale(channels=2, cells=3, downsampling=downsampling, auxiliary=True)
    network, x = built(samples(1)[0], scale), torch.randn(2, 3, side, side)
    logits, auxiliary = network(x)
    assert logits.shape == auxiliary.shape == (2, 10)
    auxiliary.sum().backward()
    reader = network.get_parameter("cells.2.last.conv.weight")  # of the last reduction: 2 * 3 // 3
    assert reader.grad is not None
    assert isinstance(network.eval()(x), Tensor)
    without = built(samples(1)[0], replace(scale, auxiliary=False))
    assert network.auxiliary is not None
    head = sum(p.numel() for p in network.auxiliary.parameters())
    assert parameters(network) == parameters(without) + head
    assert isinstance(without(x), Tensor)


def test_auxiliary_head_says_which_maps_it_reads() -> None:
    network = built(samples(1)[0], DARTSScale(channels=2, cells=3, auxiliary=True))
    with pytest.raises(ValueError, match=r"maps of 8 to 10 .* got 2 x 2: set auxiliary=False"):
        network(torch.randn(2, 3, 8, 8))
    for stride, sides in ((3, (8, 10)), (2, (7, 8))):
        head = AuxiliaryHead(4, 10, stride)
        for side in sides:
            assert head(torch.randn(2, 4, side, side)).shape == (2, 10)
        for side in (sides[0] - 1, sides[1] + 1):
            with pytest.raises(ValueError, match="auxiliary"):
                head(torch.randn(2, 4, side, side))
