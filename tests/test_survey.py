"""What a survey finds of layouts and of coupled examples, and of uses that it cannot see."""

from collections.abc import Callable
from typing import Any

import naive
import pytest
import torch
import zoo
from compare import deviation
from torch import Tensor, nn
from zoo import Net

from untrained.kernels.choice import METHODS, Method
from untrained.kernels.ntk import ntk
from untrained.kernels.verification import check_rows
from untrained.layerwise.layers import LAYERS
from untrained.layerwise.survey import Survey, survey
from untrained.networks.batchnorm import evaluating, policy_mode
from untrained.networks.choices import Policy
from untrained.networks.jacobian import per_example
from untrained.networks.places import SEEN, Exchanges, Place, Prints, Unstructured
from untrained.networks.sites import Site

INDEPENDENT: tuple[Method, ...] = ("structured", "vmap")


def surveyed(model: nn.Module, x: Tensor, policy: Policy = "running") -> Survey:
    with evaluating(model):
        return survey(model, x, policy_mode(policy), LAYERS)


def exact_or_refused(model: nn.Module, x: Tensor, refusing: tuple[str, ...] = INDEPENDENT) -> None:
    """No method is quietly wrong; `auto` and those that are not `refusing` are exact."""
    expected = naive.ntk(model.eval(), x, zoo.trainable(model))
    for method in ("auto", *METHODS):
        try:
            found = ntk(model, x, method=method)
        except ValueError:
            assert method in refusing, method
            continue
        assert deviation(found, expected) < 1e-10, (method, found.plan.method)


# Where examples lie


@pytest.mark.parametrize(
    ("name", "place"),
    [
        ("sequences as outputs", Place(0)),
        ("time-major", Place(1)),
        ("batch and time merged", Place(0)),
        ("time and batch merged", Place(0, minor=True)),
        ("frames merged into the batch", Place(0)),
        ("attention, sequence first", Place(1)),
    ],
)
def test_places_of_examples(name: str, place: Place) -> None:
    model, x = zoo.make(name)
    layers = [site for site in surveyed(model, x).sites if site.kind == "layer"]
    inside = [site for site in layers if site.places[0] == site.outputs[0] == place]
    assert len(inside) >= (1 if name.startswith("attention") else len(layers) - 1)


@pytest.mark.parametrize("name", zoo.ZOO)
def test_the_zoo_is_followed(name: str) -> None:
    model, x = zoo.make(name)
    found = surveyed(model, x)
    assert not found.coupled
    assert not found.obstacle
    assert found.outputs == model.eval()(x).numel() // len(x)
    assert min(found.forward_bytes, found.calls, *found.kept_bytes.values()) > 0


def test_places_to_the_front() -> None:
    x = torch.arange(24).reshape(2, 6, 2)
    assert Place(0).front(x, 2).shape == (2, 1, 6, 2)
    major, minor = Place(1).front(x, 3), Place(1, minor=True).front(x, 3)
    for i in range(3):
        assert torch.equal(major[i], x[:, 2 * i : 2 * i + 2])
        assert torch.equal(minor[i], x[:, i::3])


def exchanged(*passes: Tensor) -> Exchanges:
    """What is seen of one tensor: three examples, the first exchanged, the others exchanged."""
    prints = [Prints() for _ in passes]
    for each, x in zip(prints, passes, strict=True):
        assert each.take(x) == 0
    return Exchanges(*prints)


@pytest.mark.parametrize(
    "dtype", [torch.float32, torch.bfloat16, torch.complex64, torch.long, torch.bool]
)
def test_examples_are_found_in_any_type(dtype: torch.dtype) -> None:
    def seen(a: int, b: int, c: int) -> Tensor:
        bits = torch.tensor([[a, b, c]]) >> torch.arange(6)[:, None] & 1
        return bits.to(dtype) * (1j if dtype.is_complex else 1)  # in the imaginary part alone

    found = exchanged(seen(9, 18, 36), seen(50, 18, 36), seen(9, 7, 7))
    assert found.place(0) == Place(1)


