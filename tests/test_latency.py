"""Latency by a clock of ours, in both runtimes; and its interval."""

import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from itertools import chain

import numpy as np
import pytest
import torch
from torch import nn

from untrained.images import Probe
from untrained.networks.onnx_graph import missing_packages
from untrained.scores import Reading
from untrained.scores import latency as timing
from untrained.scores.latency import Latency, interval, timed

needs_onnx = pytest.mark.skipif(bool(missing_packages()), reason="needs untrained[onnx]")


def network() -> nn.Module:
    return nn.Sequential(nn.Flatten(), nn.Linear(12, 8), nn.ReLU(), nn.Linear(8, 3))


def probe(count: int = 2) -> Probe:
    return Probe(torch.ones(count, 3, 2, 2), torch.zeros(count, dtype=torch.int64), 3, "ones")


def read(score: Latency, of: nn.Module | None = None) -> Reading:
    return score(of or network(), probe(), torch.Generator())


def ticking(monkeypatch: pytest.MonkeyPatch, seconds: Sequence[float]) -> Iterator[float]:
    """Passes that take so many seconds, by the clock; what is left of them is not called."""
    ticks = chain.from_iterable((0.0, each) for each in seconds)
    monkeypatch.setattr(timing, "clock", lambda device, threads: ticks.__next__)
    return ticks


def test_it_is_the_median_of_passes_after_warming_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """A round that is no faster than the one before ends the warming up."""
    few = [0.09, 0.09, 0.09, 0.04, 0.04, 0.04, 0.01, 0.01, 0.01, 0.01, 0.01, 0.01]
    left = ticking(monkeypatch, [*few, 1.0, 9.0, 1.0, 7.0])
    assert read(Latency(passes=3, seconds=60.0)) == Reading(1)
    assert list(left) == [0.0, 7.0]


def test_slow_networks_are_warmed_up_and_timed_a_few_times(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    left = ticking(monkeypatch, [5.0, 5.0, 5.0, 2.0, 3.0, 4.0, 9.0])
    assert read(Latency(passes=50, seconds=2.0)) == Reading(3)
    assert list(left) == [0.0, 9.0]


def test_threads_and_garbage_collection_are_as_they_were() -> None:
    import gc

    before = torch.get_num_threads(), gc.isenabled()
    seen = []

    class Watching(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            seen.append((torch.get_num_threads(), gc.isenabled()))
            return x.flatten(1)

    assert (read(Latency(passes=3, threads=2), Watching()).value or 0) > 0
    assert set(seen) == {(2, False)}
    assert (torch.get_num_threads(), gc.isenabled()) == before


def test_what_other_programs_take_of_one_thread_does_not_count() -> None:
    """A pass that only waits takes no time of the processor; on two threads, waiting counts."""
    import time

    class Waiting(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            time.sleep(0.02)
            return x.flatten(1)

    alone, together = (read(Latency(passes=3, threads=n), Waiting()).value for n in (1, 2))
    assert alone is not None
    assert together is not None
    assert alone < 0.02 <= together


@needs_onnx
def test_in_onnx_runtime() -> None:
    found = read(Latency(passes=3, runtime="onnx"))
    assert found.value is not None
    assert 0 < found.value < 1


def test_without_onnx_runtime(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(timing, "missing_packages", lambda: ("onnx",))
    assert read(Latency(runtime="onnx")).reason == "needs onnx: install untrained[onnx]"


@pytest.mark.parametrize("option", ["passes", "threads"])
def test_less_than_one(option: str) -> None:
    assert f"{option}=0" in read(replace(Latency(), **{option: 0})).reason  # type: ignore[arg-type]


# The interval


def test_it_covers_the_median_as_often_as_it_says() -> None:
    """Of skewed times: in 95 of 100 samples or a few more, give and take the error of 2,000."""
    rng = np.random.default_rng(0)
    for n in (20, 50):
        samples = rng.exponential(size=(2000, n))
        ends = np.array([interval(sample) for sample in samples.tolist()])
        covered = ((ends[:, 0] <= np.log(2)) & (np.log(2) <= ends[:, 1])).mean()
        assert 0.94 < covered < 0.985


def test_of_few_it_is_all() -> None:
    assert interval([3.0, 1.0, 2.0]) == (1.0, 3.0)


def test_timed_says_how_often() -> None:
    def once() -> Callable[[], float]:
        rng = random.Random(0)
        return lambda: rng.uniform(1e-3, 2e-3)

    found = timed(once(), passes=40, seconds=9.0)
    assert found.passes == 40
    assert found.low <= found.median <= found.high
    assert timed(once(), passes=40, seconds=0.0).passes == 3
