"""A connection to a Ray cluster, which may be started for it."""

import io
import logging
import math
import os
import signal
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout
from typing import Any

from untrained.runs.ray_config import AUTO, RayConfig

REACHING = 5.0
"Seconds that a cluster's head is given to answer."
LEAST_STORE = 100_000_000
"Bytes of the object store of a cluster that is started here."


@contextmanager
def connected(config: RayConfig, workers: int, store: int) -> Iterator[Any]:
    """Ray, connected to a cluster; one that is started here ends with the context.

    In a program that is connected to a cluster already, it is that one.

    Args:
        config: which cluster.
        workers: tasks at a time on one that is started here.
        store: bytes of its object store.

    Raises:
        OSError: no cluster there.
        ValueError: one of another version of Ray or Python.
    """
    ray = import_ray()
    if ray.is_initialized():
        yield ray
        return
    if config.address is None:
        how = {
            "address": "local",
            "num_cpus": math.ceil(workers * config.cores),
            "object_store_memory": store,
            "include_dashboard": False,
        }
    else:
        check_reachable(config.address)
        how = {"address": config.address}
    with _quiet():
        try:
            ray.init(**how, log_to_driver=False, configure_logging=False)
        except RuntimeError as error:
            raise ValueError(
                f"ray.address: expected the cluster's versions of Ray and Python on this machine: "
                f"{_line(error)}"
            ) from error
        except Exception as error:  # of no type in common, such as that a start took too long
            which = f"at {config.address}" if config.address else "could be started"
            raise OSError(f"no Ray cluster {which}: {_line(error)}") from error
    try:
        yield ray
    finally:
        ray.shutdown()


def import_ray() -> Any:
    """Ray, told not to write into our output what befalls workers.

    This it does whatever `init` is told, but for lines that it learns to skip as it is imported.
    """
    skipped = "RAY_DEDUP_LOGS_SKIP_REGEX"
    said = os.environ.get(skipped)
    os.environ.setdefault(skipped, "^")
    try:
        import ray
    finally:
        if said is None:
            del os.environ[skipped]
    return ray


def check_reachable(address: str) -> None:
    """Refuse an address where nothing listens, for which Ray itself waits for minutes.

    Raises:
        OSError: there is nothing.
    """
    if address == AUTO:
        return
    host, _, port = address.rpartition(":")
    try:
        socket.create_connection((host.strip("[]"), int(port)), REACHING).close()
    except (OSError, OverflowError) as error:
        raise OSError(
            f"no Ray cluster at {address}: {error}; expected host:port that `ray start --head` "
            f"printed, or leave out --ray.address to start a cluster here"
        ) from error


@contextmanager
def _quiet() -> Iterator[None]:
    """Neither words of Ray's, nor its handler of SIGTERM in place of ours."""
    ours, level = logging.getLogger("ray"), logging.getLogger("ray").level
    main = threading.current_thread() is threading.main_thread()
    handler = signal.getsignal(signal.SIGTERM)
    ours.setLevel(logging.ERROR)
    try:
        with redirect_stdout(io.StringIO()):
            yield
    finally:
        ours.setLevel(level)
        if main:
            signal.signal(signal.SIGTERM, handler)


def _line(error: Exception) -> str:
    return " ".join(str(error).split())