def test_what_is_seen_of_tensors_without_examples() -> None:
    same = torch.tensor([torch.nan, 1, 2])
    assert exchanged(same, same.clone(), same.clone()).place(0) is None
    empty = torch.empty(SEEN, 0)
    assert exchanged(empty, empty, empty).place(0) is None
    with pytest.raises(Unstructured, match=r"shapes depend on the input: \(3, 0\)"):
        exchanged(empty, empty, torch.empty(SEEN, 1))
    diagonal = torch.eye(SEEN)  # each example in a row and in a column of its own
    first, others = diagonal.clone(), 2 * diagonal
    first[0, 0], others[0, 0] = 2, 1
    with pytest.raises(Unstructured, match="not told apart"):
        exchanged(diagonal, first, others).place(0)


def test_a_tensor_changed_in_place_is_seen_anew() -> None:
    prints, x = Prints(), torch.zeros(SEEN, 2)
    assert [prints.take(x), prints.take(x)] == [0, 0]
    x[1] += 1
    assert [prints.take(x), prints.take(x.clone())] == [1, 2]
    assert prints.numbers().view(3, SEEN).count_nonzero(1).tolist() == [0, 1, 1]


def test_kinds_of_calls() -> None:
    model, x = zoo.make("vision transformer")
    kinds = {site.kind for site in surveyed(model, x).sites}
    assert kinds == {"layer", "spread"}
    model, x = zoo.make("weight norm")
    found = surveyed(model, x)
    assert "derived" in {site.kind for site in found.sites}
    assert all(isinstance(site, Site) for site in found.sites)


def test_uses_are_counted() -> None:
    model, x = zoo.make("layer used twice")
    found = surveyed(model, x)
    assert dict(found.uses) == {
        **dict.fromkeys(("shared.weight", "shared.bias"), 2),
        **dict.fromkeys(("other.weight", "other.bias", "readout.weight", "readout.bias"), 1),
    }
    assert found.macs == 4 * 4 * 3 + 4 * 3


@pytest.mark.parametrize("name", ["time and batch merged", "time-major"])
@pytest.mark.parametrize("steps", [3, 6])
def test_examples_that_differ_in_their_first_step_alone(name: str, steps: int) -> None:
    """Words with a common ending, for one."""
    model, x = zoo.make(name)
    x = x[:1, :1].repeat(4, steps, 1)
    x[:, 0] = torch.randn(4, 4, dtype=torch.float64)
    assert not surveyed(model, x).coupled
    expected = naive.ntk(model.eval(), x, zoo.trainable(model))
    assert deviation(ntk(model, x, method="structured"), expected) < 1e-10


def test_how_often_a_network_is_shown_examples() -> None:
    """Once, where the graph tells all; else five times: never all of them, and never anew."""
    shown: list[int] = []

    def step(m: Net, x: Tensor) -> Tensor:
        shown.append(len(x))
        return m.last(m.cell(x))

    for cell, expected in ((nn.Linear(4, 4), [3]), (nn.GRUCell(4, 4), [3, 2, 3, 3, 3])):
        shown.clear()
        model = Net(step, cell=cell, last=nn.Linear(4, 2)).double()
        surveyed(model, torch.randn(6, 4, dtype=torch.float64))
        assert shown == expected


def test_rows_that_do_not_add_up_are_refused() -> None:
    """But not where all is zero but for rounding."""
    model = Net(
        lambda m, x: m.b(torch.tanh(m.a(x))) - (x @ m.c).detach(),
        a=nn.Linear(4, 4), b=nn.Linear(4, 2), c=torch.ones(4, 2),
    ).double()  # fmt: skip
    x, policy = torch.randn(5, 4, dtype=torch.float64), policy_mode("running")
    ones, some = torch.ones(2, 1, dtype=torch.float64), range(1, 4)
    rows = per_example(model, x, some, ones, policy, zoo.trainable(model))
    check_rows(model, x, some, ones, policy, rows)
    rows["c"] += 1e-12
    check_rows(model, x, some, ones, policy, rows)
    rows["a.bias"][2] *= 1.001
    with pytest.raises(Unstructured, match=r"rows of parameter 'a.bias' do not add up"):
        check_rows(model, x, some, ones, policy, rows)


