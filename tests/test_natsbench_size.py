"""The size space against the benchmark's counts, and its networks against their definition."""

import random
from collections import Counter
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from architectures import network_of, parameters, sampled
from torch import Tensor, nn

from untrained.spaces import Scale, get_space
from untrained.spaces.natsbench_size import NATSBenchSize, SizeArchitecture, SizeScale
from untrained.spaces.natsbench_size_network import SizeCell, SizeNetwork
from untrained.tables import NATSBenchSizeTable

SPACE = NATSBenchSize()
samples = partial(sampled, SPACE)
built = partial(network_of, SPACE, SizeNetwork)


@pytest.mark.parametrize(
    ("text", "count"),
    [("8:8:8:8:8", 11_714), ("8:8:16:40:40", 107_826), ("64:64:64:64:64", 713_674)],
)
def test_parameters_that_the_benchmark_counts(text: str, count: int) -> None:
    """Its values of `params`, in millions: 0.011714, 0.107826, 0.713674."""
    assert parameters(built(SPACE.parse(text), SPACE.scales["full"])) == count


def test_the_enumeration_has_the_benchmarks_order(data: Path) -> None:
    frame = NATSBenchSizeTable().frame
    assert frame["architecture"].to_list() == [str(found) for found in SPACE.enumerate()]
    assert frame["index"].to_list() == list(range(32_768))
    best = frame.sort("cifar100_test_90").row(-1, named=True)["architecture"]
    assert [s.rank for s in NATSBenchSizeTable().standings(best)][1] == 1


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "expected c1:c2:c3:c4:c5, such as .* got ''"),
        ("8:8:8:8", "expected c1:c2:c3:c4:c5, .* got '8:8:8:8'"),
        ("8:8:8:8:8:8", "expected c1:c2:c3:c4:c5"),
        ("8:8:8:8:", "expected c1:c2:c3:c4:c5"),
        ("8:8:8:8:-8", "expected c1:c2:c3:c4:c5"),
        ("8-8-8-8-8", "expected c1:c2:c3:c4:c5"),
        ("8:8:12:8:8", "out of 8, 16, 24, 32, 40, 48, 56, 64, got 12"),
        ("8:8:8:8:72", "out of 8, .* got 72"),
    ],
)
def test_wrong_texts_say_what_was_expected(text: str, message: str) -> None:
    with pytest.raises(ValueError, match=message) as error:
        SPACE.parse(text)
    assert "\n" not in str(error.value)


def test_an_architecture_has_five_layers() -> None:
    with pytest.raises(ValueError, match=r"five numbers .* got \(8, 8\)"):
        SizeArchitecture((8, 8))


def test_samples_cover_every_choice_alike() -> None:
    counts = Counter(pair for found in samples(1600) for pair in enumerate(found.widths))
    assert len(counts) == 5 * 8
    assert all(abs(count - 200) < 5 * 200**0.5 for count in counts.values())
    assert samples(3) == samples(3) != samples(3, seed=1)


def test_neighbours_differ_in_one_layer_and_are_mutual() -> None:
    for one in samples(3):
        neighbours = SPACE.neighbours(one)
        assert len(set(neighbours)) == len(neighbours) == 35
        for other in neighbours:
            assert sum(a != b for a, b in zip(one.widths, other.widths, strict=True)) == 1
            assert one in SPACE.neighbours(other)
        assert SPACE.mutate(one, random.Random(0)) in neighbours
        assert SPACE.canonical(one) == one
        assert not one.partial


def test_the_graph_is_a_chain_of_layers() -> None:
    (graph,) = SPACE.graphs(SPACE.parse("8:16:24:32:64"))
    assert [edge[:2] for edge in graph.edges] == [(k, k + 1) for k in range(5)]
    assert [edge.operation for edge in graph.edges] == [
        *("cell x8", "reduction x16", "cell x24", "reduction x32", "cell x64")
    ]


# The networks


def naive(block: nn.Module, x: Tensor, stride: int = 1) -> Tensor:
    """ReLU, 3x3 convolution and BatchNorm with running statistics, by their definition."""
    norm = block.get_submodule("norm")
    y = F.conv2d(x.clamp_min(0), block.get_parameter("conv.weight"), None, stride, 1)
    return normed(norm, y)


