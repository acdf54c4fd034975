"""Spaces from functions that choose as they make a network."""

import random
import runpy
from collections import Counter
from itertools import product
from pathlib import Path
from typing import Any

import pytest
import torch
from function_spaces import family, operations
from torch import nn

from untrained.conformance import check
from untrained.networks import draw_weights
from untrained.pages.stored import report_run
from untrained.runs import RunConfig, RunRecord, load_record, run
from untrained.searchers import Goal, History, Trial, make_searcher
from untrained.settings import join_texts
from untrained.spaces import FunctionSpace, PrunableSpace, get_space
from untrained.spaces.choose import Choose
from untrained.spaces.function_space import Choices, OperationSpace, space_of
from untrained.spaces.layer_graph import layer_graph
from untrained.training import TrainingSpec

SHAPE = 3, 8, 8


def perceptron(choose: Choose, inputs: int, classes: int, size: int) -> nn.Module:
    width = choose("width", (4, 8))
    return nn.Sequential(
        nn.Flatten(), nn.Linear(inputs * size**2, width), nn.Linear(width, classes)
    )


def subsets(choose: Choose, inputs: int, classes: int) -> nn.Module:
    kernels = choose.subset("kernels", (1, 3, 5), at_least=1, at_most=2)
    return nn.Sequential(*(nn.Conv2d(inputs, inputs, k, padding=k // 2) for k in kernels))


FAMILY = space_of(family, "here:family")
EVERY = {
    f"width={w} depth={d}" + (f" unit={u}" if d else "")
    for w, d, u in product((8, 16, 24), (0, 1, 2), ("ReLU", "GELU"))
}


def test_every_architecture_is_enumerated_once() -> None:
    assert sorted(map(str, FAMILY.enumerate())) == sorted(EVERY)


def test_texts_are_read_in_any_order() -> None:
    for text in EVERY:
        architecture = FAMILY.parse(text)
        assert str(architecture) == text
        assert FAMILY.parse(" ".join(reversed(text.split()))) == architecture


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("width=8", "here:family, at width=8: expected depth=..., one of 0, 1, 2; got no depth"),
        ("width=9 depth=0", "expected width=..., one of 8, 16, 24; got width=9"),
        ("width=8 depth=0 unit=ReLU", "expected the choices width, depth, got unit too"),
        ("width=8 depth=x", "got depth=x"),
        ("width", "expected each choice once, as in width=8 depth=0, got 'width'"),
        ("width=8 width=8 depth=0", "expected each choice once"),
    ],
)
def test_what_is_wrong_with_a_text_is_said(text: str, said: str) -> None:
    with pytest.raises(ValueError, match=said.replace("...", r"\.\.\.")):
        FAMILY.parse(text)


def test_samples_are_uniform_over_choices() -> None:
    rng = random.Random(0)
    found = Counter(str(FAMILY.sample(rng)) for _ in range(3000))
    assert set(found) == EVERY
    shallow = sum(count for text, count in found.items() if "depth=0" in text)
    assert abs(shallow - 1000) < 4 * (3000 * 2 / 9) ** 0.5  # a third, though of 3 texts in 15


def test_neighbours_differ_in_one_choice() -> None:
    near = set(map(str, FAMILY.neighbours(FAMILY.parse("width=16 depth=1 unit=GELU"))))
    assert near == {
        "width=8 depth=1 unit=GELU",
        "width=24 depth=1 unit=GELU",
        "width=16 depth=0",
        "width=16 depth=2 unit=GELU",
        "width=16 depth=1 unit=ReLU",
    }
    near = set(map(str, FAMILY.neighbours(FAMILY.parse("width=16 depth=0"))))
    assert "width=16 depth=1 unit=ReLU" in near  # the first option of what is asked for only then


def test_integers_have_neighbours_near_and_far() -> None:
    def make(choose: Choose, inputs: int, classes: int) -> nn.Module:
        return nn.Linear(choose.integer("n", 0, 1000, 10) + 1, 1)

    space = space_of(make, "here:make")
    near = [int(str(a).split("=")[1]) for a in space.neighbours(space.parse("n=500"))]
    assert sorted(near) == [180, 340, 420, 460, 480, 490, 510, 520, 540, 580, 660, 820]


def test_subsets() -> None:
    space = space_of(subsets, "here:subsets")
    texts = ["kernels=1", "kernels=3", "kernels=5", "kernels=1+3", "kernels=1+5", "kernels=3+5"]
    assert list(map(str, space.enumerate())) == texts
    near = set(map(str, space.neighbours(space.parse("kernels=1+3"))))
    assert near == {"kernels=1", "kernels=3", "kernels=1+5", "kernels=3+5"}
    rng = random.Random(0)
    found = Counter(str(space.sample(rng)) for _ in range(3000))
    assert max(abs(found[text] - 500) for text in texts) < 4 * 500**0.5
    with pytest.raises(ValueError, match=r"one of 1, 3, 5, 1\+3, 1\+5, 3\+5; got kernels=3\+1"):
        space.parse("kernels=3+1")


def test_networks_are_what_the_function_makes() -> None:
    architecture = FAMILY.parse("width=24 depth=2 unit=GELU")
    for name, width in (("full", 24), ("narrow", 12), ("small", 6), ("thin", 3)):
        network: Any = FAMILY.build(architecture, FAMILY.scales[name], inputs=SHAPE, classes=5)
        assert [type(m).__name__ for m in network] == [
            *("Conv2d", "GELU", "Conv2d", "GELU", "Conv2d"),
            *("AdaptiveAvgPool2d", "Flatten", "Linear"),
        ]
        assert network[0].weight.shape == (width, 3, 3, 3)
        assert network(torch.ones(2, *SHAPE)).shape == (2, 5)


def test_the_side_of_the_images_is_given_where_it_is_asked_for() -> None:
    space = space_of(perceptron, "here:perceptron")
    network = space.build(space.first(), space.scales["full"], inputs=SHAPE, classes=5)
    assert network(torch.ones(2, *SHAPE)).shape == (2, 5)


def test_asking_draws_no_random_numbers_and_no_memory() -> None:
    state, seen = torch.random.get_rng_state(), []

    def make(choose: Choose, inputs: int, classes: int) -> nn.Module:
        seen.append(nn.Linear(inputs, choose("width", (4, 8))))
        return seen[-1]

    space = space_of(make, "here:make")
    space.sample(random.Random(0))
    assert {layer.weight.device.type for layer in seen} == {"meta"}
    assert torch.equal(torch.random.get_rng_state(), state)


def test_what_cannot_be_asked_without_memory_is_asked_with_it() -> None:
    def make(choose: Choose, inputs: int, classes: int) -> nn.Module:
        scale = float(torch.rand(1))  # which has no value on the device meta
        return nn.Linear(inputs, choose("width", (4, 8)) + int(scale))

    state = torch.random.get_rng_state()
    space = space_of(make, "here:make")
    assert sorted(map(str, space.enumerate())) == ["width=4", "width=8"]
    assert torch.equal(torch.random.get_rng_state(), state)


def test_operations_have_a_supernet() -> None:
    space = space_of(operations, "here:operations")
    assert isinstance(space, OperationSpace)
    supernet = space.supernet()
    assert str(supernet) == "a=conv|skip b=conv|skip"
    assert supernet.partial
    assert space.parse(str(supernet)) == supernet
    network: Any = space.build(supernet, space.scales["full"], inputs=SHAPE, classes=5)
    x = torch.randn(2, *SHAPE)
    h = network[0].kept[0](x) + x
    expected = network[4]((network[1].kept[0](h) + h).mean((2, 3)))
    torch.testing.assert_close(network(x), expected)
    smaller = space.without(supernet, space.choices(supernet)[0])
    assert str(smaller) == "a=skip b=conv|skip"
    assert space.describe(space.choices(supernet)[2]) == "conv on b"


def test_other_choices_leave_no_supernet() -> None:
    assert not isinstance(FAMILY, PrunableSpace)


def test_the_contract_of_spaces_is_kept() -> None:
    for path in ("function_spaces:family", "function_spaces:operations"):
        broken = [finding.statement for finding in check(path) if finding.breaks]
        assert broken == []


@pytest.mark.parametrize("name", ["surrogate", "evolution", "local", "random"])
def test_searchers_find_the_best(name: str) -> None:
    def make(choose: Choose, inputs: int, classes: int) -> nn.Module:
        return nn.Linear(1, sum([choose.integer(f"n{i}", 1, 8) for i in range(4)]))

    space = space_of(make, "here:make")
    searcher = make_searcher(name, space, (Goal("worth", True),), 1, {"evaluations": 60})
    rng, history = random.Random(0), History(space)
    while proposals := searcher.propose(history, 10, rng):
        for p in proposals:
            worth = -sum((int(t) - 6) ** 2 for _, t in p.architecture.pairs)  # type: ignore
            history.append(Trial(**vars(p), values={"worth": (float(worth),) * len(p.draws)}))
    selected = searcher.select(history)
    assert isinstance(selected, Choices)
    worst = {"surrogate": 4, "evolution": 6, "local": 6, "random": 16}[name]
    assert sum((int(text) - 6) ** 2 for _, text in selected.pairs) <= worst


def test_fewer_channels_are_a_multiple_where_groups_ask_for_it() -> None:
    def grouped(choose: Choose, inputs: int, classes: int) -> nn.Module:
        width = choose.channels(choose("width", (8, 12)), multiple=multiple)
        return nn.Sequential(nn.Conv2d(inputs, width, 1), nn.GroupNorm(4, width))

    space = FunctionSpace(grouped, "grouped")
    multiple = 4
    widths = {
        (option, scale): space.build(
            space.parse(f"width={option}"), space.scales[scale], inputs=SHAPE, classes=5
        )[0].out_channels  # type: ignore[index]
        for option in (8, 12)
        for scale in ("full", "narrow", "thin")
    }
    assert widths == {
        (8, "full"): 8, (8, "narrow"): 4, (8, "thin"): 4,
        (12, "full"): 12, (12, "narrow"): 8, (12, "thin"): 4,
    }  # fmt: skip
    multiple = 1
    with pytest.raises(ValueError, match=r"at width=12, with channels times 0\.5: num_channels"):
        space.build(space.parse("width=12"), space.scales["narrow"], inputs=SHAPE, classes=5)


def test_exported_source_makes_the_same_network(tmp_path: Any, monkeypatch: Any) -> None:
    (tmp_path / "mine_exported.py").write_text(
        "from torch import nn\n"
        "def make(choose, inputs, classes):\n"
        "    width = choose.channels(choose('width', (8, 16)))\n"
        "    unit = choose('unit', (nn.ReLU, nn.Tanh))\n"
        "    return nn.Sequential(nn.Flatten(), nn.Linear(64 * inputs, width), unit(),\n"
        "                         nn.Linear(width, classes))\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    space = get_space("mine_exported:make")
    assert isinstance(space, FunctionSpace)
    architecture = space.parse("width=16 unit=Tanh")
    scale = space.scales["narrow"]
    source, constructor = space.export(architecture, scale, inputs=SHAPE, classes=5)
    assert "untrained" not in source.replace("from untrained", "")
    namespace: dict[str, Any] = {"__name__": "exported"}
    exec(compile(source, "exported", "exec"), namespace)
    exported = eval(constructor, namespace)
    network = space.build(architecture, scale, inputs=SHAPE, classes=5)
    draw_weights(network, "torch_default", torch.Generator().manual_seed(0))
    exported.load_state_dict(network.state_dict())
    x = torch.randn(2, *SHAPE)
    assert torch.equal(exported(x), network(x))


def asks(*questions: Any) -> Any:
    def make(choose: Choose, inputs: int, classes: int) -> nn.Module:
        for question in questions:
            question(choose)
        return nn.Linear(1, 1)

    return make


def endless(choose: Choose) -> None:
    count = 0
    while choose(f"more{count}", (True, False)):
        count += 1


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda choose, inputs, classes: 1 / 0, "at its first choice: ZeroDivisionError"),
        (
            lambda choose, inputs, classes: choose("a", (1,)),
            "a function that returns a module, got 1",
        ),
        (lambda choose, inputs, classes: nn.Linear(1, 1), "expected a function that chooses"),
        (lambda choose: nn.Linear(1, 1), "unexpected keyword argument 'inputs'"),
        (asks(lambda c: c("a", ())), "choice 'a': expected options, one or more"),
        (asks(lambda c: c("a", (1, 1))), "got '1' twice"),
        (asks(lambda c: c("a", ("x y",))), "got 'x y'"),
        (asks(lambda c: c("a b", (1, 2))), "names of choices without spaces and =, got 'a b'"),
        (asks(lambda c: c("a", (1, 2)), lambda c: c("a", (1, 3))), "the same options each time"),
        (asks(lambda c: c.integer("a", 2, 1)), "expected low <= high"),
        (asks(lambda c: c.subset("a", (1, 2), 3)), "expected 0 <= at_least <= at_most <= 2"),
        (asks(lambda c: c.operation("a", (3,))), "expected modules, or functions that make one"),
        (asks(endless), "expected at most 1,000 choices, got more"),
    ],
)
def test_what_is_wrong_with_a_function_is_said_at_once(make: Any, said: str) -> None:
    with pytest.raises(ValueError, match=said) as caught:
        space_of(make, "here:make")
    assert "\n" not in str(caught.value)


