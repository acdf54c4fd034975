"""Scores that do everything that a score must not, by name."""

import ctypes
import hashlib
import os
import random
import signal
import sys
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from untrained.images import Probe, ProbeSpec
from untrained.scores import Reading, Score
from untrained.scores.score import View, ViewScore


class Unwritable(Exception):
    def __str__(self) -> str:
        raise RuntimeError("no text")


class Unsendable(Exception):
    def __reduce__(self) -> Any:
        return os._exit, (7,)


class Aside(BaseException):
    """Not an Exception."""


class FloatThatExits(float):
    def __reduce__(self) -> Any:
        return os._exit, (7,)


def throws(error: BaseException) -> Callable[[nn.Module, Probe], object]:
    def act(network: nn.Module, probe: Probe) -> object:
        raise error

    return act


def weight(network: nn.Module) -> nn.Parameter:
    return max(network.parameters(), key=lambda p: p.numel())


def batchnorm(network: nn.Module) -> nn.BatchNorm2d:
    return next(m for m in network.modules() if isinstance(m, nn.BatchNorm2d))


def overflow(depth: int = 0) -> int:
    return overflow(depth + 1)


def put(owner: Any, name: str, value: Any) -> Callable[[nn.Module, Probe], object]:
    return lambda network, probe: setattr(owner, name, value)


def fork(network: nn.Module, probe: Probe) -> object:
    os.fork()
    return Reading(3.0)


def swallow(network: nn.Module, probe: Probe) -> object:
    while True:
        try:
            time.sleep(60)
        except BaseException:
            return Reading(1.0) if probe is None else throws(RuntimeError("woken"))(network, probe)


GIVEN: dict[str, Callable[[nn.Module, Probe], object]] = {
    "None": lambda network, probe: None,
    "a number": lambda network, probe: 3.0,
    "a string": lambda network, probe: "3",
    "a tensor": lambda network, probe: torch.tensor(3.0),
    "a tuple": lambda network, probe: (3.0, ""),
    "a reading of nan": lambda network, probe: Reading(float("nan")),
    "a reading of a string": lambda network, probe: Reading("3"),  # type: ignore[arg-type]
    "a reading of a tensor": lambda network, probe: Reading(torch.tensor(3.0)),  # type: ignore[arg-type]
    "an empty reading": lambda network, probe: Reading(None),
    "SystemExit": throws(SystemExit(0)),
    "KeyboardInterrupt": throws(KeyboardInterrupt()),
    "GeneratorExit": throws(GeneratorExit()),
    "StopIteration": throws(StopIteration(1)),
    "Aside": throws(Aside("aside")),
    "Unwritable": throws(Unwritable()),
    "Unsendable": throws(Unsendable("unsendable")),
    "markup": throws(RuntimeError("bad [/] thing")),
    "a surrogate": throws(RuntimeError("\ud800 \0")),
    "a long text": throws(RuntimeError("x" * 10_000_000)),
    "a recursion": lambda network, probe: overflow(),
    "no memory bank": throws(ValueError("no memory bank")),
}
"What a score gives or raises: each a failure by name."

MEMORY: dict[str, Callable[[nn.Module, Probe], object]] = {
    "MemoryError": throws(MemoryError()),
    "CUDA": throws(torch.cuda.OutOfMemoryError("CUDA out of memory")),
    "the allocator": lambda network, probe: torch.empty(10**15),
    "NumPy": lambda network, probe: np.empty(10**17),
    "the system": throws(OSError(12, "Cannot allocate memory")),
}

CHANGES: dict[str, Callable[[nn.Module, Probe], object]] = {
    "weights zeroed": lambda network, probe: [p.data.zero_() for p in network.parameters()],
    "a weight moved": lambda network, probe: setattr(weight(network), "data", torch.zeros(3)),
    "another type": lambda network, probe: network.double(),
    "a weight perturbed": lambda network, probe: weight(network).data.add_(1e-3),
    "a module replaced": lambda network, probe: setattr(network, "classifier", nn.Identity()),
    "a module removed": lambda network, probe: delattr(network, "classifier"),
    "a class changed": lambda network, probe: setattr(network, "__class__", nn.Sequential),
    "a parametrisation": lambda network, probe: nn.utils.parametrizations.weight_norm(
        next(m for m in network.modules() if isinstance(m, nn.Linear))
    ),
}
"What makes a score fail, since it is not its to change."