def normed(norm: nn.Module, y: Tensor) -> Tensor:
    assert isinstance(norm, nn.BatchNorm2d)
    assert norm.running_mean is not None
    assert norm.running_var is not None
    mean, scale = norm.running_mean, norm.weight / (norm.running_var + 1e-5).sqrt()
    return (y - mean[:, None, None]) * scale[:, None, None] + norm.bias[:, None, None]


@pytest.mark.parametrize("text", ["8:8:8:8:8", "8:16:8:24:32"])
def test_a_network_against_its_definition(text: str) -> None:
    torch.manual_seed(0)
    network = built(SPACE.parse(text), SPACE.scales["full"]).double().eval()
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            for values in (module.weight, module.bias, module.running_mean, module.running_var):
                assert values is not None
                nn.init.uniform_(values, 0.5, 1.5)
    images = torch.randn(2, 3, 8, 8, dtype=torch.float64)
    x = normed(network.stem[1], F.conv2d(images, network.stem[0].weight, None, 1, 1))  # type: ignore[arg-type]
    sides = []
    for layer in network.layers:
        if isinstance(layer, SizeCell):
            first = naive(layer.first, x)
            second = naive(layer.second, x) + naive(layer.first_to_second, first)
            skip = x
            if first.shape[1] != x.shape[1]:
                weight = layer.get_parameter("skip.0.weight")[:, :, 0, 0]
                mixed = torch.einsum("oc,ncyx->noyx", weight, x)
                skip = normed(layer.get_submodule("skip.1"), mixed)
            last = naive(layer.first_to_output, first) + naive(layer.second_to_output, second)
            x = skip + last
        else:
            pooled = x.unfold(2, 2, 2).unfold(3, 2, 2).mean((4, 5))
            weight = layer.get_parameter("shortcut.1.weight")[:, :, 0, 0]
            inner = naive(layer.get_submodule("first"), x, stride=2)
            x = naive(layer.get_submodule("second"), inner)
            x = x + torch.einsum("oc,ncyx->noyx", weight, pooled)
        sides.append(x.shape[-1])
    assert sides == [8, 4, 4, 2, 2]
    logits = network.classifier(normed(network.norm, x).clamp_min(0).mean((2, 3)))
    torch.testing.assert_close(network(images), logits)


@pytest.mark.parametrize(
    ("channels", "widths"), [(64, [8, 16, 24, 48, 64]), (8, [1, 2, 3, 6, 8]), (1, [1, 1, 1, 1, 1])]
)
def test_widths_keep_their_proportions(channels: int, widths: list[int]) -> None:
    network = built(SPACE.parse("8:16:24:48:64"), SizeScale(channels=channels), inputs=1)
    found = [
        len(layer.get_submodule("first").get_parameter("conv.weight")) for layer in network.layers
    ]
    assert found == widths
    assert network(torch.randn(2, 1, 3, 3)).shape == (2, 10)


@pytest.mark.parametrize(
    ("scale", "message"),
    [
        (SizeScale(channels=0), "1 channel or more, got channels=0"),
        (Scale(), "expected SizeScale"),
    ],
)
def test_impossible_scales_are_refused(scale: Scale, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        SPACE.build(samples(1)[0], scale, inputs=(3, 32, 32), classes=10)


def test_a_network_has_five_layers() -> None:
    with pytest.raises(ValueError, match="expected five widths, one a layer, got 2"):
        SizeNetwork((8, 8))


def test_exported_source_builds_the_same_network() -> None:
    architecture, scale = samples(1)[0], SPACE.scales["small"]
    source, constructor = SPACE.export(architecture, scale, inputs=(3, 32, 32), classes=5)
    assert "import untrained" not in source
    assert "from untrained" not in source
    names: dict[str, Callable[..., nn.Module]] = {"__name__": "exported"}  # type: ignore[dict-item]
    exec(source, names)
    other = eval(constructor, names).eval()
    network = built(architecture, scale, classes=5).eval()
    other.load_state_dict(network.state_dict())
    x = torch.randn(2, 3, 32, 32)
    torch.testing.assert_close(other(x), network(x))


def test_it_is_found_by_its_name() -> None:
    assert get_space("natsbench_size").name == SPACE.name == NATSBenchSizeTable.space
