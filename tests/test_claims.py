"""Drivers that share a store: no measurement is made twice, and none waits for a dead driver."""

import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import replace
from itertools import chain
from pathlib import Path

import pytest
from filelock import FileLock
from stored import measured, said

from untrained.images import load_images
from untrained.runs import arrivals, claimed
from untrained.runs.claimed import Claimed, Pace, Planned, nothing
from untrained.runs.config import RunConfig
from untrained.runs.measuring import Measuring
from untrained.runs.presets import resolve
from untrained.runs.readings import Measurement
from untrained.runs.setup import make_setups
from untrained.runs.tasks import Outcome, ScoreTask, Task, perform
from untrained.scores import Reading
from untrained.scores.score import Bound
from untrained.searchers import Proposal
from untrained.spaces import get_space
from untrained.storage import claims
from untrained.storage.address import Address
from untrained.storage.store import Store


def never(reading: Reading) -> bool:
    return False


def kill(store: Store) -> None:
    """What kill -9 leaves: claims that nobody renews."""
    assert store.claims.thread is not None
    store.claims.ended.set()
    store.claims.thread.join()
    store.claims.thread = None


@pytest.fixture
def both(address: Address) -> Iterator[tuple[Store, Store]]:
    """Two drivers on one store."""
    with Store.open(address) as first, Store.open(address) as second:
        yield first, second


def test_a_measurement_is_given_to_one_driver(both: tuple[Store, Store]) -> None:
    first, second = both
    assert first.claim([["k"], ["l"]], never) == [True, True]
    assert second.claim([["l"], ["m"]], never) == [False, True]
    assert first.claim([["k"], ["m"]], never) == [True, False]


def test_of_many_claims_at_once_each_is_given_once(address: Address) -> None:
    groups = [[f"k{i}", f"l{i}"] for i in range(60)]
    with ExitStack() as stack, ThreadPoolExecutor(4) as threads:
        stores = [stack.enter_context(Store.open(address)) for _ in range(4)]

        def take(i: int) -> list[list[bool]]:
            order = groups if i % 2 else groups[::-1]
            found = [stores[i].claim(order[j : j + 6], never) for j in range(0, 60, 6)]
            return found if i % 2 else [part[::-1] for part in found[::-1]]

        given = [[*chain(*parts)] for parts in threads.map(take, range(4))]
    assert [sum(column) for column in zip(*given, strict=True)] == [1] * 60


def test_a_group_is_claimed_wholly_or_left_to_others(both: tuple[Store, Store]) -> None:
    first, second = both
    assert first.claim([["k"]], never) == [True]
    assert second.claim([["j", "k", "l"]], never) == [False]
    assert first.claim([["j"], ["l"]], never) == [True, True]


def test_what_was_made_meanwhile_is_not_given(both: tuple[Store, Store]) -> None:
    first, second = both
    first.claim([["k"], ["l"]], never)
    first.add_measurements([measured("k"), measured("l", None, "out", Bound("memory", 1.0))])
    assert second.claim([["k"], ["l"]], never) == [False, False]
    assert second.claim([["k"], ["l"]], lambda reading: reading.bound is not None) == [False, True]


def test_what_is_given_up_is_anybodys(both: tuple[Store, Store]) -> None:
    first, second = both
    first.claim([["k"], ["l"]], never)
    first.claims.release(["k"])
    second.claims.release(["l"])  # which is not its own
    assert second.claim([["k"], ["l"]], never) == [True, False]
    first.close()
    assert second.claim([["l"]], never) == [True]


