"""What a store promises, in a file of SQLite and in a PostgreSQL database: the same."""

import random
import struct
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from stored import RUN, files_with, measured, reading, said, tried

from untrained.pages.stored import report_run
from untrained.runs import RunConfig, load_record, run
from untrained.runs.record import record_of
from untrained.scores.score import Bound, Reading
from untrained.storage import RunFolder
from untrained.storage.address import Address
from untrained.storage.schema import SCHEMA, metadata
from untrained.storage.store import LOST, Store
from untrained.training.epoch import Epoch


@pytest.fixture
def store(address: Address) -> Iterator[Store]:
    with Store.open(address) as opened:
        yield opened


# Runs


def test_a_run_is_noted_and_renewed(store: Store) -> None:
    store.begin_run("r", RUN)
    first = store.run("first")
    store.begin_run("r", {**RUN, "config": {"draws": 4}})
    again = store.run("first")
    assert again == {**first, "config": {"draws": 4}}
    assert first["images"]["notes"] == ["caf\udce9"]
    assert (first["selected"], first["ended"], first["shrunk"]) == (None, None, None)
    with pytest.raises(KeyError):
        store.run("second")


def test_runs_of_a_search_share_how_it_ended(store: Store) -> None:
    for name, search in (("first", "s"), ("second", "s"), ("other", "o")):
        store.begin_run(name, {**RUN, "name": name, "search": search})
    store.set_selected("s", "a7")
    limited = {"limits": ["macs=1M"], "drawn": 9, "within": 4, "tries": 1}
    shrunk = {"score": "a", "share": 0.5, "threshold": 1.0, "higher_is_better": True, "values": []}
    store.set_found("s", "shrunk", shrunk)
    store.set_found("s", "limited", limited)
    assert [store.run(name)["selected"] for name in ("first", "second", "other")] == [
        "a7", "a7", None,
    ]  # fmt: skip
    assert store.run("second")["shrunk"] == store.found("s", "shrunk") == shrunk
    assert store.run("second")["limited"] == store.found("s", "limited") == limited
    assert store.found("s", "calibrated") is None
    assert store.run_names() == ["other", "second", "first"]
    assert store.run_names("s") == ["second", "first"]


def test_another_run_of_a_name_takes_its_place(store: Store) -> None:
    store.begin_run("r", RUN)
    store.begin_run("q", RUN)
    assert store.run("first")["id"] == "q"


# Measurements and trials


def doubles(count: int) -> list[float]:
    """Any that are finite, those at the edges first; SQLite has no -0."""
    rng, found = random.Random(0), [0.0, 5e-324, 1.7976931348623157e308, 0.1, 2.0**53 + 1]
    while len(found) < count:
        [value] = struct.unpack("<d", rng.randbytes(8))
        found += [value] if value - value == 0 else []
    return found


def test_numbers_come_back_bit_for_bit(store: Store) -> None:
    rows = [measured(f"k{i}", value) for i, value in enumerate(doubles(1203))]
    store.add_measurements(rows)
    found = store.known([row["key"] for row in rows])
    assert {k: str(r.value) for k, r in found.items()} == {
        row["key"]: str(row["value"]) for row in rows
    }


@pytest.mark.parametrize(
    "reason", ["", "plain", "%s :a {b} 'c' \"d\" \\", "naïve 神\n\t", "\u202e"]
)
def test_reasons_come_back_as_they_were(store: Store, reason: str) -> None:
    row = measured("k", None, reason, Bound("memory", 2.0**40))
    store.add_measurements([row])
    assert store.known(["k", "unknown"]) == {"k": reading(row)}


def test_what_a_database_refuses_is_kept_as_an_escape(store: Store) -> None:
    store.add_measurements([measured("k", None, "caf\udce9")])
    store.add_measurements([measured("n", None, "a\0b")])
    found = store.known(["k", "n"])
    assert found["k"].reason == r"caf\udce9"
    assert found["n"].reason in ("a\0b", r"a\x00b")  # PostgreSQL has no NUL


def test_what_is_measured_again_is_counted_and_changes_nothing(
    store: Store, address: Address
) -> None:
    store.add_measurements([measured("k", 1.0), measured("l", None, "fails")])
    store.add_measurements([measured("k", 2.0), measured("m", 3.0)])
    assert store.known(["k", "l", "m"]) == {
        "k": Reading(1.0), "l": Reading(None, "fails"), "m": Reading(3.0),
    }  # fmt: skip
    times = said(address, "select key, times from measurements order by key")
    assert list(map(tuple, times)) == [("k", 2), ("l", 1), ("m", 1)]


def test_what_ran_out_gives_way(store: Store) -> None:
    store.add_measurements([measured("k", None, "too large", Bound("memory", 1.0))])
    store.add_measurements([measured("k", 2.0)])
    assert store.known(["k"]) == {"k": Reading(2.0)}


