"""Sweeps: the numbers of one process, whoever shares the work and whenever it is killed."""

import csv
import json
import random
import threading
import time
import tracemalloc
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from hashlib import blake2b
from itertools import islice
from pathlib import Path
from typing import Any

import pytest
from stopped import stopped_at
from stored import said
from test_cli import Command, command

from untrained.images import load_images
from untrained.runs import Progress, driver, sweeping
from untrained.runs.presets import resolve
from untrained.runs.readings import Measurement
from untrained.runs.record import record_of
from untrained.runs.setup import make_setups
from untrained.runs.sweep_config import Shard, SweepConfig
from untrained.runs.sweeping import next_size
from untrained.runs.sweeps import SweepState, merge_sweeps, sweep, sweep_state, sweep_values
from untrained.runs.tasks import Outcome, ScoreTask, Task, perform
from untrained.scores import Reading
from untrained.searchers.population import population_of
from untrained.spaces import get_space
from untrained.storage.address import Address
from untrained.storage.folder import RunFolder
from untrained.storage.ranges import RANGE, Ranges
from untrained.storage.store import Store

__all__ = ["command"]  # a fixture

SPACE = get_space("nasbench201")
COUNT = 4 * RANGE + 9
FEW = {"architectures": f"random:{RANGE + 6}"}


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> list[ScoreTask]:
    """Measurements take no time, and are a function of what is asked; the tasks that were done."""
    return made_quick(monkeypatch)


