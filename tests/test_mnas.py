"""The space against the table's counts, and its networks against their definition."""

import ast
import itertools
import random
from collections import Counter
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import polars as pl
import pytest
import torch
import torch.nn.functional as F
from architectures import network_of, parameters, sampled
from torch import Tensor, nn

from untrained.kernels import ntk
from untrained.spaces import PrunableSpace, Scale, get_space
from untrained.spaces.mnas import BLOCKS, MNAS, MNASArchitecture, MNASScale
from untrained.spaces.mnas_network import Block, MBConv, MNASNetwork, SqueezeExcite

SPACE = MNAS()
BLOCK = "e6k3l2se0"
TEXT = "_".join([BLOCK] * 7)
SMALLEST = "_".join(["e1k3l1se0"] * 7)
LARGEST = "_".join(["e6k5l4se1"] * 7)
samples = partial(sampled, SPACE)
built = partial(network_of, SPACE, MNASNetwork)


def published(text: str) -> MNASNetwork:
    """Without memory for its weights."""
    with torch.device("meta"):
        return built(SPACE.parse(text), SPACE.scales["full"], classes=1000).eval()


# Text forms


def test_text_forms_come_back() -> None:
    for architecture in samples(100):
        assert SPACE.parse(str(architecture)) == architecture
    for text in (TEXT, SMALLEST, LARGEST):
        assert str(SPACE.parse(f" {text}\n")) == text
    assert SPACE.parse(TEXT).blocks == (Block(6, 3, 2, False),) * 7


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "expected seven blocks .* got 1, ''; write one block"),
        ("resnet18", "expected seven blocks .* got 1, 'resnet18'; write one block"),
        (TEXT.removesuffix("_" + BLOCK), "expected seven blocks .* got 6"),
        (TEXT + "_" + BLOCK, "expected seven blocks .* got 8"),
        (TEXT + "_", f"expected seven blocks .* got 8, .*; did you mean {TEXT}?"),
        (TEXT.replace("_", "-"), f"got 1, .*; did you mean {TEXT}?"),
        (TEXT.replace("_", "\n"), f"got 1, .*; did you mean {TEXT}?"),
        (TEXT.replace("k3", "k7", 1), "unknown kernel 7 in block 1 .* one of 3, 5, .* mean 5?"),
        (TEXT[:-9] + "e3k3l2se0", "unknown expansion 3 in block 7 .* 1, 4, 6, .* mean 4?"),
        (TEXT.replace("l2", "l0", 1), "unknown layers 0 in block 1 .* 1, 2, 3, 4, .* mean 1?"),
        (TEXT.replace("se0", "se2", 1), "unknown squeeze-excite 2 .* one of 0, 1, .* mean 1?"),
        (TEXT.replace("se0", "", 1), "broken block 1 .* 'e6k3l2'; did you mean e6k3l2se0?"),
        (TEXT.replace("se0", "s0", 1), "broken block 1 .* 'e6k3l2s0'; did you mean e6k3l2se0?"),
        (TEXT.replace("e6", "e06", 1), "broken block 1 .* 'e06k3l2se0'; did you mean e6k3l2se0?"),
        (TEXT.upper(), "broken block 1 .* 'E6K3L2SE0'; did you mean e6k3l2se0?"),
        (TEXT.replace("_", "__", 1), f"got 8, .*; did you mean {TEXT}?"),
        ("_" * 6, "broken block 1 .* got ''; did you mean e1k3l1se0?"),
    ],
)
def test_wrong_texts_say_what_was_expected(text: str, message: str) -> None:
    message = message.replace("?", r"\?")
    with pytest.raises(ValueError, match=message) as error:
        SPACE.parse(text)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("blocks", "message"),
    [
        ((Block(6, 3, 2, False),) * 6, "expected seven blocks .* got 6"),
        ((), "expected seven blocks .* got 0"),
        ((Block(6, 7, 2, False),) * 7, r"expected seven blocks .* got Block\(.*kernel=7"),
    ],
)
def test_impossible_architectures_are_refused(blocks: tuple[Block, ...], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        MNASArchitecture(blocks)


# The table


def stage_counts() -> dict[tuple[int, Block], tuple[int, int]]:
    """Parameters and operations of each stage with each block, at 224 x 224."""
    inputs, sides = (32, 16, 24, 40, 80, 112, 192), (112, 112, 56, 28, 14, 14, 7)
    found = {}
    for text, block in BLOCKS.items():
        network = published("_".join([text] * 7))
        for k, stage in enumerate(network.stages):
            x = torch.zeros(1, inputs[k], sides[k], sides[k], device="meta")
            found[k, block] = counted(stage, x)
    return found


def counted(module: nn.Module, x: Tensor) -> tuple[int, int]:
    """Parameters and operations, as the table counts them.

    A multiply-add of a convolution or the classifier is 1, without biases; a value of BatchNorm
    4; a mean of s values s + 1; swish, sigmoid, products and sums are nothing.
    """
    total = 0

    def count(module: nn.Module, _: object, output: Tensor) -> None:
        nonlocal total
        if isinstance(module, nn.Conv2d):
            total += output.numel() * module.weight[0].numel()
        elif isinstance(module, nn.BatchNorm2d):
            total += 4 * output.numel()
        elif isinstance(module, SqueezeExcite):
            total += output.numel() + output.shape[1]  # the mean of each channel

    for part in module.modules():
        part.register_forward_hook(count)
    module.eval()(x)
    return parameters(module), total


def test_every_row_of_the_table(data: Path) -> None:
    frame = pl.read_parquet(data / "tables" / "mnas_imagenet.parquet")
    network, stages = published(SMALLEST), stage_counts()
    outside = [
        counted(network.stem, torch.zeros(1, 3, 224, 224, device="meta")),
        counted(network.head, torch.zeros(1, 320, 7, 7, device="meta")),
        (parameters(network.classifier), 1280 * 1000 + 1280 * (7 * 7 + 1)),
    ]
    assert len(frame) == 2600
    for text, millions, operations in frame["architecture", "mparams", "mmacs"].iter_rows():
        architecture = SPACE.parse(text)
        assert str(architecture) == text
        inside = [stages[k, block] for k, block in enumerate(architecture.blocks)]
        own_parameters, own_operations = map(sum, zip(*outside, *inside, strict=True))
        assert own_parameters / 1e6 == millions
        assert float(f"{own_operations / 1e6:.7g}") == operations  # the table has seven digits


def test_whole_networks_have_the_parameters_of_the_table(data: Path) -> None:
    frame = pl.read_parquet(data / "tables" / "mnas_imagenet.parquet").sample(40, seed=0)
    for text, millions in frame["architecture", "mparams"].iter_rows():
        assert parameters(published(text)) / 1e6 == millions


# Counts by hand


def expected_parameters(architecture: MNASArchitecture, widths: list[int], classes: int) -> int:
    """By the definition, from one-channel images; `widths` are those of stem, stages, head."""
    stem, *outputs, head = widths
    total, last = stem * 9 + 2 * stem, stem
    for (expansion, kernel, layers, squeezes), width in zip(
        architecture.blocks, outputs, strict=True
    ):
        for _ in range(layers):
            inside, squeezed = expansion * last, max(1, last // 4)
            total += (last * inside + 2 * inside) * (expansion > 1)
            total += inside * kernel**2 + 2 * inside
            total += (2 * inside * squeezed + squeezed + inside) * squeezes
            total += inside * width + 2 * width
            last = width
    return total + last * head + 2 * head + head * classes + classes


@pytest.mark.parametrize(
    ("scale", "widths"),
    [
        (MNASScale(), [32, 16, 24, 40, 80, 112, 192, 320, 1280]),
        (MNASScale(channels=64), [64, 32, 48, 80, 160, 224, 384, 640, 2560]),
        (SPACE.scales["small"], [8, 4, 6, 10, 20, 28, 48, 80, 320]),
        (SPACE.scales["thin"], [4, 2, 3, 5, 10, 14, 24, 40, 160]),
        (MNASScale(channels=1), [1, 1, 1, 1, 2, 4, 6, 10, 40]),
    ],
)
def test_widths_follow_the_stem(scale: MNASScale, widths: list[int]) -> None:
    for architecture in [SPACE.parse(LARGEST), *samples(2)]:
        with torch.device("meta"):
            network = built(architecture, scale, inputs=1, classes=7)
        assert parameters(network) == expected_parameters(architecture, widths, 7)


@pytest.mark.parametrize(
    ("depth", "layers"),
    [(1.0, [1, 2, 3, 4]), (0.5, [1, 1, 2, 2]), (0.01, [1, 1, 1, 1]), (1.5, [2, 3, 5, 6])],
)
def test_depth_multiplies_layers_and_rounds_up(depth: float, layers: list[int]) -> None:
    text = "_".join(f"e1k3l{count}se0" for count in (1, 2, 3, 4, 1, 1, 1))
    network = built(SPACE.parse(text), MNASScale(channels=1, depth=depth))
    assert [len(list(stage.children())) for stage in network.stages][:4] == layers


@pytest.mark.parametrize(
    ("strides", "sides"),
    [
        (5, [16, 16, 8, 4, 2, 2, 1, 1]),
        (4, [32, 32, 16, 8, 4, 4, 2, 2]),
        (3, [32, 32, 32, 16, 8, 8, 4, 4]),
        (2, [32, 32, 32, 32, 16, 16, 8, 8]),
        (1, [32, 32, 32, 32, 32, 32, 16, 16]),
        (0, [32] * 8),
    ],
)
def test_the_last_strides_are_kept(strides: int, sides: list[int]) -> None:
    with torch.device("meta"):
        network = built(SPACE.parse(TEXT), MNASScale(strides=strides)).eval()
        maps = [network.stem(torch.zeros(1, 3, 32, 32))]
        for stage in network.stages:
            maps.append(stage(maps[-1]))
    assert [tuple(x.shape[2:]) for x in maps] == [(side, side) for side in sides]


# The space


def test_samples_cover_every_choice_alike_and_repeat() -> None:
    assert samples(5) == samples(5) != samples(5, seed=1)
    counts = Counter(
        (k, block) for architecture in samples(4800) for k, block in enumerate(architecture.blocks)
    )
    assert len(counts) == 7 * 48
    assert all(abs(count - 100) < 5 * 10 for count in counts.values())


def test_neighbours_differ_in_one_choice_and_are_mutual() -> None:
    for architecture in samples(3):
        neighbours = SPACE.neighbours(architecture)
        assert len(set(neighbours)) == len(neighbours) == 49
        for other in neighbours:
            assert SPACE.parse(str(other)) == other
            assert architecture in SPACE.neighbours(other)
            pairs = zip(architecture.blocks, other.blocks, strict=True)
            assert sum(a != b for pair in pairs for a, b in zip(*pair, strict=True)) == 1
        assert SPACE.mutate(architecture, random.Random(0)) in neighbours


def test_enumeration_goes_on_without_repeating() -> None:
    first = list(itertools.islice(SPACE.enumerate(), 5000))
    assert len(set(first)) == 5000
    assert first == sorted(first)
    assert len({architecture.blocks[-1] for architecture in first}) == 48


def test_an_architecture_is_its_own_class() -> None:
    assert get_space("mnas").name == "mnas"
    assert not isinstance(SPACE, PrunableSpace)
    for architecture in samples(10):
        assert SPACE.canonical(architecture) == architecture
        assert not architecture.partial


def test_the_graph_is_a_chain_of_stages() -> None:
    (graph,) = SPACE.graphs(SPACE.parse(TEXT[:-1] + "1"))
    assert graph.nodes == ("input", "1", "2", "3", "4", "5", "6", "output")
    assert [edge[:2] for edge in graph.edges] == [(k, k + 1) for k in range(7)]
    assert [edge.operation for edge in graph.edges] == ["e6 k3 x2"] * 6 + ["e6 k3 x2 se"]


# The networks


def naive_layer(layer: MBConv, x: Tensor, stride: int, residual: bool) -> Tensor:
    """The layer by its definition, with sums over channels written out."""

    def normed(conv_bn: nn.Sequential, y: Tensor) -> Tensor:
        norm: Any = conv_bn.norm
        scale = norm.weight / (norm.running_var + 1e-5).sqrt()
        centred = y - norm.running_mean[:, None, None]
        return centred * scale[:, None, None] + norm.bias[:, None, None]

    def swish(y: Tensor) -> Tensor:
        return y / (1 + torch.exp(-y))

    y = x
    if len(layer.expand):
        y = torch.einsum("oc,ncyx->noyx", layer.get_parameter("expand.conv.weight")[:, :, 0, 0], y)
        y = swish(normed(layer.expand, y))
    kernels = layer.depthwise.conv.weight
    side = kernels.shape[-1]
    windows = F.pad(y, [side // 2] * 4).unfold(2, side, stride).unfold(3, side, stride)
    y = swish(normed(layer.depthwise, torch.einsum("ckl,ncyxkl->ncyx", kernels[:, 0], windows)))
    if len(layer.weigh):
        weights: Any = layer.get_submodule("weigh.0.weights")
        squeeze, _, excite, _ = weights
        means = y.flatten(2).mean(2)
        squeezed = swish(means @ squeeze.weight[:, :, 0, 0].T + squeeze.bias)
        excited = squeezed @ excite.weight[:, :, 0, 0].T + excite.bias
        y = y / (1 + torch.exp(-excited))[:, :, None, None]
    y = normed(
        layer.project, torch.einsum("oc,ncyx->noyx", layer.project.conv.weight[..., 0, 0], y)
    )
    return x + y if residual else y


@pytest.mark.parametrize("expansion", [1, 4])
@pytest.mark.parametrize("kernel", [3, 5])
@pytest.mark.parametrize("squeeze_excite", [False, True])
@pytest.mark.parametrize(("outputs", "stride"), [(6, 1), (6, 2), (5, 1)])
def test_layer_against_its_definition(
    expansion: int, kernel: int, squeeze_excite: bool, outputs: int, stride: int
) -> None:
    torch.manual_seed(0)
    layer = MBConv(Block(expansion, kernel, 1, squeeze_excite), 6, outputs, stride).double()
    for part in layer.modules():
        if isinstance(part, nn.BatchNorm2d):
            for values in (part.weight, part.bias, part.running_mean, part.running_var):
                assert values is not None
                nn.init.uniform_(values, 0.5, 1.5)
    x = torch.randn(2, 6, 7, 7, dtype=torch.float64)
    output = layer.eval()(x)
    residual = (outputs, stride) == (6, 1)
    torch.testing.assert_close(output, naive_layer(layer, x, stride, residual))


def test_residuals_stand_where_the_shape_stays() -> None:
    network = built(SPACE.parse(TEXT), MNASScale(channels=8))
    for stage in network.stages:
        assert [layer.residual for layer in stage.children()] == [False, True]
    # At one channel the first stages keep their width, and without strides their shape.
    network = built(SPACE.parse(TEXT), MNASScale(channels=1, strides=0))
    first = [next(stage.children()) for stage in network.stages]
    assert [layer.residual for layer in first] == [True] * 3 + [False] * 4


@pytest.mark.parametrize("side", [1, 3, 32, 33, 64])
@pytest.mark.parametrize("inputs", [1, 3])
def test_any_input_size_and_class_count(side: int, inputs: int) -> None:
    scale = SPACE.scales["thin" if side < 32 else "small"]
    network = built(samples(1)[0], scale, inputs=inputs, classes=7)
    assert network(torch.randn(2, inputs, side, side)).shape == (2, 7)


@pytest.mark.parametrize("side", [32, 64, 224])
def test_the_published_network_takes_images_of(side: int) -> None:
    network = built(SPACE.parse(SMALLEST), SPACE.scales["full"], classes=1000)
    logits = network(torch.randn(2, 3, side, side))
    assert logits.shape == (2, 1000)
    assert logits.isfinite().all()


@pytest.mark.parametrize(
    ("scale", "message"),
    [
        (MNASScale(channels=0), "1 channel or more, got channels=0"),
        (MNASScale(depth=0.0), "a depth above 0, got depth=0.0"),
        (MNASScale(depth=-1.0), "a depth above 0, got depth=-1.0"),
        (MNASScale(depth=float("nan")), "a depth above 0, got depth=nan"),
        (MNASScale(depth=float("inf")), "a depth above 0, got depth=inf"),
        (MNASScale(strides=6), "0 to 5 convolutions of stride 2, got strides=6"),
        (MNASScale(strides=-1), "0 to 5 convolutions of stride 2, got strides=-1"),
        (Scale(), "expected MNASScale"),
    ],
)
def test_impossible_scales_are_refused(scale: Scale, message: str) -> None:
    with pytest.raises(ValueError, match=message) as error:
        SPACE.build(SPACE.parse(TEXT), scale, inputs=(3, 32, 32), classes=10)
    assert "\n" not in str(error.value)


def test_a_network_has_seven_blocks() -> None:
    with pytest.raises(ValueError, match="expected seven blocks, one a stage, got 2"):
        MNASNetwork([Block(6, 3, 2, False)] * 2)


def test_exported_source_builds_the_same_network() -> None:
    architecture, scale = samples(1)[0], SPACE.scales["small"]
    source, constructor = SPACE.export(architecture, scale, inputs=(3, 32, 32), classes=5)
    imported = {
        name.split(".")[0]
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.Import | ast.ImportFrom)
        for name in (
            [str(node.module)] if isinstance(node, ast.ImportFrom) else [node.names[0].name]
        )
    }
    assert imported == {"torch", "collections", "math", "typing"}
    names: dict[str, Callable[..., nn.Module]] = {"__name__": "exported"}  # type: ignore[dict-item]
    exec(source, names)
    other = eval(constructor, names).eval()
    network = built(architecture, scale, classes=5).eval()
    assert parameters(other) == parameters(network)
    assert list(other.state_dict()) == list(network.state_dict())
    other.load_state_dict(network.state_dict())
    x = torch.randn(2, 3, 32, 32)
    torch.testing.assert_close(other(x), network(x))


@pytest.mark.parametrize(("name", "inputs", "side"), [("small", 3, 8), ("thin", 1, 3)])
def test_the_structured_kernel_is_that_of_the_loop(name: str, inputs: int, side: int) -> None:
    torch.manual_seed(0)
    text = "e1k3l2se1_e4k5l1se0_" + "_".join(["e1k3l1se1"] * 5)
    network = built(SPACE.parse(text), SPACE.scales[name], inputs=inputs).double()
    x = torch.randn(3, inputs, side, side, dtype=torch.float64)
    theta, loop = (
        ntk(network, x, batchnorm="frozen", parameters="weights", method=method)
        for method in ("structured", "loop")
    )
    torch.testing.assert_close(theta, loop, rtol=1e-9, atol=1e-9 * float(loop.max()))