def test_a_damaged_measurement_is_not_known_and_gives_way(store: Store, address: Address) -> None:
    store.add_measurements([measured("k")])
    said(address, "update measurements set bound_kind = 'other'")
    assert store.known(["k"]) == {}
    store.add_measurements([measured("k", 2.0)])
    assert store.known(["k"]) == {"k": Reading(2.0)}


def test_trials_come_back_in_order_with_their_readings(store: Store) -> None:
    store.add_measurements([measured("k", 1.0), measured("l", 2.0)])
    store.add_trials([tried(0, 0, "k", "l"), tried(1, 0, "l")])
    store.add_trials([{**tried(2, 1, "lost"), "role": "start", "epochs": 3}])
    assert [trial.readings["a"] for trial in store.trials("s")] == [
        (Reading(1.0), Reading(2.0)), (Reading(2.0),), (LOST,),
    ]  # fmt: skip
    [last] = store.trials("s", since=2)
    assert (last.number, last.batch, last.role, last.epochs, last.draws) == (
        2,
        1,
        "start",
        3,
        (0,),
    )
    assert (store.batches("s"), store.batches("other"), store.trials("other")) == (2, 0, [])
    store.forget_trials("s")
    assert (store.batches("s"), len(store.known(["k", "l"]))) == (0, 2)


def test_a_batch_that_another_driver_has_stored_stays(store: Store) -> None:
    store.add_trials([tried(0, 0, "k"), tried(1, 0, "l")])
    store.add_trials([tried(0, 0, "other"), tried(1, 0, "l")])
    assert len(store.trials("s")) == 2
    store.add_measurements([measured("k")])
    assert store.trials("s")[0].readings["a"] == (Reading(1.0),)


def test_missing_trials_are_told(store: Store, address: Address) -> None:
    store.add_trials([tried(0, 0, "k"), tried(1, 0, "k")])
    said(address, "delete from trials where number = 0")
    with pytest.raises(ValueError, match="damaged in one place: trials of s are missing"):
        store.trials("s")


@pytest.mark.parametrize("wrong", ["[1]", '{"a": [1]}', '{"a": "k"}', "null"])
def test_a_damaged_trial_is_told(store: Store, address: Address, wrong: str) -> None:
    store.add_trials([tried(0, 0, "k")])
    said(address, "update trials set measurements = :wrong", wrong=wrong)
    with pytest.raises(ValueError, match=r"damaged in one place: table trials \(run 's'"):
        store.trials("s")


def test_seconds_are_those_of_whole_columns(store: Store) -> None:
    """By hand: a0 took 2 x .25 s, a1 took .25 s, and of a2 a measurement is lost."""
    store.add_measurements([measured("k"), measured("l")])
    store.add_trials([tried(0, 0, "k", "l"), tried(1, 0, "l"), tried(2, 0, "k", "lost")])
    assert store.seconds("s") == {"a": 0.375}


# Trainings and costs


def epoch(number: int) -> Epoch:
    return Epoch(number, 0.1, 1 / 3, 0.5, 2 / 3, 0.25, 1e-9)


def test_a_training_grows_by_its_new_epochs(store: Store) -> None:
    named = {"position": 0, "role": "selected", "architecture": "a0"}
    store.begin_training("r", named, {"key": "t", "question": {"seed": 1}})
    large = {"parameters": 2**40, "macs": 2**50, "confusion": [[1, 0], [2, 3]]}
    store.update_training("t", [epoch(1)], large)
    store.update_training("t", [epoch(1), epoch(2)], {"finished": True, "test_accuracy": 0.1})
    store.begin_training("r", named, {"key": "t", "question": {"seed": 1}})
    [row] = store.trainings("r")
    assert row["epochs"] == (epoch(1), epoch(2))
    assert {name: row[name] for name in large} == large
    assert (row["finished"], row["test_accuracy"], row["reason"]) == (True, 0.1, "")
    store.begin_training("r", {**named, "position": 1}, {"key": "u", "question": {}})
    assert [row["key"] for row in store.trainings("r")] == ["t", "u"]
    store.end_trainings("r", 1)
    assert [row["key"] for row in store.trainings("r")] == ["t"]


def test_costs_are_summed_by_step(store: Store) -> None:
    for seconds in (1.0, 0.5):
        store.add_cost("r", "load images", seconds)
    store.add_cost("r", "search", 8.0, wall=True)
    store.add_cost("other", "search", 1.0, wall=True)
    store.add_measurements([measured("k"), measured("l")])
    assert store.costs("r", "s", wall=False) == [("load images", 2, 1.5), ("a", 2, 0.5)]
    assert store.costs("r", "s", wall=True) == [("search", 1, 8.0)]


# Several drivers