TRACES: dict[str, Callable[[nn.Module, Probe], object]] = {
    "a call": lambda network, probe: network(probe.inputs),
    "gradients": lambda network, probe: network(probe.inputs).sum().backward(),
    "evaluation": lambda network, probe: network.eval(),
    "no gradients": lambda network, probe: network.requires_grad_(False),
    "a hook": lambda network, probe: network.register_forward_hook(lambda *_: torch.zeros(1)),
    "a hook of a weight": lambda network, probe: weight(network).register_hook(lambda g: g * 0),
    "a global hook": lambda network, probe: nn.modules.module.register_module_forward_hook(
        lambda *_: None
    ),
    "a forward": lambda network, probe: setattr(network, "forward", lambda x: x * 0),
    "a forward of the class": lambda network, probe: setattr(
        type(network), "forward", lambda self, x: x * 0
    ),
    "buffers": lambda network, probe: [b.data.zero_() for b in network.buffers()],
    "a buffer with a history": lambda network, probe: (
        batchnorm(network).get_buffer("running_mean").add_(batchnorm(network).weight)
    ),
    "another layout": lambda network, probe: network.to(  # type: ignore[call-overload]
        memory_format=torch.channels_last  # not in the stub
    ),
    "an attribute": put(nn.Module, "extra", 1),
    "the probe": lambda network, probe: probe.inputs.zero_(),
    "the labels": lambda network, probe: probe.labels.zero_(),
    "default dtype": lambda network, probe: torch.set_default_dtype(torch.float64),
    "default device": lambda network, probe: torch.set_default_device("meta"),
    "grad mode": lambda network, probe: torch.set_grad_enabled(False),
    "threads": lambda network, probe: torch.set_num_threads(2),
    "deterministic": lambda network, probe: torch.use_deterministic_algorithms(True),
    "autocast": lambda network, probe: torch.autocast("cpu", torch.bfloat16).__enter__(),
    "mkldnn": put(torch.backends.mkldnn, "enabled", False),
    "denormals": lambda network, probe: torch.set_flush_denormal(True),
    "a function of torch": put(F, "batch_norm", None),
    "seeds": lambda network, probe: (torch.manual_seed(7), np.random.seed(7), random.seed(7)),  # noqa: NPY002
    "working folder": lambda network, probe: os.chdir("/"),
    "environment": lambda network, probe: os.environ.clear(),
    "sys.path": lambda network, probe: sys.path.clear(),
    "a handler": lambda network, probe: signal.signal(signal.SIGTERM, signal.SIG_IGN),
    "a timer": lambda network, probe: signal.setitimer(signal.ITIMER_REAL, 0.05),
    "warnings": lambda network, probe: warnings.simplefilter("ignore"),
    "NumPy's errors": lambda network, probe: np.seterr(all="raise"),
    "standard output": put(sys, "stdout", None),
    "a closed stream": lambda network, probe: sys.stdout.close(),
    "closed descriptors": lambda network, probe: os.closerange(0, 3),
    "recursion": lambda network, probe: sys.setrecursionlimit(400),
    "a print": lambda network, probe: (print("printed"), os.write(1, b"written")),
    "fork": fork,
}
"What is put back, with the score's number as it is."

CRASHES: dict[str, Callable[[nn.Module, Probe], object]] = {
    "abort": lambda network, probe: os.abort(),
    "exit 0": lambda network, probe: os._exit(0),
    "fault": lambda network, probe: ctypes.string_at(0),
    "closed pipe": lambda network, probe: os.closerange(3, 256),
    "killed": lambda network, probe: os.kill(os.getpid(), signal.SIGKILL),
    "hang": lambda network, probe: ctypes.PyDLL(None).sleep(1000),
}
"What takes the process along."

LOOPS: dict[str, Callable[[nn.Module, Probe], object]] = {
    "sleep": lambda network, probe: time.sleep(1000),
    "a loop that catches all": swallow,
}

DEEDS = GIVEN | MEMORY | CHANGES | TRACES | CRASHES | LOOPS


@dataclass(frozen=True)
class Misbehaving(Score):
    deed: str = "None"

    higher_is_better: ClassVar = True
    network: ClassVar = "thin"
    probe: ClassVar = ProbeSpec(count=4)

    def __call__(self, network: nn.Module, probe: Probe, generator: torch.Generator) -> Reading:
        given = DEEDS[self.deed](network, probe)
        return Reading(3.0) if self.deed in TRACES | CHANGES else given  # type: ignore[return-value]


@dataclass(frozen=True)
class Witness(Score):
    """All that a score may depend on, as one number."""

    higher_is_better: ClassVar = True
    network: ClassVar = "thin"
    probe: ClassVar = ProbeSpec(count=4)

    def __call__(self, network: nn.Module, probe: Probe, generator: torch.Generator) -> Reading:
        state, modules = network.state_dict(), list(network.modules())
        seen = [
            [(n, t.dtype, t.stride(), t.numpy().tobytes()) for n, t in state.items()],
            [(m.training, type(m), sorted(vars(m)), len(m._forward_hooks)) for m in modules],
            [(p.requires_grad, p.grad, p._backward_hooks) for p in network.parameters()],
            [b.requires_grad for b in network.buffers()],
            [vars(type(network))["forward"].__qualname__, F.batch_norm.__qualname__],
            [hasattr(nn.Module, "extra"), len(nn.modules.module._global_forward_hooks)],
            [probe.inputs.numpy().tobytes(), probe.labels.tolist()],
            [torch.get_default_dtype(), torch.empty(0).device, torch.is_grad_enabled()],
            [torch.get_num_threads(), torch.are_deterministic_algorithms_enabled()],
            [torch.autocast_increment_nesting(), torch.autocast_decrement_nesting()],
            [torch.is_autocast_enabled("cpu"), torch.backends.mkldnn.enabled, np.geterr()],
            [sys.float_info.min * 0.5, torch.rand(1), np.random.rand(), random.random()],  # noqa: NPY002
            [os.getcwd(), sorted(os.environ), sys.path, signal.getsignal(signal.SIGTERM)],
            [warnings.filters, sys.getrecursionlimit(), sys.stdout.closed, os.fstat(1).st_mode],
            network(probe.inputs).detach().numpy().tobytes(),
        ]
        digest = hashlib.blake2b(repr(seen).encode(), digest_size=6).digest()
        return Reading(float(int.from_bytes(digest)))


# Scores that share what they see


@dataclass(frozen=True)
class Inputs(View):
    def __call__(self, network: nn.Module, probe: Probe, generator: torch.Generator) -> Any:
        return probe.inputs


@dataclass(frozen=True)
class OfInputs(ViewScore):
    spoils: bool = False

    higher_is_better: ClassVar = True
    network: ClassVar = "thin"
    probe: ClassVar = ProbeSpec(count=4)

    @property
    def view(self) -> Inputs:
        return Inputs()

    def of(self, seen: Any, probe: Probe) -> Reading:
        found = Reading(float(seen.sum()))
        if self.spoils:
            seen.zero_()
        return found
