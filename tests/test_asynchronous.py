"""Asynchronous searches: resumed, repeated from what is stored, and with every worker at work."""

import random
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
from repeated import repeated, searcher_of
from stored import said

from untrained.runs import RunConfig, RunRecord, load_record, run
from untrained.runs.claimed import nothing
from untrained.runs.readings import Measurement
from untrained.runs.tasks import Outcome, ScoreTask, Task
from untrained.scores import Reading
from untrained.searchers import (
    SEARCHERS,
    AsynchronousSearcher,
    Goal,
    History,
    Proposal,
    Trial,
    make_searcher,
)
from untrained.searchers.halving import SuccessiveHalving
from untrained.searchers.local_search import START
from untrained.spaces import Architecture, get_space
from untrained.storage import RunFolder
from untrained.storage.store import Store
from untrained.training import TrainingSpec

SEARCHES: dict[str, dict[str, Any]] = {
    "random": {"evaluations": 16},
    "evolution": {"evaluations": 24, "population": 6},
    "local": {"evaluations": 30},
    "surrogate": {"evaluations": 16, "explore": 8, "group": 4},
    "halving": {"evaluations": 9},
    "nsga2": {"evaluations": 20, "population": 6},
}
SPACE = get_space("nasbench201")
GOALS = (Goal("a", True), Goal("b", False))
ABLE = sorted(n for n, kind in SEARCHERS.items() if issubclass(kind, AsynchronousSearcher))


def number_of(*about: object) -> float:
    """A number for these, without any structure."""
    return random.Random(repr(about)).random()


def asked(searcher: str, out: Path, **changes: Any) -> RunConfig:
    halving = searcher == "halving"
    named: dict[str, Any] = {
        "scores": ("label_alignment", "parameters") if halving else ("parameters", "macs"),
        "short_training": TrainingSpec(images=100) if halving else TrainingSpec(),
        "options": SEARCHES[searcher],
        "proposals": 4,
        "draws": 1,
        "workers": 0,
        "asynchronous": True,
    }
    return RunConfig(searcher=searcher, out=out, **{**named, **changes})


class Shuffled:
    """An engine whose tasks end in an order of their own, as if some took far longer.

    Of those that it has, that with the least of some numbers is the next. So the order of results
    is the same whether or not it is interrupted.
    """

    def __init__(self) -> None:
        self.done: list[str] = []

    lanes = 1

    def __call__(self, tasks: Sequence[Task]) -> Iterator[tuple[int, Outcome]]:
        here, known = dict[int, ScoreTask](), 0
        while here or known < len(tasks):
            for index in range(known, len(tasks)):
                task = tasks[index]
                assert isinstance(task, ScoreTask)
                here[index] = task
            known = len(tasks)
            index = min(here, key=lambda i: number_of("length", *asked_of(here[i])))
            task = here.pop(index)
            if task is not nothing():
                self.done.append(task.architecture)
            yield index, [[value(task, setup.name) for setup in task.setups] for _ in task.draws]


def asked_of(task: ScoreTask) -> tuple[Any, ...]:
    return task.architecture, *((setup.name, setup.epochs) for setup in task.setups)


def value(task: ScoreTask, score: str) -> Measurement:
    found = number_of(score, *asked_of(task))
    failed = found < 0.1
    return Measurement(Reading(None, "fails") if failed else Reading(found), 0.01)


@pytest.fixture
def engine(monkeypatch: pytest.MonkeyPatch) -> Shuffled:
    """That of every run here."""
    found = Shuffled()

    @contextmanager
    def start(*_: object) -> Iterator[Shuffled]:
        yield found

    monkeypatch.setattr("untrained.runs.driver.start_engine", start)
    return found


def record_of(folder: RunFolder) -> RunRecord:
    return load_record(folder.store, folder.name)


