"""One call of a score, as a run makes it, and all that it leaves behind."""

import time
from dataclasses import replace
from typing import NamedTuple

import torch
from torch import nn

from untrained.images import Probe
from untrained.runs.failures import attempt
from untrained.runs.keeping import KeptNetwork
from untrained.runs.readings import checked
from untrained.runs.streams import stream
from untrained.runs.surroundings import surroundings
from untrained.scores import Reading, Score


class Answer(NamedTuple):
    """What a score gave, and what a run had to put back."""

    reading: Reading
    "As a run keeps it."
    fault: str
    "Why a run refuses what was given; empty for a Reading of a number or of a reason."
    parts: list[str]
    "Parameters and submodules of the network that it changed."
    traces: list[str]
    "What else of the network it changed."
    process: list[str]
    "Settings and random states of the process that it changed."
    probe: list[str]
    "`inputs` and `labels` of the probe, where it changed them."
    seconds: float
    "Of the processor, which other programs do not prolong."


def ask(
    score: Score, network: nn.Module, probe: Probe, *, seed: int = 0, surroundings_seed: int = 0
) -> Answer:
    """Calls the score on a copy of the probe; network and process are afterwards as they were.

    Args:
        score: anybody's.
        network: as it is to be shown.
        probe: the same.
        seed: of the generator that the score is given.
        surroundings_seed: of the global random state that it finds.
    """
    kept = KeptNetwork(network)
    own = replace(probe, inputs=probe.inputs.clone(), labels=probe.labels.clone())
    with surroundings(surroundings_seed) as process:
        began = time.process_time()
        given, failure = attempt(lambda: score(network, own, stream(seed, "score")))
        seconds = time.process_time() - began
    parts, traces = kept.restore()
    held = {"inputs": (own.inputs, probe.inputs), "labels": (own.labels, probe.labels)}
    spoilt = [name for name, (now, then) in held.items() if not _equal(now, then)]
    reading = Reading(None, *failure) if failure else checked(given)
    fault = "" if _proper(given) else reading.reason
    return Answer(reading, fault, parts, traces, process, spoilt, seconds)


def _proper(given: object) -> bool:
    """Whether it is a Reading of a finite number, or of a reason."""
    if not isinstance(given, Reading):
        return False
    return bool(given.reason) if given.value is None else checked(given).value is not None


def _equal(now: torch.Tensor, then: torch.Tensor) -> bool:
    kinds = [(t.shape, t.dtype, t.requires_grad) for t in (now, then)]
    return kinds[0] == kinds[1] and torch.equal(now, then)