def test_choices_that_change_each_time_are_noticed() -> None:
    asked = iter(range(10**6))

    def make(choose: Choose, inputs: int, classes: int) -> nn.Module:
        return nn.Linear(1, choose(f"a{next(asked)}", (1, 2)))

    with pytest.raises(ValueError, match=r"expected a\d+=..., one of 1, 2; got no a"):
        space_of(make, "here:make")


def test_what_depends_on_the_images_is_noticed() -> None:
    def make(choose: Choose, inputs: int, classes: int) -> nn.Module:
        return nn.Linear(1, choose("a" if inputs == 3 else "b", (1, 2)))

    space = space_of(make, "here:make")
    with pytest.raises(ValueError, match="got no b"):
        space.build(space.first(), space.scales["full"], inputs=(1, 8, 8), classes=2)


def test_what_is_neither_space_nor_function_is_refused() -> None:
    with pytest.raises(ValueError, match=r"instance of Space, or a function make\(choose"):
        get_space("test_function_space:SHAPE")


def searched(tmp_path: Path, space: str, **changes: Any) -> RunRecord:
    asked: dict[str, Any] = {
        "scores": ("synflow",), "draws": 1, "searcher": "random", "options": {"evaluations": 3},
        "workers": 0, "out": tmp_path, "train": True, "compare": 1,
        "training": TrainingSpec(epochs=1, images=100), **changes,
    }  # fmt: skip
    folder = run(RunConfig(space=space, **asked))
    report_run(folder, space=get_space(space))
    return load_record(folder.store, folder.name)