@pytest.fixture(scope="module")
def begun(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a sweep of few architectures."""
    with pytest.MonkeyPatch.context() as patch:
        made_quick(patch)
        sweep("s", config(found := tmp_path_factory.mktemp("begun"), **FEW))
    return found


def made_quick(monkeypatch: pytest.MonkeyPatch) -> list[ScoreTask]:
    engine = Imagining()

    @contextmanager
    def start(*_: Any) -> Iterator[Any]:
        yield engine

    monkeypatch.setattr(driver, "start_engine", start)
    return engine.done


class Imagining:
    """An engine that makes numbers up."""

    lanes = 1

    def __init__(self) -> None:
        self.done: list[ScoreTask] = []

    def __call__(self, tasks: Sequence[Task]) -> Iterator[tuple[int, Outcome]]:
        for i in range(len(tasks)):
            task = tasks[i]
            assert isinstance(task, ScoreTask)
            self.done.append(task)
            yield i, [[imagined(task, name, d) for name in names(task)] for d in task.draws]


def names(task: ScoreTask) -> list[str]:
    return [setup.name for setup in task.setups]


def imagined(task: ScoreTask, name: str, draw: int) -> Measurement:
    asked = f"{task.architecture} {name} {draw}".encode()
    value = int.from_bytes(blake2b(asked, digest_size=4).digest())
    if value % 50 == 0:
        return Measurement(Reading(None, "too deep"), 1e-4)
    return Measurement(Reading(float(value)), 1e-4)


def config(out: Path, **changes: Any) -> SweepConfig:
    usual: dict[str, Any] = {
        "architectures": f"random:{COUNT}", "scores": ("naswot", "synflow"), "draws": 2,
        "workers": 0, "out": out,
    }  # fmt: skip
    return SweepConfig(**(usual | changes))


def values(out: Path, store: Address | None = None) -> list[dict[str, Any]]:
    return [*sweep_values(RunFolder(out, "s", None if store is None else str(store)))]


def made(store: Address) -> list[tuple[int, int]]:
    """How many measurements were made once, twice, ..."""
    query = "SELECT times, count(*) FROM measurements GROUP BY times ORDER BY times"
    return [(times, count) for times, count in said(store, query)]


# What is measured


def test_a_sweep_of_a_list_has_the_numbers_of_each_measurement_by_itself(tmp_path: Path) -> None:
    texts = [str(SPACE.sample(random.Random(i))) for i in range(5)]
    (tmp_path / "list.txt").write_text("\n\n".join(texts))
    asked = config(
        tmp_path,
        architectures=str(tmp_path / "list.txt"),
        scores=("parameters", "linear_regions"),
        score_settings={"linear_regions": {"count": 20}},
    )
    found = sweep("s", asked)
    assert (found.done, found.total, found.failures) == (len(texts), len(texts), ())
    rows = values(tmp_path)
    assert [row["architecture"] for row in rows] == [text for text in texts for _ in range(2)]
    assert [row["draw"] for row in rows] == [0, 1] * len(texts)
    images, setups = load_images("digits"), make_setups(SPACE, resolve(asked.run_config()))
    for row in rows[:4] + rows[-2:]:
        for setup in setups:
            form = str(SPACE.canonical(SPACE.parse(row["architecture"])))
            text = form if setup.score.of_function else row["architecture"]
            task = ScoreTask("nasbench201", text, (setup,), (row["draw"],), "cpu")
            [[alone]] = perform(task, images)  # type: ignore[misc]
            assert row[setup.name] == alone.reading.value


@pytest.mark.parametrize("named", ["all", "random:300", "random:300:5", "list"])
def test_a_population_is_read_in_parts(named: str, tmp_path: Path) -> None:
    space: Any = get_space("natsbench_size") if named == "all" else SPACE
    path = tmp_path / "list.txt"
    if named == "list":
        path.write_text("".join(f"{each}\n" for each in islice(space.enumerate(), 300)))
    found = population_of(space, str(path) if named == "list" else named)
    whole = found.read(0, found.count)
    assert len(whole) == found.count == (8**5 if named == "all" else 300)
    parts = [(0, 40), (40, 50), (200, 290), (10, 20), (290, 400)]  # forth, and back once
    for start, stop in parts:
        assert found.read(start, stop) == whole[start:stop]
    if named == "all":
        assert whole == [*space.enumerate()]
    if named == "random:300":
        assert whole[:100] == population_of(space, "random:100").read(0, 100)
        assert whole != population_of(space, "random:300:1").read(0, 300)


def test_a_digest_stands_for_what_a_file_says_wherever_it_lies(tmp_path: Path) -> None:
    texts = [*map(str, islice(SPACE.enumerate(), 5))]
    digests = []
    for name, lines in (("a", texts), ("b", ["", *texts, " "]), ("c", texts[::-1])):
        (tmp_path / name).write_text("\n".join(lines))
        digests.append(population_of(SPACE, str(tmp_path / name)).digest)
    assert digests[0] == digests[1] != digests[2]


# Killed, shared and put together


@pytest.mark.parametrize("seed", range(2))
def test_stopped_at_random_moments_it_ends_as_unbroken(
    seed: int, tmp_path: Path, quick: list[ScoreTask], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sweeping, "OFTEN", 0.05)
    rng = random.Random(seed)
    sweep("s", config(tmp_path / "unbroken"))
    for at in sorted(rng.sample(range(2 * RANGE, COUNT), 2)):
        with pytest.raises(KeyboardInterrupt):
            sweep("s", config(tmp_path / "broken"), stopped_at("sweep", at))
    kept = sweep_state(RunFolder(tmp_path / "broken", "s")).done
    assert 0 < kept < COUNT
    quick.clear()
    found = sweep("s", config(tmp_path / "broken"))
    assert found.done == COUNT
    assert len(quick) < COUNT
    assert values(tmp_path / "broken") == values(tmp_path / "unbroken")
    assert [times for times, _ in made(tmp_path / "broken" / "store.db")] == [1]


def test_drivers_on_one_store_share_a_sweep(
    address: Address, tmp_path: Path, quick: list[ScoreTask]
) -> None:
    sweep("s", config(tmp_path / "alone"))
    quick.clear()
    by: dict[int, int] = {}

    def watch(progress: Progress) -> None:
        by[threading.get_ident()] = by.get(threading.get_ident(), 0) + 1
        time.sleep(0.002)

    asked = config(tmp_path / "together", store=str(address))
    drivers = [threading.Thread(target=sweep, args=("s", asked, watch)) for _ in range(3)]
    for driver_ in drivers:
        driver_.start()
    for driver_ in drivers:
        driver_.join()
    assert min(by.values()) > 10
    assert len(by) == 3
    assert values(tmp_path / "together", address) == values(tmp_path / "alone")
    assert [times for times, _ in made(address)] == [1]


def test_a_driver_helps_where_another_is_slow(tmp_path: Path, quick: list[ScoreTask]) -> None:
    asked = config(tmp_path)
    with pytest.raises(KeyboardInterrupt):
        sweep("s", asked, stopped_at("sweep", 0))
    store = tmp_path / "store.db"
    with Store.open(store) as other:  # which lives, and claims all that there is
        row = other.run("s")
        assert all(Ranges(other, row["id"]).claim(range(COUNT // RANGE + 1)))
        assert sweep("s", asked).done == COUNT


def test_shards_without_a_store_in_common_are_put_together(
    tmp_path: Path, quick: list[ScoreTask]
) -> None:
    sweep("s", config(tmp_path / "whole"))
    for i in (1, 2, 3):
        found = sweep("s", config(tmp_path / f"part{i}", shard=f"{i}/3"))
        assert found.done == sum(
            min(RANGE, COUNT - n * RANGE) for n in Shard(i, 3).numbers(-(-COUNT // RANGE))
        )
    into = RunFolder(tmp_path / "merged", "s")
    stores = [str(tmp_path / f"part{i}" / "store.db") for i in (1, 2, 3)]
    assert merge_sweeps(into, stores[:2]).done < COUNT
    assert merge_sweeps(into, stores).done == COUNT  # what is there is not copied again
    records = [record_of(RunFolder(tmp_path / out, "s")) for out in ("merged", "whole")]
    assert [record.ended for record in records] == [True, True]
    assert records[0].trials == records[1].trials
    assert values(tmp_path / "merged") == values(tmp_path / "whole")
    assert made(tmp_path / "merged/store.db") == made(tmp_path / "whole/store.db")
    quick.clear()
    assert sweep("s", config(tmp_path / "merged")).done == COUNT
    assert quick == []


def test_a_sweep_goes_on_where_shards_that_are_put_together_end(
    tmp_path: Path, quick: list[ScoreTask]
) -> None:
    sweep("s", config(tmp_path / "part", shard="2/2"))
    merge_sweeps(RunFolder(tmp_path / "rest", "s"), [str(tmp_path / "part/store.db")])
    sweep("s", config(tmp_path / "whole"))
    sweep("s", config(tmp_path / "rest"))
    assert values(tmp_path / "rest") == values(tmp_path / "whole")


def test_what_is_lost_of_a_sweep_is_measured_again(tmp_path: Path, quick: list[ScoreTask]) -> None:
    asked = config(tmp_path, **FEW)
    sweep("s", asked)
    before = values(tmp_path)
    query = "DELETE FROM measurements WHERE key IN (SELECT key FROM measurements LIMIT 7)"
    said(tmp_path / "store.db", query)
    assert values(tmp_path) != before
    sweep("s", asked)
    assert values(tmp_path) == before


# How much memory, and how far


def test_memory_does_not_grow_with_what_is_measured(
    tmp_path: Path, quick: list[ScoreTask], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of a million, those to come take none, and those that are measured none any more."""
    monkeypatch.setattr(sweeping, "MOST", 1)
    held: dict[int, int] = {}

    def watch(progress: Progress) -> None:
        quick.clear()
        if progress.done in (10 * RANGE, 40 * RANGE):
            held[progress.done] = tracemalloc.get_traced_memory()[0]
        if progress.done > 40 * RANGE:
            raise KeyboardInterrupt

    asked = config(tmp_path, architectures="random:1000000", space="least_space:WIDTHS", draws=1)
    tracemalloc.start()
    with pytest.raises(KeyboardInterrupt):
        sweep("s", replace(asked, scores=("naswot",)), watch)
    tracemalloc.stop()
    first, last = held.values()
    assert last - first < 100_000  # of 1,920 architectures


def test_a_sweep_says_how_far_it_is(tmp_path: Path, quick: list[ScoreTask]) -> None:
    folder, seen = RunFolder(tmp_path, "s"), list[SweepState]()

    def watch(progress: Progress) -> None:
        assert progress.total == COUNT
        time.sleep(0.001)
        if progress.done == 3 * RANGE:
            seen.append(sweep_state(folder))

    end = sweep("s", config(tmp_path), watch)
    at_work = seen[-1]
    assert (at_work.drivers, at_work.total) == (1, COUNT)
    assert 0 < at_work.done < COUNT
    assert at_work.rate is not None
    left = (COUNT - at_work.done) / at_work.rate
    assert at_work.seconds_left == pytest.approx(left)
    failed = [f for row in values(tmp_path) for f in ("naswot", "synflow") if row[f] is None]
    distinct = said(tmp_path / "store.db", "SELECT count(*) FROM measurements WHERE value IS NULL")
    assert sum(failure.times for failure in end.failures) == distinct[0][0] <= len(failed)
    assert {failure.reason for failure in end.failures} == {"too deep"}
    assert (end.done, end.drivers, end.rate, end.seconds_left) == (COUNT, 0, None, None)


@pytest.mark.parametrize(
    ("size", "took", "longest", "next_one"),
    [
        (1, 0.1, 0.01, 2), (256, 0.1, 0.01, 256), (8, 11.0, 0.01, 8), (8, 41.0, 0.01, 4),
        (8, 60.0, 2.0, 16), (8, 100.0, 2.0, 8), (1, 9999.0, 1.0, 1),
    ],
)  # fmt: skip
def test_a_driver_is_at_so_many_ranges_that_no_worker_waits_long(
    size: int, took: float, longest: float, next_one: int
) -> None:
    assert next_size(size, took, longest) == next_one


# Misuse


@pytest.mark.parametrize(
    ("change", "said_of_it"),
    [
        ({"draws": 3}, "sweep s: expected draws 2, as it was begun with, got 3; choose another"),
        ({"scores": ("naswot",)}, r"expected scores \['naswot', 'synflow'\], as it was begun"),
        ({"seed": 1}, "expected seed 0, as"),
        ({"architectures": "random:71"}, "expected architectures named random:70, count 70"),
        ({"score_settings": {"naswot": {"count": 8}}}, "expected score_settings none, as"),
        ({"size": 10}, "expected size None, as"),
        ({"space": "natsbench_size"}, "expected architectures named random:70"),
    ],
)
def test_it_is_not_continued_with_something_else(
    change: dict[str, Any], said_of_it: str, begun: Path, quick: list[ScoreTask]
) -> None:
    with pytest.raises(ValueError, match=said_of_it) as refused:
        sweep("s", config(begun, **FEW | change))
    assert "\n" not in str(refused.value)
    assert quick == []
    assert sweep_state(RunFolder(begun, "s")).manifest["draws"] == 2


def test_it_is_not_continued_with_an_edited_list_nor_with_edited_code(
    tmp_path: Path, quick: list[ScoreTask], monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "list.txt"
    texts = [*map(str, islice(SPACE.enumerate(), 3))]
    path.write_text("\n".join(texts))
    asked = config(tmp_path, architectures=str(path))
    sweep("s", asked)
    path.write_text("\n".join(texts[:2]))
    with pytest.raises(ValueError, match=r"expected architectures named list\.txt, count 3"):
        sweep("s", asked)
    path.write_text("\n".join(texts))
    monkeypatch.setattr(driver, "version_of", lambda *_, **__: "another")
    with pytest.raises(ValueError, match="expected the code that it was begun with"):
        sweep("s", asked)


def test_another_sweep_is_not_merged_into_it(
    begun: Path, tmp_path: Path, quick: list[ScoreTask]
) -> None:
    sweep("s", config(tmp_path, **FEW, seed=1))
    with pytest.raises(ValueError, match="expected one sweep s in both stores, got one in"):
        merge_sweeps(RunFolder(tmp_path, "s"), [str(begun / "store.db")])
    with pytest.raises(ValueError, match="no sweep 't' in "):
        merge_sweeps(RunFolder(tmp_path, "t"), [str(begun / "store.db")])


@pytest.mark.parametrize(
    ("name", "change", "said_of_it"),
    [
        ("a/b", {}, "expected a name for the sweep of letters"),
        ("", {}, "expected a name for the sweep of letters"),
        ("s", {"shard": "0/3"}, "shard: expected a part of a whole, such as 3/16, got '0/3'"),
        ("s", {"shard": "4/3"}, "shard: expected"),
        ("s", {"shard": "third"}, "shard: expected"),
        ("s", {"architectures": "random:0"}, "expected all, random:1000 or a file"),
        ("s", {"architectures": "nowhere.txt"}, "got 'nowhere.txt': No such file"),
        ("s", {"architectures": ""}, "expected"),
        ("s", {"architectures": "empty.txt"}, "empty.txt: expected a text form a line, got an"),
        ("s", {"architectures": "wrong.txt"}, "wrong.txt, line 2: "),
        ("s", {"architectures": "latin.txt"}, "got 'latin.txt': 'utf-8' codec can't decode"),
        ("s", {"space": "least_space:WIDTHS"}, "does not enumerate its architectures; try rand"),
        ("s", {"space": "darts"}, "expected at most 1,000 architectures"),
        ("s", {"scores": ()}, "scores: expected at least one"),
    ],
)  # fmt: skip
def test_wrong_use_is_told_in_a_line(
    name: str,
    change: dict[str, Any],
    said_of_it: str,
    tmp_path: Path,
    quick: list[ScoreTask],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("untrained.searchers.population.MOST", 1000)
    first = str(next(SPACE.enumerate()))
    Path("empty.txt").write_text("\n \n")
    Path("wrong.txt").write_text(f"{first}\nresnet\n")
    Path("latin.txt").write_bytes(b"caf\xe9\n")
    with pytest.raises(ValueError, match=said_of_it) as refused:
        sweep(name, config(tmp_path, **({"architectures": "all"} | change)))
    assert "\n" not in str(refused.value)
    assert not (tmp_path / "store.db").exists()


@pytest.mark.usefixtures("quick")
def test_the_command(command: Command, tmp_path: Path) -> None:
    asked = ("sweep", "c", "--architectures", "random:70", "--scores", "naswot", "--draws", "1")
    assert command("sweep", "status", "c")[0] == 2
    assert command(*asked, "--workers", "0", "--shard", "2/2")[0] == 0
    code, out, _ = command("sweep", "status", "c")
    assert (code, out.splitlines()[0]) == (0, "c: 6 of 70 architectures")
    assert "nobody; give the sweep's command again" in out
    code, out, _ = command("sweep", "c", "--config", "untrained-runs/c/sweep.toml", "--json")
    found = json.loads(out)
    assert (code, found["done"], found["total"]) == (0, 70, 70)
    assert found["manifest"]["architectures"]["named"] == "random:70"
    assert command("sweep", "export", "c", "c.csv")[0] == 0
    with (tmp_path / "c.csv").open() as file:
        rows = [*csv.DictReader(file)]
    assert [*rows[0]] == ["architecture", "draw", "naswot"]
    assert len(rows) == 70
    _, _, told = command("sweep", "export", "c", "c.csv")
    assert "expected a file that is not there, got c.csv" in told
    assert "expected one store or more to copy from" in command("sweep", "merge", "c")[2]
    assert "no store at nowhere.db" in command("sweep", "merge", "c", "nowhere.db")[2]