@pytest.mark.parametrize("searcher", SEARCHES)
def test_stored_histories_give_the_same_proposals(
    searcher: str, engine: Shuffled, tmp_path: Path
) -> None:
    config = asked(searcher, tmp_path)
    record = record_of(run(config))
    made = sorted(record.trials, key=lambda trial: trial.batch)
    found = [p and (str(p.architecture), p.draws, p.epochs) for p in repeated(record, config)]
    assert found == [(t.architecture, t.draws, t.epochs) for t in made]
    assert [t.batch for t in made] == list(range(len(made)))
    assert [t.number for t in made] != [t.batch for t in made]  # results came in another order
    assert record.ended
    assert record.selected == str(searcher_of(config).select(record.history(SPACE)))


class Killed(BaseException):
    """What ends a run at once, wherever it is."""


WRITES = "add_pending", "arrive", "add_measurements", "claim"


@contextmanager
def killed_at(moment: int, before: bool) -> Iterator[None]:
    """Ends the run at one of its writes, with or without it."""
    count = 0

    def dying(write: Callable[..., Any]) -> Callable[..., Any]:
        def called(*args: Any) -> Any:
            nonlocal count
            count += 1
            if count == moment and before:
                raise Killed
            found = write(*args)
            if count == moment:
                raise Killed
            return found

        return called

    with pytest.MonkeyPatch.context() as patch, suppress(Killed):
        for name in WRITES:
            patch.setattr(Store, name, dying(getattr(Store, name)))
        yield
    assert count >= moment


@pytest.mark.parametrize("searcher", SEARCHES)
def test_a_run_that_is_killed_and_resumed_is_as_one_that_was_not(
    searcher: str, engine: Shuffled, tmp_path: Path
) -> None:
    """At any of its writes, several times in a row."""
    whole = record_of(run(asked(searcher, tmp_path / "whole")))
    once, rng = len(engine.done), random.Random(searcher)
    config = asked(searcher, tmp_path / "killed")
    for _ in range(8):
        with killed_at(rng.randrange(1, 16), rng.random() < 0.5):
            run(config)
    record = record_of(run(config))
    assert (record.trials, record.selected) == (whole.trials, whole.selected)
    assert len(engine.done) - once <= once + 8  # what was not stored yet


