"""What scores share with all of the process: as it was before a call, for the next."""

import gc
import locale
import os
import random
import signal
import sys
import threading
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any, NamedTuple, TypeVar

import numpy as np
import torch
import torch.nn.functional as F
from torch.nn.modules import module as modules

from untrained.networks.backends import PRECISIONS
from untrained.runs.failures import Failure, Step, attempt
from untrained.runs.streams import stream

T = TypeVar("T")


class Setting(NamedTuple):
    """A choice that holds in the whole process."""

    name: str
    "For people."
    get: Callable[[], Any]
    set: Callable[[Any], object]


def attempt_apart(
    call: Callable[[], T], device: str, step: Step, seed: object
) -> tuple[T | None, Failure | None]:
    """`attempt` of what may be somebody else's code, in surroundings seeded by a name."""
    with surroundings(stream(seed, "surroundings").initial_seed()):
        return attempt(call, device, step)


@contextmanager
def surroundings(seed: int) -> Iterator[list[str]]:
    """Seeds the global random state; afterwards that and the process's settings are as before.

    Output goes to the error stream meanwhile, so that no score writes into a command's own. The
    list that is given holds, afterwards, the names of what was put back.
    """
    before = [(setting, setting.get()) for setting in SETTINGS]
    states = [generator.get() for generator in GENERATORS]
    functions = [(namespace, dict(namespace)) for namespace in NAMESPACES]
    torch.manual_seed(seed)
    np.random.seed(seed % 2**32)  # noqa: NPY002  # what others draw from
    random.seed(seed)
    seeded = [generator.get() for generator in GENERATORS]
    found: list[str] = []
    try:
        with warnings.catch_warnings(), _streams():
            yield found
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        for setting, then in before:
            if setting.get() != then:
                found.append(setting.name)
                setting.set(then)
        for generator, first, state in zip(GENERATORS, seeded, states, strict=True):
            if generator.get() != first:
                found.append(generator.name)
            generator.set(state)
        for namespace, kept in functions:  # what is new was loaded late, and stays
            others = [name for name, f in kept.items() if namespace.get(name) is not f]
            namespace.update((name, kept[name]) for name in others)
            found += [f"{namespace['__name__']}.{name}" for name in others]


@contextmanager
def _streams() -> Iterator[None]:
    """All output on the error stream, through objects that may be closed or replaced."""
    streams = sys.stdin, sys.stdout, sys.stderr
    for output in streams[1:]:
        output.flush()
    kept = [os.dup(descriptor) for descriptor in (0, 1, 2)]
    os.dup2(2, 1)
    sys.stdout, sys.stderr = _error_stream(), _error_stream()
    try:
        yield
    finally:
        for descriptor, copy in enumerate(kept):
            os.dup2(copy, descriptor)
            os.close(copy)
        sys.stdin, sys.stdout, sys.stderr = streams


def _error_stream() -> Any:
    return open(2, "w", buffering=1, errors="backslashreplace", closefd=False)


# Settings


def _attribute(owner: Any, name: str) -> Setting:
    where = getattr(owner, "__name__", type(owner).__name__)
    return Setting(f"{where}.{name}", partial(getattr, owner, name), partial(setattr, owner, name))


def _list(name: str, entries: list[Any]) -> Setting:
    return Setting(name, entries.copy, partial(entries.__setitem__, slice(None)))


def _dict(name: str, table: Any) -> Setting:
    def put(then: dict[Any, Any]) -> None:
        table.clear()
        table.update(then)

    return Setting(name, partial(dict, table), put)


def _default_device() -> torch.device:
    return torch.empty(0).device  # torch 2.6's own function fails once the device was set to None


def _set_default_device(device: torch.device) -> None:
    torch.set_default_device(None if device.type == "cpu" else device)  # "cpu" costs each call


def _matmul_precision() -> str | None:
    """As `torch.set_float32_matmul_precision` has it; None where that and others disagree."""
    try:
        return torch.get_float32_matmul_precision()
    except RuntimeError:
        return None


def _set_matmul_precision(precision: str | None) -> None:
    if precision is not None:
        torch.set_float32_matmul_precision(precision)


def _flushes_denormals() -> bool:
    return sys.float_info.min * 0.5 == 0


def _autocast_nesting() -> int:
    torch.autocast_increment_nesting()
    return torch.autocast_decrement_nesting()


def _nest_autocast(depth: int) -> None:
    """Weights that were cast stay in a cache until the outermost autocast is left."""
    for _ in range(depth, _autocast_nesting()):
        torch.autocast_decrement_nesting()
    for _ in range(_autocast_nesting(), depth):
        torch.autocast_increment_nesting()
    if depth == 0:
        torch.clear_autocast_cache()


def _handlers() -> list[Any]:
    return [signal.getsignal(number) for number in _SIGNALS]


