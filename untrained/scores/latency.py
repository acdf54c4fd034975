"""Measured latency: seconds of a forward pass on this machine."""

import gc
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from copy import deepcopy
from dataclasses import dataclass
from functools import partial
from math import comb
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import ClassVar, Literal, NamedTuple

import torch
from torch import Tensor, nn

from untrained.images.probe import Probe, ProbeSpec
from untrained.networks.batchnorm import evaluating
from untrained.networks.foreign import foreign
from untrained.networks.onnx_graph import missing_packages, write_graph
from untrained.scores.score import Reading, Score

WARM_UP, WARM_SECONDS, SETTLED = 3, 1.0, 0.95
"""Passes of a round of warming up, in which caches fill and a GPU chooses its kernels; seconds
after which no further round is begun; and the share of the last round's median that the next one
must fall below to be followed by another."""
LEAST = 3
"Passes that are timed however long they take."
TAIL = 0.025
"Probability that the median lies beyond one end of its interval, at most."


class Timing(NamedTuple):
    """How long a call takes."""

    median: float
    "In seconds."
    low: float
    high: float
    "Ends of an interval that holds the median in 95 of 100 timings, by order statistics."
    passes: int


@dataclass(frozen=True)
class Latency(Score):
    """The median seconds of a forward pass of the probe, in evaluation mode.

    Passes are timed after rounds of warming up, until one is no faster than the one before. They
    run on `threads` threads, without the garbage collector. On one thread of the processor,
    what counts is the time that it works on the pass: while other programs have the processor,
    that clock stands still. On several, or on another device, a median keeps out what disturbs
    fewer than half of the passes, and a machine that is busy throughout is slower throughout.
    Readings that were stored elsewhere are of that machine.

    In PyTorch, as in every score, products are in full float32, without TF32; recurrent layers
    run without cuDNN, and what is compiled runs as it was written. ONNX Runtime gets the network
    as `untrained search --train` exports it, and runs on the processor; it needs
    `untrained[onnx]`.
    """

    meaning: ClassVar = "Median seconds of a forward pass of one image on this machine."
    unit: ClassVar = "s"
    passes: int = 50
    "How many are timed, if `seconds` allow."
    seconds: float = 2.0
    "Seconds after which no further pass is timed."
    threads: int = 1
    "Of PyTorch or ONNX Runtime, on the processor."
    runtime: Literal["torch", "onnx"] = "torch"

    higher_is_better: ClassVar = False
    of_machine: ClassVar = True
    is_size: ClassVar = True
    network: ClassVar = "full"
    probe: ClassVar = ProbeSpec(count=1)
    weights: ClassVar = None

    def __call__(self, network: nn.Module, probe: Probe, generator: torch.Generator) -> Reading:
        for name in ("passes", "threads"):
            if getattr(self, name) < 1:
                return Reading(None, f"expected 1 or more, got {name}={getattr(self, name)!r}")
        if self.runtime == "onnx":
            return self._in_onnx_runtime(network, probe.inputs)
        return Reading(self.timing(network, probe.inputs).median)

    def timing(self, network: nn.Module, x: Tensor) -> Timing:
        """Of PyTorch, on these images, where they and the network lie."""

        now = clock(x.device, self.threads)

        def once() -> float:
            images = x.clone()  # a network may change its input in place
            began = now()
            network(images)
            return now() - began

        with evaluating(network), torch.no_grad(), foreign(x), _on_threads(self.threads):
            return timed(once, self.passes, self.seconds)

    def _in_onnx_runtime(self, network: nn.Module, x: Tensor) -> Reading:
        if missing := missing_packages():
            return Reading(None, f"needs {', '.join(missing)}: install untrained[onnx]")
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads, options.inter_op_num_threads = self.threads, 1
        with TemporaryDirectory() as folder:
            path = Path(folder) / "network.onnx"
            write_graph(deepcopy(network).cpu().eval(), path, x.cpu(), any_batch=False)
            session = onnxruntime.InferenceSession(
                path, options, providers=["CPUExecutionProvider"]
            )
        images = {"images": x.cpu().numpy()}
        now = clock(torch.device("cpu"), self.threads)

        def once() -> float:
            began = now()
            session.run(None, images)
            return now() - began

        return Reading(timed(once, self.passes, self.seconds).median)


def timed(once: Callable[[], float], passes: int, seconds: float) -> Timing:
    """The median of what so many calls say, after warming up.

    Args:
        once: does it, and gives the seconds that it took.
        passes: calls that count.
        seconds: after which no further call is made, once `LEAST` are.

    Example:
        >>> clock = iter([0.09] * 3 + [0.03] * 6 + [0.03, 0.05, 0.04])
        >>> timed(clock.__next__, passes=3, seconds=9.0)
        Timing(median=0.04, low=0.03, high=0.05, passes=3)
    """
    collects = gc.isenabled()
    gc.disable()
    try:
        spent, last = 0.0, float("inf")
        while True:
            rounds = [once() for _ in range(WARM_UP)]
            spent += sum(rounds)
            if median(rounds) > SETTLED * last or spent > WARM_SECONDS:
                break
            last = median(rounds)
        taken: list[float] = []
        while len(taken) < passes and (len(taken) < LEAST or sum(taken) < seconds):
            taken.append(once())
    finally:
        if collects:
            gc.enable()
    return Timing(median(taken), *interval(taken), len(taken))


def interval(values: Sequence[float]) -> tuple[float, float]:
    """Ends of an interval that holds the median with a probability of 95 % or more.

        x_(k) ... x_(n + 1 - k),    k the largest with P(Binomial(n, 1/2) < k) <= 0.025, or 1

    Of five values or fewer, all of them lie in it, and the probability is less.

    Example:
        >>> interval([float(each) for each in range(1, 101)])
        (40.0, 61.0)
    """
    ordered, n = sorted(values), len(values)
    below, k = 0.0, 0
    while below <= TAIL:
        below += comb(n, k) / 2**n
        k += 1
    k = max(k - 1, 1)
    return ordered[k - 1], ordered[n - k]


@contextmanager
def _on_threads(count: int) -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def clock(device: torch.device, threads: int) -> Callable[[], float]:
    """Tells the seconds by which passes are timed."""
    if device.type == "cuda":
        return partial(_synchronised, device)
    return time.thread_time if threads == 1 and device.type == "cpu" else time.perf_counter


def _synchronised(device: torch.device) -> float:
    """The time, once the device has done what it was given."""
    torch.cuda.synchronize(device)
    return time.perf_counter()