def test_where_what_was_pending_is_damaged_it_is_tried_again(
    engine: Shuffled, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    config = asked("random", tmp_path)
    with killed_at(20, before=True):
        run(config)
    said(tmp_path / "store.db", "update pending set architecture = 'what'")
    assert len(record_of(run(config)).trials) == 16
    assert any("repeated from what was measured" in line for line in caplog.messages)
    assert len(engine.done) == len({*engine.done})


def test_as_many_are_under_way_as_were_asked_for(engine: Shuffled, tmp_path: Path) -> None:
    record = record_of(run(asked("random", tmp_path)))
    for trial in record.trials:
        assert trial.seen == max(0, trial.batch - 3)


def test_where_time_is_up_what_is_pending_is_finished(
    engine: Shuffled, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        "untrained.runs.asynchronous.time_is_up", lambda session, tried, took: tried >= 10
    )
    record = record_of(run(asked("random", tmp_path)))
    assert len(record.trials) == 10
    assert record.selected


def test_in_one_process_results_come_in_order(tmp_path: Path) -> None:
    config = asked("random", tmp_path, score_settings={"macs": {"scale": "small"}})
    record = record_of(run(config))
    assert [trial.batch for trial in record.trials] == list(range(16))
    assert repeated(record, config) == [
        Proposal(t.architecture, t.draws, t.note) for t in record.history(SPACE)
    ]


def test_worker_processes_are_handed_tasks_as_they_come(tmp_path: Path) -> None:
    config = asked("random", tmp_path, workers=2, scores=("parameters",))
    record = record_of(run(config))
    assert sorted(trial.batch for trial in record.trials) == list(range(16))
    assert all(column[0].value for trial in record.trials for column in trial.readings.values())


def test_what_was_measured_before_arrives_at_once(engine: Shuffled, tmp_path: Path) -> None:
    config = asked("random", tmp_path)
    run(config)
    done = list(engine.done)
    other = record_of(run(asked("random", tmp_path, proposals=3)))
    assert engine.done == done  # a random search of one seed draws the same
    assert [trial.batch for trial in other.trials] == list(range(16))


def test_proposals_that_need_the_same_measurement_share_it(
    engine: Shuffled, tmp_path: Path
) -> None:
    """As evolution's, which may mutate to one network twice."""
    options = {"evaluations": 120, "population": 3, "sample": 3}
    config = asked("evolution", tmp_path, options=options, proposals=16)
    folder = run(config)
    forms = {SPACE.canonical(trial.architecture) for trial in record_of(folder).history(SPACE)}
    assert len(forms) < 120
    assert [tuple(row) for row in said(folder.store, "select max(times) from measurements")] == [
        (1,)
    ]


# Searchers alone


def made(name: str) -> AsynchronousSearcher:
    found = make_searcher(name, SPACE, GOALS, 2, SEARCHES[name])
    assert isinstance(found, AsynchronousSearcher)
    return found


def measured(proposal: Proposal) -> Trial:
    form = SPACE.canonical(proposal.architecture)
    numbers = [number_of(str(form), draw, proposal.epochs) for draw in proposal.draws]
    values = {"a": tuple(None if n < 0.05 else n for n in numbers), "b": tuple(numbers)}
    return Trial(**vars(proposal), values=values)


def searched(searcher: AsynchronousSearcher, width: int, seed: int = 0) -> list[Trial]:
    """A search with so many under way, which arrive in a random order."""
    history, plain = History(SPACE), list[Trial]()
    pending, order = list[Proposal](), random.Random(seed)
    while True:
        while len(pending) < width:
            number = len(history) + len(pending)
            one, other = (
                searcher.propose_one(each, pending, random.Random(number))
                for each in (history, plain)
            )
            assert one == other  # of a history with summaries and of a list
            if one is None:
                break
            pending.append(one)
        if not pending:
            return plain
        trial = measured(pending.pop(order.randrange(len(pending))))
        history.append(trial)
        plain.append(trial)


@pytest.mark.parametrize("width", [1, 5, 40])
@pytest.mark.parametrize("name", ABLE)
def test_a_search_comes_to_its_end(name: str, width: int) -> None:
    """However many are under way, and with no more than were asked for."""
    searcher = made(name)
    history = searched(searcher, width)
    assert searcher.select(history) is not None
    first = [t for t in history if name != "halving" or t.epochs == 1]
    assert len(first) == SEARCHES[name]["evaluations"]
    if name != "evolution":
        assert len({SPACE.canonical(t.architecture) for t in first}) == len(first)
    assert searched(searcher, width) == history


def test_one_at_a_time_evolution_and_climbs_are_those_of_batches_of_one() -> None:
    """But for their random numbers, which here are the same."""
    for name in ("random", "evolution"):
        searcher, history = made(name), list[Trial]()
        while batch := searcher.propose(history, 1, random.Random(len(history))):
            history += map(measured, batch)
        assert searched(searcher, 1) == history


def test_climbs_go_on_beside_one_another() -> None:
    """A trial is a start, or the neighbour of a place on a climb that has begun."""
    searcher = make_searcher("local", SPACE, GOALS, 1, {"evaluations": 120})
    assert isinstance(searcher, AsynchronousSearcher)
    history = searched(searcher, 40)
    starts = [t.architecture for t in history if t.role == START]
    assert len(starts) > 2
    reached = {*starts}
    for trial in history:
        near = {SPACE.canonical(a) for place in reached for a in SPACE.neighbours(place)}
        assert trial.role == START or SPACE.canonical(trial.architecture) in near
        reached.add(trial.architecture)


# ASHA


def promotable(history: Sequence[Trial], epochs: int, factor: int) -> list[Architecture]:
    """Algorithm 2 of the paper, spelt out: the best of a rung that are not promoted."""
    rung = [t for t in history if t.epochs == epochs]
    values = {t.architecture: t.mean("worth") for t in rung}
    sound = sorted(
        (v, -i) for i, t in enumerate(rung) if (v := values[t.architecture]) is not None
    )
    top = [rung[-i].architecture for _, i in sound[::-1]][: len(rung) // factor]
    gone = {t.architecture for t in history if t.epochs == epochs * factor}
    return [a for a in top if a not in gone]


@pytest.mark.parametrize("width", [1, 4, 12])
def test_asha_promotes_the_best_of_a_rung_as_soon_as_it_can(width: int) -> None:
    searcher = SuccessiveHalving(SPACE, (Goal("worth", True),), 1, evaluations=27, factor=3)
    history, pending = list[Trial](), list[Proposal]()
    rng, order = random.Random(0), random.Random(1)
    while True:
        while len(pending) < width:
            proposal = searcher.propose_one(history, pending, rng)
            under_way = {(p.architecture, p.epochs) for p in pending}
            expected = [
                (a, 3 * e)
                for e in (3, 1)
                for a in promotable(history, e, 3)
                if (a, 3 * e) not in under_way
            ]
            if proposal is None:
                assert not expected
                break
            which = proposal.architecture, proposal.epochs
            assert which == expected[0] if expected else proposal.epochs == 1
            pending.append(proposal)
        if not pending:
            break
        done = pending.pop(order.randrange(len(pending)))
        worth = number_of(str(done.architecture), done.epochs)
        values = {"worth": (None if worth < 0.1 else worth,)}
        history.append(Trial(**vars(done), values=values))
    sizes = [sum(t.epochs == e for t in history) for e in (1, 3, 9)]
    assert sizes[0] == 27
    assert sizes[1] >= 9
    assert sizes[2] >= 3
    best = max((t for t in history if t.epochs == 9), key=lambda t: t.mean("worth") or 0.0)
    assert searcher.select(history) == best.architecture


# Misuse


@pytest.mark.parametrize("searcher", sorted({*SEARCHERS} - {*ABLE}))
def test_a_searcher_that_needs_batches_is_refused(searcher: str, tmp_path: Path) -> None:
    given: dict[str, Any] = {"architectures": str(SPACE.sample(random.Random(0)))}
    options = given if searcher == "given" else {}
    config = RunConfig(searcher=searcher, options=options, asynchronous=True, out=tmp_path)
    words = f"asynchronous: expected a searcher that proposes .*, got {searcher}; try --searcher r"
    with pytest.raises(ValueError, match=words):
        run(config)
    assert not [*tmp_path.iterdir()]


def test_a_search_is_one_drivers(engine: Shuffled, tmp_path: Path) -> None:
    """Of several runs that share it."""
    config = asked("random", tmp_path)
    folder = run(config)
    with Store.open(folder.store) as other:
        search = other.run(folder.name)["search"]
        assert other.claim([[f"search {search}"]], lambda _: False) == [True]
        with pytest.raises(
            OSError, match="is under way in another command on the same store: wait"
        ):
            run(config)
    assert run(config) == folder


def test_a_search_that_another_driver_took_over_is_not_gone_on_with(
    engine: Shuffled, tmp_path: Path
) -> None:
    """Which is noticed even if the lease was lost unnoticed."""
    config = asked("random", tmp_path)
    with killed_at(9, before=True):
        run(config)
    with Store.open(tmp_path / "store.db") as store:
        [name] = store.run_names()
        search = store.run(name)["search"]
        tried = len(store.trials(search))
        batches = [row["batch"] for row in store.pending(search)]
        store.arrive(search, batches[0], tried)
        with pytest.raises(OSError, match="another command goes on with this search in the store"):
            store.arrive(search, batches[1], tried)


def test_workers_that_would_wait_are_told(
    engine: Shuffled, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    run(asked("random", tmp_path, workers=6))
    assert any("6 workers share 4 architectures" in line for line in caplog.messages)