# Coupled examples


def mixing(step: Callable[[Tensor], Tensor]) -> nn.Module:
    """A layer whose outputs `step` mixes across the batch."""
    return Net(lambda m, x: step(torch.tanh(m.layer(x))), layer=nn.Linear(4, 4)).double()


FORWARDS: dict[str, Callable[[Tensor], Tensor]] = {
    "mean": lambda h: h - h.mean(0),
    "cumulative sum": lambda h: h.cumsum(0),
    "less the first": lambda h: h - h[:1],
    "attention between examples": lambda h: (h @ h.T).softmax(1) @ h,
}
BACKWARDS: dict[str, Callable[[Tensor], Tensor]] = {
    "less the last": lambda h: h - h[-1:],
    "reversed cumulative sum": lambda h: h.flip(0).cumsum(0).flip(0),
}


@pytest.mark.parametrize(
    "step",
    [*FORWARDS.values(), *BACKWARDS.values()],
    ids=[*FORWARDS, *BACKWARDS],
)
def test_coupled_examples_are_seen(step: Callable[[Tensor], Tensor]) -> None:
    model, x = mixing(step), torch.randn(5, 4, dtype=torch.float64)
    assert surveyed(model, x).coupled
    exact_or_refused(model, x)
    for method in INDEPENDENT:
        with pytest.raises(ValueError, match=r"influence each other.* use method='loop'"):
            ntk(model, x, method=method)


def words_mixed() -> nn.Module:
    """Sums over the examples so far of what is embedded."""
    return Net(
        lambda m, x: m.readout(torch.tanh(m.embed(x).sum(1)).cumsum(0)),
        embed=nn.Embedding(7, 4),
        readout=nn.Linear(4, 2),
    ).double()


def test_coupled_words_are_seen() -> None:
    model, x = words_mixed(), torch.tensor([[1, 2], [3, 4], [5, 6], [2, 2]])
    assert surveyed(model, x).coupled
    exact_or_refused(model, x)


def test_coupled_words_are_seen_though_all_are_equal() -> None:
    model = words_mixed()
    exact_or_refused(model, torch.ones(4, 2, dtype=torch.long))
    exact_or_refused(model, torch.tensor([[1, 2], [3, 4], [5, 6], [2, 2]]))


def test_equal_examples_are_told_apart_by_noise() -> None:
    model, x = mixing(FORWARDS["mean"]), torch.ones(4, 4, dtype=torch.float64)
    assert surveyed(model, x).coupled


def test_examples_coupled_behind_a_closed_gate() -> None:
    """Residual branches that begin at zero: f_i does not depend on x_j, but J_i does."""
    model = Net(
        lambda m, x: x + m.gate * torch.tanh(m.layer(x) - m.layer(x).mean(0)),
        layer=nn.Linear(4, 4),
        gate=torch.zeros(1),
    ).double()
    exact_or_refused(model, torch.randn(5, 4, dtype=torch.float64))


def test_batch_statistics_couple_and_constants_do_not() -> None:
    model, x = zoo.make("BatchNorm1d")
    assert surveyed(model, x, "batch").coupled
    assert not surveyed(model, x, "frozen").coupled
    assert not surveyed(model, x, "running").coupled


# Programs that are not what they seem


