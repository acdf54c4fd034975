"""Scores that do what they should not, each by its name; `Good` beside them does nothing wrong."""

import ctypes
import gc
import os
import random
import signal
import subprocess
import sys
import threading
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import torch
from torch import nn

from untrained.images import Probe
from untrained.scores.score import Reading, Score


class Unspeakable(Exception):
    """Its text cannot be made."""

    def __str__(self) -> str:
        raise RuntimeError("no words")

    __repr__ = __str__


class Unpicklable(Exception):
    """It does not survive the way to another process."""

    def __init__(self) -> None:
        super().__init__(lambda: None)

    def __reduce__(self) -> Any:
        return os.abort, ()


class Base(BaseException):
    """None of those that one catches."""


def throw(error: BaseException) -> Callable[..., None]:
    def act(network: nn.Module, probe: Probe) -> None:
        raise error

    return act


def call(act: Callable[[], Any]) -> Callable[..., None]:
    return lambda network, probe: act() and None


def zero(network: nn.Module) -> None:
    for p in network.parameters():
        p.data.zero_()


def crash() -> None:
    ctypes.string_at(0)


def hang() -> None:
    while True:
        time.sleep(0.01)


def spin() -> None:
    while True:
        pass


def fork() -> None:
    if os.fork() == 0:
        os._exit(3)


def closed() -> None:
    os.closerange(0, 64)


def deep(n: int = 0) -> int:
    return deep(n + 1) + 1


def thread() -> None:
    threading.Thread(target=time.sleep, args=(30,), daemon=True).start()


def clear_environment() -> None:
    for name in list(os.environ):
        del os.environ[name]


def rename(network: nn.Module) -> None:
    network.forward = lambda x: x.flatten(1)[:, :10]  # type: ignore[method-assign]


def remove(network: nn.Module) -> None:
    for name, _ in list(network.named_children())[-1:]:
        setattr(network, name, nn.Identity())


RETURNED: dict[str, Any] = {
    "ReturnsNone": None,
    "ReturnsText": "words",
    "ReturnsTensor": torch.ones(3),
    "ReturnsNumber": 3.0,
    "ReturnsDict": {"value": 1.0},
    "ReturnsNan": Reading(float("nan"), ""),
    "ReturnsInfinity": Reading(float("inf"), ""),
    "ReturnsTextAsValue": Reading("3", ""),  # type: ignore[arg-type]
    "ReturnsTensorAsValue": Reading(torch.ones(()), ""),  # type: ignore[arg-type]
    "ReturnsNoReason": Reading(None, None),  # type: ignore[arg-type]
    "ReturnsHugeInteger": Reading(10**400, ""),
    "ReturnsFunction": lambda: None,
}
RAISED: dict[str, BaseException] = {
    "RaisesValueError": ValueError("plain"),
    "RaisesNothingToSay": ValueError(),
    "RaisesSystemExit": SystemExit(0),
    "RaisesKeyboardInterrupt": KeyboardInterrupt(),
    "RaisesGeneratorExit": GeneratorExit(),
    "RaisesStopIteration": StopIteration(),
    "RaisesBase": Base("base"),
    "RaisesUnspeakable": Unspeakable(),
    "RaisesUnpicklable": Unpicklable(),
    "RaisesMarkup": ValueError("bad [/] thing [red]"),
    "RaisesControls": ValueError("\x1b[31m\r\x07\x00\u202e\udce9"),
    "RaisesMuch": ValueError("x" * 10**6),
    "RaisesLines": ValueError("one\ntwo\nTraceback (most recent call last):\nthree"),
    "RaisesWordsOfMemory": ValueError("no memory bank of this name"),
}
DONE: dict[str, Callable[[nn.Module, Probe], Any]] = {
    "Prints": call(lambda: print("printed")),
    "PrintsErrors": call(lambda: os.write(2, b"written\n")),
    "Forks": call(fork),
    "StartsAThread": call(thread),
    "StartsAProcess": call(lambda: subprocess.run(["true"])),
    "Seeds": call(lambda: (torch.manual_seed(9), np.random.seed(9), random.seed(9))),  # noqa: NPY002
    "Exits": call(lambda: sys.exit(3)),
    "Recurses": call(deep),
    "ClosesFiles": call(closed),
    "LosesStdout": call(lambda: setattr(sys, "stdout", None)),
    "SetsDtype": call(lambda: torch.set_default_dtype(torch.float64)),
    "SetsDevice": call(lambda: torch.set_default_device("meta")),
    "SetsGrad": call(lambda: torch.set_grad_enabled(False)),
    "SetsThreads": call(lambda: torch.set_num_threads(3)),
    "SetsDeterministic": call(lambda: torch.use_deterministic_algorithms(True)),
    "SetsFolder": call(lambda: os.chdir("/")),
    "SetsEnvironment": call(clear_environment),
    "SetsPath": call(lambda: sys.path.clear()),
    "SetsSignals": call(lambda: signal.signal(signal.SIGTERM, signal.SIG_IGN)),
    "SetsWarnings": call(lambda: warnings.simplefilter("error")),
    "SetsNumpyErrors": call(lambda: np.seterr(all="raise")),
    "SetsRecursion": call(lambda: sys.setrecursionlimit(90)),
    "StopsCollection": call(gc.disable),
    "CallsNetwork": lambda network, probe: network(probe.inputs).sum().backward(),
    "CallsInEval": lambda network, probe: network.eval()(probe.inputs),
    "ZeroesWeights": lambda network, probe: zero(network),
    "ScalesWeights": lambda network, probe: [p.data.mul_(1.01) for p in network.parameters()],
    "MovesBuffers": lambda network, probe: [b.zero_() for b in network.buffers()],
    "Doubles": lambda network, probe: network.double(),
    "Hooks": lambda network, probe: network.register_forward_hook(lambda *a: 0 * a[2]),
    "Freezes": lambda network, probe: network.requires_grad_(False),
    "ReplacesForward": lambda network, probe: rename(network),
    "RemovesALayer": lambda network, probe: remove(network),
    "ZeroesInputs": lambda network, probe: probe.inputs.zero_(),
    "ZeroesLabels": lambda network, probe: probe.labels.zero_(),
}
KILLED: dict[str, Callable[[nn.Module, Probe], Any]] = {
    "Aborts": call(os.abort),
    "Leaves": call(lambda: os._exit(0)),
    "LeavesWithThree": call(lambda: os._exit(3)),
    "Crashes": call(crash),
    "KillsItself": call(lambda: os.kill(os.getpid(), signal.SIGKILL)),
    "Sleeps": call(hang),
    "Spins": call(spin),
}
ACTS = {**{name: throw(e) for name, e in RAISED.items()}, **DONE, **KILLED}


@dataclass(frozen=True)
class Acting(Score):
    """A score that acts, and then gives 1."""

    higher_is_better: ClassVar = True

    def __call__(self, network: nn.Module, probe: Probe, generator: torch.Generator) -> Reading:
        name = type(self).__name__
        if name in RETURNED:
            return RETURNED[name]
        if name in ACTS:
            ACTS[name](network, probe)
        return Reading(1.0, "")


@dataclass(frozen=True)
class Good(Acting):
    """Does nothing wrong."""


for _name in (*RETURNED, *ACTS):
    globals()[_name] = dataclass(frozen=True)(type(_name, (Acting,), {"__module__": __name__}))