def test_a_lease_is_renewed_by_the_living_and_lost_by_the_dead(
    address: Address, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(claims, "LEASE_SECONDS", 0.6)
    with Store.open(address) as living, Store.open(address) as dying, Store.open(address) as other:
        living.claim([["k"]], never)
        dying.claim([["l"]], never)
        kill(dying)
        assert other.claim([["k"], ["l"]], never) == [False, False]
        time.sleep(1)
        assert other.claim([["k"], ["l"]], never) == [False, True]
        assert dying.claim([["l"]], never) == [False]  # it was only asleep


def test_a_driver_that_is_known_to_be_dead_loses_its_claims_at_once(
    address: Address, tmp_path: Path
) -> None:
    """On the same machine, whose locks can be asked."""
    lock = tmp_path / "lock"
    with FileLock(lock) as held, Store.open(address, lock) as first, Store.open(address) as other:
        first.claim([["k"]], never)
        assert other.claim([["k"]], never) == [False]
        held.release()
        assert other.claim([["k"]], never) == [True]


def test_a_driver_whose_lock_is_not_here_keeps_its_claims(
    address: Address, tmp_path: Path
) -> None:
    """As that of another container, whose host is this machine."""
    with Store.open(address, tmp_path / "there") as first, Store.open(address) as other:
        first.claim([["k"]], never)
        assert other.claim([["k"]], never) == [False]


def test_the_next_driver_with_a_lock_takes_what_the_one_before_had(
    address: Address, tmp_path: Path
) -> None:
    """As when a command that was killed is given again at once."""
    lock = tmp_path / "lock"
    with FileLock(lock), Store.open(address, lock) as dead, Store.open(address, lock) as after:
        dead.claim([["k"]], never)
        kill(dead)
        assert after.claim([["k"]], never) == [True]


def test_a_driver_that_begins_clears_away_what_dead_ones_left(
    address: Address, tmp_path: Path
) -> None:
    (lock := tmp_path / "nobody holds it").touch()
    with Store.open(address, lock) as dead, Store.open(address) as other:
        dead.claim([["k"], ["l"]], never)
        kill(dead)
        other.claim([["m"]], never)
        assert list(map(tuple, said(address, "select key from claims"))) == [("m",)]
        assert len(said(address, "select id from drivers")) == 1
    assert said(address, "select * from drivers") == said(address, "select * from claims") == []


@pytest.mark.parametrize("damage", ["until = 'x'", "lock = x'00'", "machine = x'00'"])
def test_a_driver_whose_row_is_damaged_is_none(tmp_path: Path, damage: str) -> None:
    """In a file; a server refuses such values."""
    address = tmp_path / "store.db"
    with Store.open(address, tmp_path / "run" / "lock") as first, Store.open(address) as other:
        first.claim([["k"]], never)
        assert other.claims.driving("run")
        said(address, f"update drivers set {damage}")
        assert not other.claims.driving("run")
        assert other.claim([["k"]], never) == [True]


# Tasks as an engine takes them


def test_tasks_are_claimed_shortly_before_they_are_done(monkeypatch: pytest.MonkeyPatch) -> None:
    """More at a time where they are soon done, fewer where they take long."""
    now, asked = [0.0], list[int]()
    monkeypatch.setattr(time, "monotonic", lambda: now[0])

    def claim(groups: Sequence[Sequence[str]]) -> list[bool]:
        asked.append(len(groups))
        return [group != ("k5",) for group in groups]

    task = nothing()
    assert isinstance(task, ScoreTask)
    planned = [Planned(replace(task, architecture=f"a{i}"), (f"k{i}",)) for i in range(40)]
    tasks = Claimed(planned, claim, Pace())
    for i, each in enumerate(tasks):
        assert each == (planned[i].task if i != 5 else task)
        now[0] += 3.0 if i >= 14 else 0.0
    assert asked == [2, 4, 8, 16, 8, 2]
    assert tasks.left == [planned[5].task]
    ended = [tasks.ended(i) for i in range(38)]
    assert ended == [None if i == 5 else planned[i].task for i in range(38)]
    assert tasks.under_way() == ["k38", "k39"]


def test_no_more_keys_are_claimed_at_a_time_than_a_statement_holds() -> None:
    asked: list[int] = []

    def claim(groups: Sequence[Sequence[str]]) -> list[bool]:
        asked.append(sum(map(len, groups)))
        return [True for _ in groups]

    task = nothing()
    assert isinstance(task, ScoreTask)
    sizes = [200, 200, 200, 900, 1, 499]
    keys = (tuple(f"{i}-{j}" for j in range(size)) for i, size in enumerate(sizes))
    assert len([*Claimed([Planned(task, each) for each in keys], claim, Pace(1000))]) == 6
    assert asked == [400, 200, 900, 500]


def test_what_stands_for_no_task_can_be_done() -> None:
    assert perform(nothing(), load_images("digits"))


# Drivers


class Counting:
    """An engine that makes numbers up, and notes of which architectures."""

    lanes = 1

    def __init__(self, begun: threading.Barrier | None = None):
        self.begun = begun
        self.done: list[str] = []

    def __call__(self, tasks: Sequence[Task]) -> Iterator[tuple[int, Outcome]]:
        for i, task in enumerate(tasks):
            assert isinstance(task, ScoreTask)
            if task is not nothing():
                if self.begun and not self.done:
                    self.begun.wait()  # until each driver has a task
                self.done.append(task.architecture)
            yield i, [[Measurement(Reading(float(len(task.architecture))), 1.0)]]


PROPOSALS = [
    Proposal(architecture, (0,), "given")
    for _, architecture in zip(range(24), get_space("nasbench201").enumerate(), strict=False)
]


def measuring(store: Store, engine: Counting) -> Measuring:
    config = resolve(RunConfig(scores=("parameters",), draws=1))
    space, images = get_space(config.space), load_images("digits")
    return Measuring("run", config, space, make_setups(space, config), images, store, engine)


def test_drivers_share_a_batch_and_measure_nothing_twice(
    address: Address, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(claimed, "SOON", 0.0)  # so that each claims one at a time
    nothing()  # or threads that ask for it first, at once, are given several
    begun = threading.Barrier(3, timeout=120)
    engines = [Counting(begun) for _ in range(3)]
    told: list[list[tuple[int, int]]] = [[], [], []]

    def drive(i: int) -> None:
        with Store.open(address) as store:
            measuring(store, engines[i]).measure(
                PROPOSALS, lambda done, total: told[i].append((done, total))
            )

    with ThreadPoolExecutor(3) as threads:
        list(threads.map(drive, range(3)))
    assert all(engine.done for engine in engines)
    done = [architecture for engine in engines for architecture in engine.done]
    assert sorted(done) == sorted({str(p.architecture) for p in PROPOSALS})
    assert list(map(tuple, said(address, "select count(*), max(times) from measurements"))) == [
        (24, 1)
    ]
    assert [each[-1] for each in told] == [(24, 24)] * 3
    assert all(each == sorted(each) for each in told)


def test_what_another_driver_is_at_comes_last_and_is_not_made(address: Address) -> None:
    with Store.open(address) as other, Store.open(address) as store:
        engine = Counting()
        asked = measuring(store, engine)
        [key] = asked.keys(PROPOSALS[0])["parameters"]
        other.claim([[key]], never)
        waiting = threading.Timer(0.4, lambda: other.add_measurements([measured(key, 7.0)]))
        waiting.start()
        asked.measure(PROPOSALS[:4], lambda done, total: None)
        waiting.join()
        assert engine.done == [str(p.architecture) for p in PROPOSALS[1:4]]
        assert store.known([key]) == {key: Reading(7.0)}


def test_a_proposal_that_waits_for_another_driver_arrives_last(
    address: Address, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(arrivals, "PAUSE", 0.05)
    with Store.open(address) as other, Store.open(address) as store:
        engine = Counting()
        asked = measuring(store, engine)
        [key] = asked.keys(PROPOSALS[0])["parameters"]
        other.claim([[key]], never)
        waiting = threading.Timer(0.4, lambda: other.add_measurements([measured(key, 7.0)]))
        waiting.start()
        found = arrivals.Arrivals(asked)
        for number, proposal in enumerate((*PROPOSALS[:3], PROPOSALS[1])):
            found.add(number, proposal)
        assert [*found] == [1, 3, 2, 0]
        waiting.join()
        assert engine.done == [str(p.architecture) for p in PROPOSALS[1:3]]
        assert store.known([key]) == {key: Reading(7.0)}


def test_what_a_dead_driver_was_at_is_made_by_another(
    address: Address, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(claims, "LEASE_SECONDS", 0.5)
    with Store.open(address) as dead, Store.open(address) as store:
        engine = Counting()
        asked = measuring(store, engine)
        dead.claim([asked.keys(p)["parameters"] for p in PROPOSALS[:2]], never)
        kill(dead)
        asked.measure(PROPOSALS[:4], lambda done, total: None)
        order = [*PROPOSALS[2:4], *PROPOSALS[:2]]
        assert engine.done == [str(p.architecture) for p in order]


def test_what_is_not_done_when_a_batch_is_interrupted_is_given_up(address: Address) -> None:
    class Interrupted(Counting):
        def __call__(self, tasks: Sequence[Task]) -> Iterator[tuple[int, Outcome]]:
            for number, found in enumerate(super().__call__(tasks)):
                if number == 3:
                    raise KeyboardInterrupt
                yield found

    with Store.open(address) as store:
        with pytest.raises(KeyboardInterrupt):
            measuring(store, Interrupted()).measure(PROPOSALS, lambda done, total: None)
        assert said(address, "select * from claims") == []
        [(count,)] = said(address, "select count(*) from measurements")
        assert count == 3
