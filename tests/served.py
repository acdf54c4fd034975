"""A store to be watched, and a server that watches it."""

import shutil
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from stored import RUN, measured, tried
from test_record import CELLS

from untrained.serve import Library
from untrained.serve.server import server_of
from untrained.storage.store import Store
from untrained.training.epoch import Epoch

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")

ASKED = {
    "searcher": "random",
    "options": {"evaluations": 8},
    "training": {"epochs": 4},
    "train": True,
    "scores": ["a", "b"],
}


def begin(store: Store, name: str = "first", **changes: Any) -> None:
    """A run of which nothing was tried yet."""
    config = {**ASKED, **changes}
    store.begin_run(name, {**RUN, "name": name, "search": name, "config": config})


def add_trial(store: Store, number: int, name: str = "first") -> None:
    """A trial with a value of the score `a` and a failure of `b`, in a batch of its own."""
    keys = {score: f"{name}-{score}{number}" for score in "ab"}
    store.add_measurements(
        [
            {**measured(keys["a"], 100.0 + number), "run": name},
            {**measured(keys["b"], None, "its <b>kernel</b> is odd"), "run": name, "score": "b"},
        ]
    )
    row = tried(number, number, keys["a"], run=name)
    architecture = CELLS[number % len(CELLS)]
    measurements = {score: [key] for score, key in keys.items()}
    store.add_trials([{**row, "architecture": architecture, "measurements": measurements}])


def train(store: Store, epochs: int, name: str = "first", *, done: bool = False) -> None:
    """The selected architecture, trained for so many epochs."""
    named = {"position": 0, "role": "selected", "architecture": CELLS[0]}
    key = f"training of {name}"
    store.set_selected(name, CELLS[0])
    store.begin_training(name, named, {"key": key, "question": {"seed": 0}})
    curve = tuple(
        Epoch(k, 0.1, 1 / k, 1 - 0.5 / k, 1.1 / k, 1 - 0.6 / k, 0.5) for k in range(1, epochs + 1)
    )
    found: dict[str, Any] = {"parameters": 1000, "macs": 2000, "reason": "", "finished": done}
    found |= {"test_accuracy": 0.9 if done else None, "best_epoch": epochs}
    found["confusion"] = [[5, 1], [0, 4]] if done else None
    store.update_training(key, curve, found)


@contextmanager
def serving(out: Path, token: str = "") -> Iterator[str]:
    """The address of a server of what is in a folder."""
    server, listening, address = server_of(Library(out), "127.0.0.1", 0, token)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]})
    thread.start()
    try:
        yield address
    finally:
        server.should_exit = True
        thread.join()