def _set_handlers(then: list[Any]) -> None:
    if threading.current_thread() is not threading.main_thread():
        return  # only that one may, a score's included
    for number, handler in zip(_SIGNALS, then, strict=True):
        if handler is not None and handler != signal.getsignal(number):
            signal.signal(number, handler)


def _blocked() -> set[signal.Signals]:
    return {*map(signal.Signals, signal.pthread_sigmask(signal.SIG_BLOCK, ()))}


def _torch_state() -> bytes:
    return torch.get_rng_state().numpy().tobytes()


def _set_torch_state(state: bytes) -> None:
    torch.set_rng_state(torch.frombuffer(bytearray(state), dtype=torch.uint8))


def _numpy_state() -> tuple[bytes, int, int, float]:
    kept = np.random.get_state(legacy=False)  # noqa: NPY002
    inner = kept["state"]
    return inner["key"].tobytes(), inner["pos"], kept["has_gauss"], kept["gauss"]


def _set_numpy_state(state: tuple[bytes, int, int, float]) -> None:
    keys, position, has_gauss, gauss = state
    whole = "MT19937", np.frombuffer(keys, np.uint32), position, has_gauss, gauss
    np.random.set_state(whole)  # noqa: NPY002


_SIGNALS = [s for s in signal.Signals if s not in (signal.SIGKILL, signal.SIGSTOP)]
_CUDA = torch.backends.cuda

SETTINGS = (
    Setting("default dtype", torch.get_default_dtype, torch.set_default_dtype),
    Setting("default device", _default_device, _set_default_device),
    Setting("grad mode", torch.is_grad_enabled, torch._C._set_grad_enabled),
    Setting("number of threads", torch.get_num_threads, torch.set_num_threads),
    Setting("matmul precision", _matmul_precision, _set_matmul_precision),
    *(_attribute(each, "fp32_precision") for each in PRECISIONS),
    Setting("anomaly detection", torch.is_anomaly_enabled, torch.set_anomaly_enabled),
    Setting(
        "deterministic algorithms",
        torch.get_deterministic_debug_mode,
        torch.set_deterministic_debug_mode,
    ),
    Setting("flushing of denormals", _flushes_denormals, torch.set_flush_denormal),
    *(
        Setting(f"autocast {what} on {kind}", partial(get, kind), partial(put, kind))
        for kind in ("cpu", "cuda")
        for what, get, put in (
            ("mode", torch.is_autocast_enabled, torch.set_autocast_enabled),
            ("dtype", torch.get_autocast_dtype, torch.set_autocast_dtype),
        )
    ),
    Setting("autocast cache", torch.is_autocast_cache_enabled, torch.set_autocast_cache_enabled),
    Setting("autocast nesting", _autocast_nesting, _nest_autocast),
    *(_attribute(torch.backends.cudnn, n) for n in ("enabled", "benchmark", "deterministic")),
    _attribute(torch.backends.mkldnn, "enabled"),
    Setting("math attention", _CUDA.math_sdp_enabled, _CUDA.enable_math_sdp),
    Setting("flash attention", _CUDA.flash_sdp_enabled, _CUDA.enable_flash_sdp),
    Setting(
        "memory-efficient attention",
        _CUDA.mem_efficient_sdp_enabled,
        _CUDA.enable_mem_efficient_sdp,
    ),
    *(
        _dict(f"{modules.__name__}.{name}", hooks)
        for name, hooks in vars(modules).items()
        if name.endswith("_hooks")
    ),
    Setting("NumPy's error handling", np.geterr, lambda then: np.seterr(**then)),
    *(_attribute(sys, name) for name in ("path", "excepthook", "displayhook")),
    _list("sys.path", sys.path),
    _dict("environment", os.environ),
    Setting("working folder", os.getcwd, os.chdir),
    Setting("recursion limit", sys.getrecursionlimit, sys.setrecursionlimit),
    Setting(
        "locale",
        partial(locale.setlocale, locale.LC_ALL),
        partial(locale.setlocale, locale.LC_ALL),
    ),
    Setting(
        "garbage collection", gc.isenabled, lambda then: gc.enable() if then else gc.disable()
    ),
    Setting("signal handlers", _handlers, _set_handlers),
    Setting("blocked signals", _blocked, partial(signal.pthread_sigmask, signal.SIG_SETMASK)),
)
GENERATORS = (
    Setting("torch's global random state", _torch_state, _set_torch_state),
    Setting("NumPy's global random state", _numpy_state, _set_numpy_state),
    Setting("Python's global random state", random.getstate, random.setstate),
)
"States that differ compare as different."
NAMESPACES: tuple[dict[str, Any], ...] = (vars(torch), vars(F), vars(modules))
"Where a function of torch may be replaced by another."
