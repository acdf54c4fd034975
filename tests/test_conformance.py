"""The conformance suite tells each fault, and finds none where there is none."""

import copy
import json
import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, NoReturn

import nonconforming
import numpy as np
import pytest
import torch
from misbehaving import CHANGES, GIVEN, MEMORY, TRACES, Misbehaving
from nonconforming import (
    DECLARATIONS,
    NUMBERS,
    SEARCHERS_THAT_FAIL,
    SPACES_THAT_FAIL,
    Endless,
    Failing,
    OfImages,
    Unfinished,
)
from torch import nn

from untrained import Finding, Reading, check
from untrained.cli import main
from untrained.cli.ending import interrupted
from untrained.cli.terminal import PRINTED
from untrained.conformance import (
    behaviour,
    built,
    conduct,
    damage,
    declared,
    searchers,
    supernets,
    values,
)
from untrained.conformance.asking import ask
from untrained.conformance.declared import Declared
from untrained.conformance.examined import Examined, Pair, unchanged
from untrained.conformance.finding import Verdict, finding
from untrained.conformance.networks import CNN, MLP, balanced
from untrained.conformance.passes import passes_of
from untrained.conformance.sampled import Sampled
from untrained.conformance.searchers import Searched
from untrained.images import Images, Probe
from untrained.runs.setup import setup_of
from untrained.scores import SCORES, Score
from untrained.searchers import SEARCHERS
from untrained.settings import Setting
from untrained.spaces import SPACES
from untrained.spaces.nasbench201 import NASBench201

OF_NETWORKS = (
    conduct.CONTRACT
    | conduct.TRACES
    | conduct.CONDUCT
    | behaviour.REACH
    | behaviour.BEHAVIOUR
    | damage.BEHAVIOUR
)
OF_SPACES = (
    values.CONTRACT | built.CONTRACT | supernets.CONTRACT | values.CONDUCT | values.BEHAVIOUR
)
OF_SEARCHERS = searchers.MADE | searchers.CONTRACT | searchers.CONDUCT


BEARTYPE = "changes Python's global random state"
"""How a reason begins where nothing else is wrong: while tests run, an item of every list, drawn
at random, is checked in the whole process."""


def examined(score: Score, digits: Images) -> Examined:
    kind = type(score)
    setup = setup_of(kind, kind.__name__, SPACES["nasbench201"], {})
    return Examined(replace(setup, score=score), digits)


def told(statement: str, checks: Any, subject: Any) -> Finding:
    return finding("contract", statement, checks[statement], subject)


# Scores


def test_a_score_without_a_fault_holds_in_every_line(digits: Images) -> None:
    state = torch.get_rng_state(), np.random.get_state(legacy=False)["state"]["key"].copy()  # noqa: NPY002
    found = check(OfImages)
    unsure = {f.statement: (f.verdict, f.reason) for f in found if f.holds is not True}
    assert unsure == {}
    assert len(found) == len(OF_NETWORKS) + 5
    assert torch.equal(torch.get_rng_state(), state[0])
    assert (np.random.get_state(legacy=False)["state"]["key"] == state[1]).all()  # noqa: NPY002


@pytest.mark.parametrize("statement", NUMBERS)
def test_each_fault_of_a_score_is_told(statement: str, digits: Images) -> None:
    found = told(statement, OF_NETWORKS, examined(Failing(statement), digits))
    assert found.holds is False, found
    assert found.reason


