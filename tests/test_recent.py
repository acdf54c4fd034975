"""Surveys that are kept: asked again where nothing may have changed, and believed by no one."""

from collections.abc import Callable
from types import SimpleNamespace

import naive
import pytest
import torch
import torch.nn.functional as F
from compare import deviation
from torch import Tensor, nn
from zoo import Net

from untrained import ntk
from untrained.kernels import knowledge, question, recent
from untrained.layerwise.survey import Survey

ONES = torch.ones(3)
X = torch.randn(6, 4, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


def network(seed: int, width: int = 5) -> nn.Sequential:
    torch.manual_seed(seed)
    return nn.Sequential(nn.Linear(4, width), nn.Tanh(), nn.Linear(width, 3)).double()


class Told(nn.Module):
    """Sums examples with a neighbour if what it was given says so."""

    def __init__(self, said: object) -> None:
        super().__init__()
        self.a, self.said = nn.Linear(4, 3), said

    def forward(self, x: Tensor) -> Tensor:
        return self.a(x + x.roll(1, 0) if vars(self.said)["couples"] else x)


@pytest.fixture(autouse=True)
def surveys(monkeypatch: pytest.MonkeyPatch) -> list[nn.Module]:
    """The networks that are surveyed, in a process that has seen none."""
    monkeypatch.setattr(recent, "_surveys", {})
    seen: list[nn.Module] = []

    def watched(model: nn.Module, *args: object) -> tuple[Survey, dict[str, str]]:
        seen.append(model)
        return surveyed(model, *args)  # type: ignore[arg-type]

    surveyed = knowledge.surveyed
    monkeypatch.setattr(knowledge, "surveyed", watched)
    return seen


def check(model: nn.Module) -> None:
    expected = naive.ntk(model, X, [name for name, _ in model.named_parameters()])
    assert deviation(ntk(model, X), expected) < 1e-12


def test_draws_of_one_architecture_are_surveyed_once(surveys: list[nn.Module]) -> None:
    for seed in range(3):
        check(network(seed))
    assert len(surveys) == 1
    check(network(0, width=7))
    assert len(surveys) == 2


def test_a_survey_serves_other_questions(surveys: list[nn.Module]) -> None:
    """Of other examples, outputs and parameters."""
    model = network(0)
    names = [name for name, _ in model.named_parameters()]
    for output in ("sum", "full"):
        for x in (X, X[:4]):
            found = ntk(model, x, output=output, method="structured")
            assert deviation(found, naive.ntk(model, x, names, output)) < 1e-12
    found = ntk(model, X, parameters="weights", method="structured")
    assert deviation(found, naive.ntk(model, X, names[::2])) < 1e-12
    assert len(surveys) == 1


def last_state(m: Net, x: Tensor) -> Tensor:
    return m.cell(x)[0][:, -1]


def test_recurrent_layers_are_surveyed_once(surveys: list[nn.Module]) -> None:
    """Though they hold lists of their parameters, and references to them."""
    x = torch.randn(3, 5, 4, dtype=torch.float64)
    for seed in range(2):
        torch.manual_seed(seed)
        model = Net(last_state, cell=nn.GRU(4, 3, batch_first=True)).double()
        expected = naive.ntk(model, x, [name for name, _ in model.named_parameters()])
        assert deviation(ntk(model, x, method="structured"), expected) < 1e-12
    assert len(surveys) == 1


def test_settings_that_say_nothing_of_themselves_are_surveyed_anew(
    surveys: list[nn.Module],
) -> None:
    said = SimpleNamespace(couples=False)
    model = Told(said).double()
    check(model)
    said.couples = True
    check(model)
    assert len(surveys) == 2


class Applied(nn.Module):
    """A linear layer, and a function of examples."""

    def __init__(self, function: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.a, self.function = nn.Linear(4, 3), function

    def forward(self, x: Tensor) -> Tensor:
        return self.function(self.a(x))


def scaling(factors: Tensor) -> Callable[[Tensor], Tensor]:
    return lambda x: x * factors


def scaled(x: Tensor, factors: Tensor = ONES) -> Tensor:
    return x * factors


def scaled_by_name(x: Tensor, *, factors: Tensor = ONES) -> Tensor:
    return x * factors


@pytest.mark.parametrize("function", [scaling(ONES), scaled, scaled_by_name])
def test_functions_that_hold_something_are_not_kept(
    function: Callable[[Tensor], Tensor], surveys: list[nn.Module]
) -> None:
    """It may change, and would live as long as the survey."""
    model = Applied(function).double()
    for _ in range(2):
        check(model)
    assert len(surveys) == 2
    assert not recent._surveys


def test_functions_that_hold_nothing_are_surveyed_once(surveys: list[nn.Module]) -> None:
    for function in (torch.tanh, F.softsign, F.softsign):
        check(Applied(function).double())
    assert len(surveys) == 2


def test_a_program_that_is_not_its_survey_is_surveyed_anew(
    monkeypatch: pytest.MonkeyPatch, surveys: list[nn.Module]
) -> None:
    """As if two programs looked the same."""
    monkeypatch.setattr(question, "program", lambda *args: "all of them")
    for model in (network(0), network(0)[:1], Told(SimpleNamespace(couples=True)).double()):
        check(model)
    assert len(surveys) == 3


def test_the_oldest_are_forgotten(surveys: list[nn.Module]) -> None:
    for width in range(1, recent.KEPT + 3):
        ntk(network(0, width), X)
    assert len(recent._surveys) == recent.KEPT
    ntk(network(0, 1), X)
    assert surveys[-1].get_submodule("0").out_features == 1