@pytest.mark.usefixtures("without_graphs")
def test_a_run_searches_trains_and_exports(tmp_path: Path) -> None:
    record = searched(
        tmp_path, "function_spaces:family", searcher=None, options={"evaluations": 4}
    )
    assert record.searcher == "surrogate"
    assert str(FAMILY.parse(str(record.selected))) == record.selected
    assert [t.role for t in record.trainings] == ["selected", "random"]
    [loader] = tmp_path.glob("*/network/network.py")
    load = runpy.run_path(str(loader), run_name="exported_network")["load"]
    assert load()(torch.ones(2, 1, 8, 8)).shape == (2, 10)


def test_an_architecture_with_spaces_in_its_text_is_trained_by_name(tmp_path: Path) -> None:
    text = "width=8 depth=1 unit=GELU"
    given = {"searcher": "given", "options": {"architectures": join_texts([text])}}
    record = searched(tmp_path, "function_spaces:family", compare=0, **given)
    assert record.selected == text
    assert record.trainings[0].test_accuracy is not None


def test_a_space_of_four_methods_is_enough(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    record = searched(tmp_path, "least_space:WIDTHS")
    assert record.trainings[0].test_accuracy is not None
    assert "the space 'widths' does not export its networks" in caplog.text
    broken = [f.statement for f in check("least_space:WIDTHS") if f.breaks]
    assert broken == []


# Drawings


class Doubled(nn.Module):
    """A layer beside a skip connection."""

    def __init__(self, width: int):
        super().__init__()
        self.layer, self.unit = nn.Linear(width, width), nn.ReLU()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.unit(self.layer(x) + x)


def test_layers_are_drawn_and_where_they_meet() -> None:
    network = nn.Sequential(nn.Flatten(), nn.Linear(6, 4), nn.Tanh(), Doubled(4), nn.Linear(4, 2))
    found = layer_graph(network.train(), torch.ones(2, 2, 3))
    assert found.nodes == ("input", "6", "4", "4", "add", "4", "output")
    assert [tuple(edge) for edge in found.edges] == [
        (0, 1, "Flatten"), (1, 2, "Linear 4, Tanh"), (2, 3, "Linear 4"),
        (2, 4, ""), (3, 4, ""), (4, 5, "ReLU"), (5, 6, "Linear 2"),
    ]  # fmt: skip
    assert network.training
    assert not any(module._forward_hooks for module in network.modules())


def test_of_many_layers_the_modules_of_their_author_are_drawn() -> None:
    layers = [nn.Linear(5, 4), *(Doubled(4) for _ in range(8)), nn.Linear(4, 3)]
    found = layer_graph(nn.Sequential(*layers), torch.ones(2, 5))
    assert found.nodes == ("input", "4", "4", "output")
    assert [edge.operation for edge in found.edges] == ["Linear 4", "Doubled x 8", "Linear 3"]


def test_a_network_without_layers_is_an_arrow() -> None:
    assert layer_graph(nn.Identity(), torch.ones(2, 4)).edges == ((0, 1, ""),)


def test_an_architecture_is_drawn_without_memory_or_random_numbers() -> None:
    before = torch.get_rng_state()
    space = get_space("function_spaces:family")
    [found] = space.graphs(space.parse("width=8 depth=1 unit=ReLU"))
    assert [edge.operation for edge in found.edges] == [
        "Conv2d 3x3, 8, ReLU", "Conv2d 1x1, 8", "AdaptiveAvgPool2d, Flatten", "Linear 10",
    ]  # fmt: skip
    assert torch.equal(torch.get_rng_state(), before)