def test_a_slow_score_is_told(digits: Images, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = iter(range(0, 1000, 2))
    monkeypatch.setattr("time.process_time", lambda: next(clock))
    found = told("takes less than a second", OF_NETWORKS, examined(OfImages(), digits))
    assert found.holds is False
    assert "2 s (cell" in found.reason


@pytest.mark.parametrize(
    ("statement", "kind"), [(s, kind) for s, kinds in DECLARATIONS.items() for kind in kinds]
)
def test_each_fault_of_a_class_is_told(statement: str, kind: type[Score]) -> None:
    found = told(statement, declared.CONTRACT | declared.CONDUCT, Declared(kind, kind))
    assert found.holds is False, found


@dataclass(frozen=True)
class Silent(OfImages):
    def __call__(self, network: nn.Module, probe: Probe, generator: torch.Generator) -> Reading:
        return Reading(None, "set a size")


def test_a_score_without_a_number_is_asked_no_further() -> None:
    found = check(Silent)
    assert not any(f.breaks for f in found)
    assert "set a size" in found[-1].reason
    assert [f.statement for f in found if f.part == "behaviour"] == ["has a number of any network"]


def test_a_class_that_no_run_could_take_is_asked_no_further() -> None:
    found = check(nonconforming.NoDirection)
    assert [f.statement for f in found if f.breaks] == ["declares its direction"]
    assert len(found) == 5


def test_a_score_inside_a_function_cannot_be_sent_to_workers() -> None:
    @dataclass(frozen=True)
    class Inside(OfImages):
        pass

    statement = "can be sent to worker processes"
    found = told(statement, declared.CONDUCT, Declared(Inside, Inside))
    assert found.holds is False
    assert "at the top of a module" in found.reason


@pytest.fixture(scope="module")
def shown(digits: Images) -> tuple[nn.Module, Probe]:
    """A thin cell, and a probe."""
    setting = examined(Misbehaving(), digits)
    return setting.networks["cell"], setting.probe


@pytest.mark.parametrize("deed", GIVEN | MEMORY)
def test_what_is_no_reading_is_a_fault(deed: str, shown: tuple[nn.Module, Probe]) -> None:
    answer = ask(Misbehaving(deed), *shown)
    assert answer.reading.value is None
    assert answer.fault


@pytest.mark.parametrize("deed", CHANGES)
def test_a_changed_network_is_told_by_name(deed: str, shown: tuple[nn.Module, Probe]) -> None:
    answer = ask(Misbehaving(deed), *shown)
    assert answer.parts, answer
    assert ask(Misbehaving("a call"), *shown).parts == []


UNTOLD = {
    *("a timer", "warnings", "standard output", "a closed stream", "closed descriptors"),
    *("a print", "fork"),
}
"What a run makes up for without comparing anything."


@pytest.mark.parametrize("deed", sorted(set(TRACES) - UNTOLD))
def test_each_trace_is_told(deed: str, shown: tuple[nn.Module, Probe]) -> None:
    answer = ask(Misbehaving(deed), *shown)
    assert answer.reading == Reading(3.0)
    assert answer.parts == []
    assert answer.traces or answer.process or answer.probe, answer
    after = ask(OfImages(), *shown)
    assert [*after.traces, *after.process, *after.probe] == []


@pytest.mark.parametrize(
    ("deed", "names"),
    [
        ("gradients", {"classifier.weight.grad"}),
        ("evaluation", {"training", "classifier.training"}),
        ("no gradients", {"classifier.bias.requires_grad"}),
        ("a hook", {"_forward_hooks"}),
        ("a call", {"norm.running_mean", "norm.num_batches_tracked"}),
        ("a forward of the class", {"CellNetwork.forward"}),
        ("default dtype", {"default dtype"}),
        ("threads", {"number of threads"}),
        ("a function of torch", {"torch.nn.functional.batch_norm"}),
        ("the labels", {"labels"}),
        (
            "seeds",
            {f"{which}'s global random state" for which in ("torch", "NumPy", "Python")},
        ),
    ],
)
def test_traces_are_told_by_name(
    deed: str, names: set[str], shown: tuple[nn.Module, Probe]
) -> None:
    answer = ask(Misbehaving(deed), *shown)
    assert names <= {*answer.traces, *answer.process, *answer.probe}


@dataclass(frozen=True)
class OfInputGradients(OfImages):
    """Lets the images that it is given collect gradients."""

    def __call__(self, network: nn.Module, probe: Probe, generator: torch.Generator) -> Reading:
        network(probe.inputs.requires_grad_()).sum().backward()
        assert probe.inputs.grad is not None
        return Reading(float(probe.inputs.grad.abs().sum()))


def test_gradients_of_images_are_those_of_one_call() -> None:
    found = {f.statement: f for f in check(OfInputGradients)}
    assert not any(f.breaks for f in found.values())
    assert found["does not depend on the order of images"].holds is not False
    assert found["leaves the probe alone"].reason == "changes inputs (cell, ResNet, CNN, MLP)"


def test_traces_of_ours_break_the_contract_and_those_of_others_do_not() -> None:
    found = {f.statement: f for f in check(Misbehaving("default dtype"))}
    assert found["leaves the process alone"].part == "conduct"
    assert found["leaves the process alone"].holds is False
    assert "changes default dtype (cell" in found["leaves the process alone"].reason
    ours = {f.statement: f for f in check("parameters")}
    assert ours["leaves the process alone"].part == "contract"


def test_cells_have_the_connectivity_that_a_run_gives_them() -> None:
    found = {f.statement: f for f in check("effective_depth")}
    assert found["gives a Reading"].reason == "1.25 (cell)"  # paths of 2, 2, 1 and 0
    assert found["scores cells of one function equal, or says not"].holds is True
    assert not any(f.breaks for f in found.values())


def test_rescaled_layers_compute_the_same_function() -> None:
    x = torch.randn(3, 1, 8, 8)
    for network in (CNN(4, 1, 5), MLP(4, 64, 5)):
        before = network(x)
        balanced(network)
        assert torch.equal(network(x), before)


def test_passes_are_counted_through_copies_and_hooks_removed() -> None:
    network, x = MLP(2, 4, 3), torch.randn(5, 1, 2, 2)
    with passes_of(network) as passes:
        network(x[:3])
        copy.deepcopy(network)(x[2:])
    assert (passes.count, len(passes.seen), len(set(passes.seen))) == (2, 6, 5)
    assert not network._forward_pre_hooks
    with passes_of(network) as passes:
        torch.vmap(network)(x[:, None])
    assert passes.verdict("MLP").holds is None


@pytest.mark.parametrize(
    ("after", "noise", "holds"),
    [
        (2.0, 0.0, True),
        (2.0001, 0.0, True),
        (2.01, 0.0, None),
        (2.4, 0.0, False),
        (2.4, 0.3, None),
        (None, 0.0, False),
    ],
)
def test_what_rounding_or_randomness_may_do_cannot_be_told(
    after: float | None, noise: float, holds: bool | None
) -> None:
    reading = Reading(after, "" if after else "lost")
    found = unchanged({"CNN": Pair(2.0, reading)}, {"CNN": noise})
    assert found.holds is holds


def test_weights_twice_as_large_are_told_by_their_ratio(digits: Images) -> None:
    setting = examined(Failing("does not depend on the scale of weights"), digits)
    found = told("does not depend on the scale of weights", OF_NETWORKS, setting)
    assert found.reason == "becomes 2 times (CNN, MLP, ResNet, cell)"


def test_a_score_after_training_sees_trained_networks_in_evaluation_mode(digits: Images) -> None:
    short: dict[str, Setting] = {"count": 20, "images": 64}
    setup = setup_of(
        SCORES["training_accuracy"], "training_accuracy", SPACES["nasbench201"], short
    )
    setting = Examined(setup, digits)
    network = setting.network(setting.kinds["MLP"])
    assert not network.training
    untrained = Examined(replace(setup, short_training=None), digits)
    fresh = untrained.network(untrained.kinds["MLP"])
    weights = [next(net.parameters()) for net in (network, fresh)]
    assert not torch.equal(*weights)


# Spaces and searchers


@pytest.mark.parametrize("name", SPACES)
def test_our_spaces_keep_their_contract(name: str) -> None:
    broken = {f.statement: f.reason for f in check(name) if f.breaks or f.holds is None}
    assert broken == {}


@pytest.mark.parametrize(
    ("statement", "kind"), [(s, kind) for s, kinds in SPACES_THAT_FAIL.items() for kind in kinds]
)
def test_each_fault_of_a_space_is_told(statement: str, kind: Any) -> None:
    found = told(statement, OF_SPACES, Sampled(kind()))
    assert found.holds is False, found
    assert not found.reason.startswith(BEARTYPE)


def test_every_statement_about_a_space_can_fail() -> None:
    assert set(SPACES_THAT_FAIL) == set(OF_SPACES)


def test_every_statement_about_a_score_can_fail() -> None:
    elsewhere = {*conduct.TRACES, "leaves parameters and submodules alone"}
    assert {*NUMBERS, *elsewhere, "takes less than a second"} == set(OF_NETWORKS)


OPTIONS: dict[str, dict[str, Setting]] = {
    "given": {"architectures": "|none~0|+|none~0|none~1|+|none~0|none~1|skip_connect~2|"}
}


class Infinite(NASBench201):
    def enumerate(self) -> NoReturn:
        raise NotImplementedError


def test_an_infinite_space_need_not_be_enumerated() -> None:
    found = told("enumerates each architecture once", OF_SPACES, Sampled(Infinite()))
    assert found.holds is None


def test_the_thing_itself_may_be_given() -> None:
    by_name, itself = check("random"), check(SEARCHERS["random"])
    assert [f.verdict for f in by_name] == [f.verdict for f in itself]
    found = {f.statement: f.reason for f in check(Failing("needs no labels"), {"count": 6})}
    assert "changes by" in found["needs no labels"]


@pytest.mark.parametrize("name", SEARCHERS)
def test_our_searchers_keep_their_contract(name: str) -> None:
    found = check(SEARCHERS[name], OPTIONS.get(name))
    assert [
        (f.statement, f.reason) for f in found if not f.holds and not f.reason.startswith(BEARTYPE)
    ] == []


@pytest.mark.parametrize(
    ("statement", "kind"),
    [(s, kind) for s, kinds in SEARCHERS_THAT_FAIL.items() for kind in kinds],
)
def test_each_fault_of_a_searcher_is_told(statement: str, kind: Any) -> None:
    found = told(statement, OF_SEARCHERS, Searched(kind, {"evaluations": 20}))
    assert found.holds is False, found
    assert not found.reason.startswith(BEARTYPE)


def test_a_searcher_that_cannot_be_made_is_asked_no_further() -> None:
    (found,) = check(Unfinished)
    assert found.breaks
    assert "abstract" in found.reason


def test_a_search_that_goes_on_and_on_cannot_be_told() -> None:
    found = told("comes to an end", OF_SEARCHERS, Searched(Endless, {}))
    assert found.holds is None


def test_every_statement_about_a_searcher_can_fail() -> None:
    assert set(SEARCHERS_THAT_FAIL) == set(OF_SEARCHERS)


def test_a_name_of_two_kinds_is_the_scores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(SEARCHERS, "parameters", SEARCHERS["random"])
    assert check("parameters")[0].statement == "is a frozen value"


def test_a_check_that_raises_is_a_finding() -> None:
    def check_of(subject: None) -> Verdict:
        raise RuntimeError("somebody's")

    found = finding("contract", "is there", check_of, None)
    assert (found.breaks, found.verdict) == (True, "does not hold")
    assert "RuntimeError: somebody's" in found.reason


# Names and settings


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (
            lambda: check("naswott"),
            "unknown score, space or searcher 'naswott': expected 'naswot'",
        ),
        (lambda: check("nowhere:Thing"), "cannot load score, space or searcher"),
        (lambda: check("nasbench201@2"), "expected epochs after the @ of a score alone"),
        (
            lambda: check("nonconforming:NUMBERS"),
            "expected a score's class, a space or a searcher",
        ),
        (lambda: check("parameters", {"coutn": 3}), "unknown setting 'coutn'"),
        (lambda: check("parameters", {"count": 100_000}), "set --score-settings.parameters.count"),
        (lambda: check("nasbench201", {"count": 3}), "unknown setting 'count' of a space"),
        (lambda: check("evolution", {"count": 3}), "unknown setting 'count' of searcher"),
    ],
)
def test_wrong_use_is_refused_in_one_line(call: Callable[[], object], words: str) -> None:
    with pytest.raises(ValueError, match=re.escape(words)) as error:
        call()
    assert "\n" not in str(error.value)