class Scaled(torch.autograd.Function):
    """x w, by formulas that no torch function is called for."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, w: Tensor) -> Tensor:
        ctx.save_for_backward(x, w)
        return x * w

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, Tensor]:
        x, w = ctx.saved_tensors
        return gradients[0] * w, (gradients[0] * x).sum(0)


def hidden(gate: Callable[[Tensor], Tensor]) -> nn.Module:
    def step(m: Net, x: Tensor) -> Tensor:
        h = torch.tanh(m.layer(x))
        return h + gate(x[:, :1]) * Scaled.apply(h, m.w)

    return Net(step, layer=nn.Linear(4, 4), w=torch.ones(4)).double()


def test_a_parameter_in_a_function_of_its_own_is_not_missed() -> None:
    model, x = hidden(torch.cos), torch.randn(6, 4, dtype=torch.float64)
    with pytest.raises(ValueError, match="use of parameter 'w' was not understood"):
        ntk(model, x, method="structured")
    exact_or_refused(model, x)


def test_a_hidden_parameter_that_the_first_examples_do_not_use() -> None:
    model, x = hidden(torch.relu), torch.randn(8, 4, dtype=torch.float64)
    x[:, 0] = torch.tensor([-1.0, -2, -3, 1, 2, 3, 4, 5])
    exact_or_refused(model, x)


def test_a_hidden_parameter_alone() -> None:
    model, x = hidden(torch.cos), torch.randn(6, 4, dtype=torch.float64)
    found = ntk(model, x, parameters=lambda name, p: name == "w")
    assert deviation(found, naive.ntk(model, x, ["w"])) < 1e-10
    with pytest.raises(ValueError, match="was not understood"):
        ntk(model, x, parameters=lambda name, p: name == "w", method="structured")


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_a_compiled_layer_is_not_missed() -> None:
    """Its calls are made where no interception looks."""
    layer = torch.jit.script(nn.Linear(4, 4))
    model = Net(lambda m, x: torch.tanh(m.layer(x)) ** 2, layer=layer).double()
    exact_or_refused(model, torch.randn(5, 4, dtype=torch.float64))


def branching() -> nn.Module:
    """Another layer, and one more, where the batch has a negative sum."""

    def step(m: Net, x: Tensor) -> Tensor:
        return m.a(x) if x.sum() > 0 else m.c(torch.tanh(m.b(x)))

    parts = {name: nn.Linear(4, 4) for name in "abc"}
    return Net(step, **parts).double()


def test_a_program_that_depends_on_the_data() -> None:
    x = torch.rand(6, 4, dtype=torch.float64)
    x[0] -= 10  # one of the pair that a survey shows is negative, the other not
    exact_or_refused(branching(), x)


def test_a_program_that_changes_after_its_survey() -> None:
    x = torch.rand(6, 4, dtype=torch.float64)
    x[3:] *= -10  # the first examples, which a survey sees, go the other way
    model = branching()
    with pytest.raises(ValueError, match=r"cannot follow this network: .*not that of its survey"):
        ntk(model, x, method="structured")
    exact_or_refused(model, x)


def test_a_layer_in_the_place_of_another_after_the_survey() -> None:
    model = Net(
        lambda m, x: (m.a if x.sum() > 0 else m.b)(x), a=nn.Linear(4, 3), b=nn.Linear(4, 3)
    ).double()
    x = torch.rand(6, 4, dtype=torch.float64)
    x[3:] *= -10
    exact_or_refused(model, x)


def test_a_network_of_one_batch_size() -> None:
    model = Net(lambda m, x: m.layer(x.view(5, 4)), layer=nn.Linear(4, 2)).double()
    x = torch.randn(5, 4, dtype=torch.float64)
    found = surveyed(model, x)
    assert found.coupled
    assert found.outputs == 2
    exact_or_refused(model, x)
    assert deviation(ntk(model, x, method="loop"), 2 * (x @ x.T + 1)) < 1e-10


def test_a_network_that_draws_noise_draws_the_same_in_a_survey() -> None:
    model = mixing(lambda h: h + torch.rand_like(h))
    random = torch.random.get_rng_state()
    assert not surveyed(model, torch.randn(5, 4, dtype=torch.float64)).coupled
    torch.random.set_rng_state(random)
    x = torch.ones(5, 4, dtype=torch.float64)
    surveyed(model, x)
    assert torch.equal(random, torch.random.get_rng_state())