def test_a_store_is_made_once_by_drivers_that_begin_together(address: Address) -> None:
    with ThreadPoolExecutor(6) as threads, ExitStack() as opened:
        stores = list(threads.map(Store.open, [address] * 6))
        for each in stores:
            opened.enter_context(each)
    assert list(map(tuple, said(address, "select version from schema"))) == [(SCHEMA,)]


def test_drivers_that_write_the_same_rows_lose_and_repeat_none(address: Address) -> None:
    keys = [f"k{i}" for i in range(40)]

    def drive(number: int) -> None:
        rng = random.Random(number)
        with Store.open(address) as store:
            store.begin_run("r", {**RUN, "config": {"driver": number}})
            for _ in range(10):
                chosen = rng.sample(keys, 8)
                store.add_measurements([measured(key, float(key[1:])) for key in chosen])
                store.add_cost("r", "step", 1.0)
            store.add_trials([tried(i, 0, key) for i, key in enumerate(keys)])
            store.begin_training(
                "r", {"position": 0, "role": "random", "architecture": "a"},
                {"key": "t", "question": {}},
            )  # fmt: skip
            store.update_training("t", [epoch(1), epoch(2)], {"finished": True})

    with ThreadPoolExecutor(4) as threads:
        list(threads.map(drive, range(4)))
    with Store.open(address) as store:
        assert store.known(keys) == {key: Reading(float(key[1:])) for key in store.known(keys)}
        assert store.costs("r", wall=False) == [("step", 40, 40.0)]
        assert len(store.trials("s")) == 40
        assert [row["epochs"] for row in store.trainings("r")] == [(epoch(1), epoch(2))]
    [(times,)] = said(address, "select sum(times) from measurements")
    assert times == 4 * 10 * 8


# Opening and reading


def test_a_store_is_read_without_being_written(address: Address) -> None:
    with Store.open(address) as store:
        store.begin_run("r", RUN)
    with Store.reading(address) as store:
        assert store.run_names() == ["first"]
        with pytest.raises(OSError, match=r"read-?only"):
            store.add_cost("r", "step", 1.0)


def test_a_newer_store_is_refused_and_left_alone(address: Address) -> None:
    Store.open(address).close()
    said(address, "update schema set version = :newer", newer=SCHEMA + 1)
    with pytest.raises(ValueError, match=f"newer untrained.*{SCHEMA + 1}; upgrade"):
        Store.open(address)
    with pytest.raises(ValueError, match="newer untrained"), Store.reading(address):
        pass
    assert list(map(tuple, said(address, "select version from schema"))) == [(SCHEMA + 1,)]


def test_a_database_of_something_else_is_refused_and_left_alone(address: Address) -> None:
    said(address, "create table photos (id integer)")
    with pytest.raises(ValueError, match="expected a store of untrained, got a database of some"):
        Store.open(address)
    with pytest.raises(ValueError, match="expected a store of untrained"), Store.reading(address):
        pass
    schema = said(address, "select * from photos")
    assert schema == []
    with pytest.raises(Exception, match="schema"):
        said(address, "select * from schema")


# Whole runs


def asked(out: Path, store: Address | None) -> RunConfig:
    settings: dict[str, Any] = {
        "searcher": "local", "options": {"evaluations": 6}, "scores": ("parameters", "naswot"),
        "draws": 2, "proposals": 2, "workers": 0, "out": out, "scale": "small",
        "score_settings": {"naswot": {"count": 8, "scale": "thin"}},
    }  # fmt: skip
    return RunConfig(**settings, store=None if store is None else str(store))


@pytest.fixture(scope="module")
def usual(tmp_path_factory: pytest.TempPathFactory) -> RunFolder:
    """A search into the file in its folder."""
    return run(asked(tmp_path_factory.mktemp("usual"), None))


def test_a_search_finds_the_same_in_any_store(
    usual: RunFolder, address: Address, tmp_path: Path
) -> None:
    folder = run(asked(tmp_path / "out", address))
    assert not folder.store.exists()
    assert (found := record_of(folder)).trials == record_of(usual).trials
    assert (found.name, found.selected) == (usual.name, record_of(usual).selected)
    assert load_record(address, folder.name) == found
    assert found.selected is not None
    assert found.selected in report_run(folder).read_text(encoding="utf-8")
    before = said(address, "select * from measurements order by key")
    assert run(asked(tmp_path / "out", address)) == folder
    assert said(address, "select * from measurements order by key") == before


def test_a_password_is_kept_nowhere(address: Address, tmp_path: Path) -> None:
    """Not in what a run writes, its report among it, nor in the store itself."""
    folder = run(asked(tmp_path / "out", address))
    report_run(folder)
    assert "s3cret" not in repr(folder) + repr(asked(tmp_path, address)) + repr(record_of(folder))
    assert files_with("s3cret", tmp_path) == []
    for table in metadata.tables:
        assert "s3cret" not in str(said(address, f"select * from {table}"))