def test_settings_are_those_of_the_score_and_its_probe() -> None:
    found = {f.statement: f.reason for f in check("test_conformance:CountsImages", {"count": 3})}
    assert found["gives a Reading"] == "3 (cell)"


class CountsImages(OfImages):
    def __call__(self, network: nn.Module, probe: Probe, generator: torch.Generator) -> Reading:
        return Reading(float(len(probe.inputs)))


def test_a_check_that_is_interrupted_starts_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.argv", ["untrained", "check", "naswot"])
    said = "Ended; nothing was written. To start again: untrained check naswot"
    assert interrupted("Ended") == said


def test_the_command(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(PRINTED, "_width", 200)

    def call(*words: str) -> tuple[int, str, str]:
        monkeypatch.setattr("sys.argv", ["untrained", "check", *words])
        try:
            main()
            code = 0
        except SystemExit as end:
            code = int(end.code or 0)
        return code, *capsys.readouterr()

    code, out, _ = call("nonconforming:NoDirection", "evolution", "--options.evaluations", "10")
    assert code == 1
    assert "It breaks its contract in 1 of its parts: nonconforming:NoDirection" in out
    assert "It keeps its contract: evolution" in out
    assert "expected higher_is_better to be True or False, got 'yes'" in out
    code, out, _ = call("evolution", "--json")
    [found] = json.loads(out)
    assert (code, found["keeps_contract"]) == (0, True)
    assert {f["verdict"] for f in found["findings"] if f["part"] == "contract"} == {"holds"}
    code, _, err = call()
    assert code == 2
    assert "expected the name of a score, space or searcher" in err
    code, _, err = call("evolution", "--score-settings.naswot.count", "3")
    assert code == 2
    assert "expected settings of evolution, got some of naswot" in err
