"""Drivers that share a store: no training is done twice, and none waits for a dead driver."""

import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path

import pytest
from stored import said
from test_claims import kill

from untrained.runs import claimed
from untrained.runs.claimed import nothing
from untrained.runs.comparing import begin_training, train_each, train_sample
from untrained.runs.config import RunConfig
from untrained.runs.driver import opened
from untrained.runs.record import load_record
from untrained.runs.sampling import draw_distinct
from untrained.runs.session import Session
from untrained.runs.tasks import Outcome, Task, Trained, TrainTask
from untrained.spaces import get_space
from untrained.storage import claims
from untrained.storage.address import Address
from untrained.training import Epoch, Training, TrainingSpec

EPOCHS = 3
SPACE = get_space("nasbench201")
NETWORKS = draw_distinct(SPACE, 6, 0, name=SPACE.name, flag="train")


class Trains:
    """An engine that makes epochs up, and notes of which networks."""

    lanes = 1

    def __init__(self, begun: threading.Barrier | None = None, stops: int | None = None):
        self.begun, self.stops = begun, stops
        self.done: list[tuple[str, int]] = []

    def __call__(self, tasks: Sequence[Task]) -> Iterator[tuple[int, Outcome]]:
        for i in range(len(tasks)):
            task = tasks[i]
            if task is nothing():
                yield i, []
                continue
            assert isinstance(task, TrainTask)
            if self.begun and not self.done:
                self.begun.wait()  # until each driver has a task
            if len(self.done) == self.stops:
                raise KeyboardInterrupt
            self.done.append((task.architecture, task.until))
            epochs = tuple(
                Epoch(n, 0.1, 1.0, 0.5, 1.0, 0.5, 0.1) for n in range(1, task.until + 1)
            )
            training = Training(epochs, 1, "", task.until == EPOCHS)
            yield i, Trained(training, None, 1, 1)


@contextmanager
def driver(address: Address, out: Path, engine: Trains, draws: int = 1) -> Iterator[Session]:
    """One that has a folder of its own, as on another machine; of another search by `draws`."""
    config = RunConfig(
        scores=("parameters",), searcher="random", draws=draws, workers=0, scale="thin", out=out,
        store=str(address), train=True, training=TrainingSpec(recipe="default", epochs=EPOCHS),
    )  # fmt: skip
    with opened(config) as session:
        yield replace(session, engine=engine)


def begun(session: Session) -> list[str]:
    return [begin_training(session, i, "random", cell, 0) for i, cell in enumerate(NETWORKS)]


def each(*epochs: int) -> list[tuple[str, int]]:
    return sorted((str(SPACE.canonical(cell)), epoch) for cell in NETWORKS for epoch in epochs)


@pytest.mark.parametrize("draws", [1, 2], ids=["the same run", "another run"])
def test_drivers_share_trainings_and_do_none_twice(
    address: Address, tmp_path: Path, draws: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(claimed, "SOON", 0.0)  # so that each claims one at a time
    nothing()  # or threads that ask for it first, at once, are given several
    begun = threading.Barrier(2, timeout=120)
    engines = [Trains(begun), Trains(begun)]
    with (
        driver(address, tmp_path / "a", engines[0]) as one,
        driver(address, tmp_path / "b", engines[1], draws) as other,
        ThreadPoolExecutor(2) as threads,
    ):
        [*threads.map(lambda session: train_sample(session, NETWORKS, 1), (one, other))]
        assert (one.run == other.run) == (draws == 1)
        assert one.store.trainings(one.run) == other.store.trainings(other.run)
    assert all(engine.done for engine in engines)
    assert sorted(engines[0].done + engines[1].done) == each(1, 2, 3)
    done = said(address, "select count(*) from trainings where finished")
    assert list(map(tuple, done)) == [(len(NETWORKS),)]
    assert said(address, "select * from claims") == []


def test_what_another_driver_trains_comes_last_and_is_waited_for(
    address: Address, tmp_path: Path
) -> None:
    theirs, ours = Trains(), Trains()
    with (
        driver(address, tmp_path / "a", theirs) as other,
        driver(address, tmp_path / "b", ours, draws=2) as session,
    ):
        keys = begun(other)
        other.store.claim_trainings([[keys[0]]])
        waiting = threading.Timer(0.4, lambda: train_each(other, keys[:1]))
        waiting.start()
        train_each(session, begun(session))
        waiting.join()
    assert theirs.done == [(str(SPACE.canonical(NETWORKS[0])), epoch) for epoch in (1, 2, 3)]
    assert sorted(ours.done + theirs.done) == each(1, 2, 3)


def test_what_a_dead_driver_trained_is_resumed_by_another(
    address: Address, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(claims, "LEASE_SECONDS", 0.5)
    dead, ours = Trains(), Trains()
    with driver(address, tmp_path / "a", dead) as other:
        keys = begun(other)
        train_each(other, keys, until=1)
        other.store.claim_trainings([[key] for key in keys])
        kill(other.store)
        with driver(address, tmp_path / "b", ours) as session:
            train_each(session, begun(session))
    assert sorted(dead.done) == each(1)
    assert sorted(ours.done) == each(2, 3)


def test_a_driver_that_stops_gives_up_what_it_was_training(
    address: Address, tmp_path: Path
) -> None:
    with driver(address, tmp_path / "a", Trains(stops=8)) as session:
        keys = begun(session)
        with pytest.raises(KeyboardInterrupt):
            train_each(session, keys)
        assert said(address, "select * from claims") == []
        train_each(replace(session, engine=(last := Trains())), keys, until=2)
        assert len(last.done) == 4
        assert said(address, "select * from claims") == []


def test_a_training_that_is_finished_is_not_given(address: Address, tmp_path: Path) -> None:
    with driver(address, tmp_path / "a", Trains()) as session:
        keys = begun(session)
        train_each(session, keys[:1])
        assert session.store.claim_trainings([[key] for key in keys[:2]]) == [False, True]


def test_a_run_is_running_as_long_as_its_driver_holds_its_lease(
    address: Address, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Wherever that is; a machine that reads the store knows."""
    monkeypatch.setattr(claims, "LEASE_SECONDS", 0.6)
    with suppress(KeyboardInterrupt), driver(address, tmp_path / "a", Trains()) as session:
        name = session.folder.name
        assert load_record(address, name).running
        said(address, "update drivers set machine = 'another'")
        assert load_record(address, name).running
        kill(session.store)
        time.sleep(0.7)
        assert not load_record(address, name).running
