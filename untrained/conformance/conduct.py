"""What a score gives, and what it leaves behind."""

from collections.abc import Callable
from copy import deepcopy

from untrained.conformance.asking import Answer, ask
from untrained.conformance.examined import (
    NO_NUMBER,
    OF_MACHINE,
    Examined,
    Pair,
    difference,
    percent,
    short,
    unchanged,
)
from untrained.conformance.finding import Check, Verdict, by_kind, listed
from untrained.conformance.networks import BUSY, IDLE_OPERATIONS


def gives_a_reading(examined: Examined) -> Verdict:
    """A number or a reason, of the cell that searches would show it."""
    answer = examined.answers["cell"]
    if answer.fault:
        return Verdict(False, answer.fault)
    value, reason, _ = answer.reading
    return Verdict(True, f"{short(value)} (cell)" if value is not None else f"no number: {reason}")


def leaves_parameters_alone(examined: Examined) -> Verdict:
    """Parameters and submodules: a run counts a change as a failure."""
    return _nothing_of(examined, lambda answer: answer.parts)


def leaves_the_network_alone(examined: Examined) -> Verdict:
    """Buffers, gradients, hooks, modes, `requires_grad` and other attributes."""
    return _nothing_of(examined, lambda answer: answer.traces)


def leaves_the_process_alone(examined: Examined) -> Verdict:
    """Global random states, settings of torch, NumPy and Python, working folder, environment."""
    return _nothing_of(examined, lambda answer: answer.process)


def leaves_the_probe_alone(examined: Examined) -> Verdict:
    """Images and labels."""
    return _nothing_of(examined, lambda answer: answer.probe)


def _nothing_of(examined: Examined, left: Callable[[Answer], list[str]]) -> Verdict:
    found = {kind: names for kind, answer in examined.answers.items() if (names := left(answer))}
    said = by_kind({kind: listed(names) for kind, names in found.items()})
    return Verdict(not found, f"changes {said}" if found else "nothing changes")


def repeats_itself(examined: Examined) -> Verdict:
    """The same bits again, and of a copy of the network."""
    if not examined.numbers:
        return Verdict(None, NO_NUMBER)
    changes: dict[str, float] = {}
    for kind, value in examined.numbers.items():
        networks = examined.networks[kind], deepcopy(examined.networks[kind])
        again = [ask(examined.score, network, examined.probe).reading for network in networks]
        if any(reading.value != value for reading in again):
            changes[kind] = max(difference(value, reading) for reading in again)
    if not changes:
        return Verdict(True, "called twice, and on a copy of the network")
    said = by_kind({kind: percent(by) for kind, by in changes.items()})
    if examined.score.of_machine:
        return Verdict(True, f"it measures the machine, and differs by {said}")
    return Verdict(False, f"differs by {said}")


def draws_from_its_generator_alone(examined: Examined) -> Verdict:
    """The same bits from another global random state."""
    if not examined.numbers or examined.score.of_machine:
        return Verdict(None, NO_NUMBER if not examined.numbers else OF_MACHINE)
    others = [
        kind
        for kind, value in examined.numbers.items()
        for network in [examined.networks[kind]]
        if ask(examined.score, network, examined.probe, surroundings_seed=1).reading.value != value
    ]
    if not others:
        return Verdict(True, "another global random state gives the same bits")
    return Verdict(False, f"another global random state gives another number ({listed(others)})")


def keeps_of_function(examined: Examined) -> Verdict:
    """Cells that compute the same function, if it says so; a run measures one of them for all."""
    if not examined.score.of_function:
        return Verdict(True, "of_function is False: each architecture is measured by itself")
    if examined.score.of_machine:
        return Verdict(None, OF_MACHINE)
    before = ask(examined.score, examined.cell(BUSY), examined.probe).reading
    pairs = {
        what: Pair(before.value, ask(examined.score, examined.cell(text), examined.probe).reading)
        for what, text in IDLE_OPERATIONS.items()
        if before.value is not None
    }
    holds, reason = unchanged(pairs, dict.fromkeys(pairs, examined.noise.get("cell", 0.0)))
    said = f"with idle operations: {reason}"
    if holds is False:
        said += "; a run measures the cell without them, unless of_function is False"
    return Verdict(holds, said)


CONTRACT: dict[str, Check[Examined]] = {
    "gives a Reading": gives_a_reading,
    "leaves parameters and submodules alone": leaves_parameters_alone,
    "gives the same bits for the same generator": repeats_itself,
}
TRACES: dict[str, Check[Examined]] = {
    "leaves all else of the network alone": leaves_the_network_alone,
    "leaves the process alone": leaves_the_process_alone,
    "leaves the probe alone": leaves_the_probe_alone,
}
CONDUCT: dict[str, Check[Examined]] = {
    "draws from its generator alone": draws_from_its_generator_alone,
    "scores cells of one function equal, or says not": keeps_of_function,
}
