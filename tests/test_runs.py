"""Runs: resume, cache, engines, store."""

import json
import os
import random
import runpy
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import redirect_stdout
from dataclasses import replace
from functools import partial
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
import torch
from measured import readings
from spared import spare_graphs

from untrained.cli import main
from untrained.images import Images, load_images
from untrained.locations import Location
from untrained.runs import Progress, RunConfig, RunRecord, load_record, run
from untrained.runs.engines import start_engine
from untrained.runs.measuring import SEEDS_APART
from untrained.runs.presets import resolve
from untrained.runs.readings import Measurement
from untrained.runs.setup import make_setup
from untrained.runs.tasks import Outcome, ScoreTask, measure
from untrained.spaces import get_space, prunable
from untrained.storage import RunFolder
from untrained.storage.schema import SCHEMA
from untrained.storage.store import Store
from untrained.training import TrainingSpec, evaluate

pytestmark = pytest.mark.usefixtures("without_graphs")  # commands in other processes have them

QUICK: dict[str, dict[str, float | bool | str]] = {
    "condition_number": {"count": 8, "channels": 2},
    "linear_regions": {"count": 100},
}
CELL = "|nor_conv_3x3~0|+|none~0|none~1|+|skip_connect~0|nor_conv_1x1~1|none~2|"
FLAGS = [
    "--score-settings.condition_number.count=8", "--score-settings.condition_number.channels=2",
    "--score-settings.linear_regions.count=100", "--draws=2", "--train", "--compare=1",
    "--scale=small", "--training.epochs=4", "--training.images=300", "--searcher=evolution",
    "--options.evaluations=12", "--options.population=4", "--proposals=4",
]  # fmt: skip


SHORT = TrainingSpec(epochs=2, images=200)
SIZES: dict[str, Any] = {"scores": ("parameters", "macs"), "score_settings": {}}
"What takes no time to score."


def quick(out: Location, **changes: Any) -> RunConfig:
    """A few architectures in this process, where type checks make everything slow."""
    settings: dict[str, Any] = {
        "searcher": "random", "options": {"evaluations": 3}, "score_settings": QUICK, "draws": 2,
        "compare": 1, "scale": "small", "workers": 0, "training": SHORT,
        "out": out,
        **changes,
    }  # fmt: skip
    return RunConfig(**settings)


def facts(folder: RunFolder) -> dict[str, Any]:
    """All that must come out equal: everything but seconds."""
    record = load_record(folder.store, folder.name)
    return {
        "selected": record.selected,
        "trials": record.trials,
        "trained": [
            (
                t.architecture, t.role, t.parameters, t.macs, t.best_epoch, t.test_accuracy,
                t.confusion, t.reason,
                [(e.number, e.train_loss, e.validation_accuracy) for e in t.epochs],
            )
            for t in record.trainings
        ],
    }  # fmt: skip


def rows(store: Path, query: str) -> list[tuple[Any, ...]]:
    if not store.exists():
        return []
    connection = sqlite3.connect(store, timeout=10)
    try:
        return connection.execute(query).fetchall()
    except sqlite3.OperationalError:  # the tables are being made
        return []
    finally:
        connection.close()


@pytest.fixture(scope="module")
def unbroken(tmp_path_factory: pytest.TempPathFactory) -> RunFolder:
    """A search and a training that nothing interrupted."""
    return carried_out(tmp_path_factory.mktemp("unbroken"), 0)


@pytest.fixture(scope="module")
def expected(unbroken: RunFolder) -> dict[str, Any]:
    return facts(unbroken)


def words(out: Path, workers: int) -> list[str]:
    """The command, without its name."""
    return ["search", *FLAGS, f"--workers={workers}", f"--out={out}", "--json"]


def carried_out(out: Path, workers: int) -> RunFolder:
    """What the command makes in this process."""
    printed = StringIO()
    with pytest.MonkeyPatch.context() as patch, redirect_stdout(printed):
        patch.setattr("sys.argv", ["untrained", *words(out, workers)])
        spare_graphs(patch)
        with pytest.raises(SystemExit) as ended:
            main()
    assert not ended.value.code
    return RunFolder(out, json.loads(printed.getvalue())["run"])


def start(out: Path, workers: int) -> subprocess.Popen[bytes]:
    """The command in a process of its own."""
    command = [sys.executable, "-m", "untrained", *words(out, workers)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE)


def wait_for(process: subprocess.Popen[bytes], happened: Callable[[], bool]) -> None:
    """Until it happened; a process that ended by itself fails the test."""
    deadline = time.monotonic() + 120
    while not happened():
        assert process.poll() is None, process.stderr and process.stderr.read().decode()
        assert time.monotonic() < deadline
        time.sleep(0.005)


@pytest.mark.cluster  # for its time: the stress suite has many more
def test_killed_in_each_phase_it_ends_as_unbroken(
    tmp_path: Path, unbroken: RunFolder, expected: dict[str, Any]
) -> None:
    """kill -9 at a random moment of the search, then of the training; nothing computed twice.

    Each time another number of workers resumes it, and those of the killed driver end too. The
    stress suite kills more often.
    """
    rng = random.Random(0)
    store = tmp_path / "store.db"
    queries = ("select count(*) from measurements", "select count(*) from epochs")
    for workers, query in enumerate(queries, 1):
        [(total,)] = rows(unbroken.store, query)
        process = start(tmp_path, workers)
        wait_for(process, partial(came, process, store, query, rng.randrange(1, total - 1)))
        time.sleep(rng.uniform(0, 0.05))
        taken_along = children(process.pid)
        process.send_signal(signal.SIGKILL)
        process.communicate()
        assert_all_end(taken_along)
    process = start(tmp_path, 2)
    output, errors = process.communicate()
    assert process.returncode == 0, errors.decode()
    folder = RunFolder(tmp_path, json.loads(output)["run"])
    assert facts(folder) == expected
    assert [rows(store, q) for q in queries] == [rows(unbroken.store, q) for q in queries]
    assert rows(store, "select max(times) from measurements") == [(1,)]
    assert_no_epoch_was_trained_twice(folder)


def came(process: subprocess.Popen[bytes], store: Path, query: str, at: int) -> bool:
    """Whether the store has so many rows, and a worker is there that could outlive its driver."""
    [(count,)] = rows(store, query) or [(0,)]
    return bool(count >= at and children(process.pid))


def assert_no_epoch_was_trained_twice(folder: RunFolder) -> None:
    """The store took each epoch's seconds once; the checkpoint would have others if retrained."""
    for key, number, seconds in rows(folder.store, "select training, number, seconds from epochs"):
        checkpoint = torch.load(folder.checkpoint(key), weights_only=True)
        kept = {e["number"]: e["seconds"] for e in checkpoint["epochs"]}
        assert kept[number] == seconds


def assert_all_end(workers: list[int]) -> None:
    """The workers of a killed driver, before long."""
    deadline = time.monotonic() + 20
    while any(map(alive, workers)) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not any(map(alive, workers))


def children(pid: int) -> list[int]:
    try:
        text = Path(f"/proc/{pid}/task/{pid}/children").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return []
    return [int(child) for child in text.split()]


def alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return Path(f"/proc/{pid}/stat").read_text().split()[2] != "Z"


def test_workers_give_the_same_as_none(tmp_path: Path, expected: dict[str, Any]) -> None:
    """Two of them, undisturbed; the killed drivers above have one and two in turn."""
    assert facts(carried_out(tmp_path, 2)) == expected


def test_the_same_question_is_never_computed_twice_in_whatever_run(tmp_path: Path) -> None:
    """A second run over the same architectures finds them measured; its ledger is empty."""
    run(quick(tmp_path, options={"evaluations": 4}))
    before = rows(tmp_path / "store.db", "select key, seconds from measurements order by key")
    second = run(quick(tmp_path))
    after = rows(tmp_path / "store.db", "select key, seconds from measurements order by key")
    assert before == after
    assert rows(tmp_path / "store.db", "select max(times) from measurements") == [(1,)]
    record = load_record(second.store, second.name)
    assert len(record.trials) == 3
    assert not {cost.step for cost in record.costs} & set(QUICK)


def test_a_search_with_train_goes_on_with_the_same_search(tmp_path: Path) -> None:
    searched = run(quick(tmp_path))
    before = load_record(searched.store, searched.name)
    assert before.trainings == ()
    trained = run(quick(tmp_path, train=True, training=replace(SHORT, epochs=1)))
    record = load_record(trained.store, trained.name)
    assert [t.role for t in record.trainings] == ["selected", "random"]
    assert (trained.network / "network.py").exists()
    assert record.trials == before.trials
    assert record.beside == (searched.name,)
    assert rows(trained.store, "select count(*) from trials") == [(3,)]
    measured = {cost.step: cost.count for cost in record.costs}
    assert measured["condition_number"] == 2 * len(record.trials)  # the search's cost is there
    assert load_record(searched.store, searched.name).trainings == ()


OTHERWISE: dict[str, dict[str, Any]] = {
    "fewer epochs": {"training": replace(SHORT, epochs=1)},
    "another rate": {"training": replace(SHORT, learning_rate=0.05)},
    "fewer images": {"training": replace(SHORT, images=100)},
    "no random ones": {"compare": 0},
    "more channels": {"channels": 6},
    "another scale": {"scale": "thin"},
    "another seed": {"seed": 1},
}


def test_a_quick_retry_keeps_what_was_trained_before(tmp_path: Path) -> None:
    """Each way of training has a folder, a network and a record; the search is done once."""
    few = {**SIZES, "train": True}
    first = run(quick(tmp_path, **few))
    kept = {path: path.read_bytes() for path in Path(first.network).iterdir()}
    expected = facts(first)
    others = {name: run(quick(tmp_path, **few, **change)) for name, change in OTHERWISE.items()}
    assert all((other.network / "weights.safetensors").exists() for other in others.values())
    assert len({first, *others.values()}) == 1 + len(OTHERWISE)
    assert {path: path.read_bytes() for path in Path(first.network).iterdir()} == kept
    assert facts(first) == expected
    of_another_search = others.pop("another seed")
    beside = load_record(first.store, first.name).beside
    assert set(beside) == {other.name for other in others.values()}
    assert of_another_search.name not in beside
    assert run(quick(tmp_path, **few)) == first


def test_an_export_has_the_accuracy_that_is_stored(tmp_path: Path, digits: Images) -> None:
    folder = run(quick(tmp_path, train=True))
    [selected, _] = load_record(folder.store, folder.name).trainings
    loaded = runpy.run_path(str(folder.network / "network.py"))["load"]()
    found = evaluate(loaded, digits.test, digits)
    assert (found.accuracy, found.confusion) == (selected.test_accuracy, selected.confusion)


def test_weights_that_were_not_trained_are_not_exported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever loses the trained weights between training and export."""
    from untrained.runs import comparing

    monkeypatch.setattr(comparing, "train", lambda network, *_, **__: None)
    with pytest.raises(ValueError, match=r"nothing is exported; the training is kept"):
        run(quick(tmp_path, train=True, training=replace(SHORT, epochs=8)))
    assert not list(tmp_path.glob("*/network"))
    assert not list(tmp_path.glob("*/.network*"))


def test_other_seeds_and_settings_are_other_runs(tmp_path: Path) -> None:
    config = quick(tmp_path)
    changes: tuple[dict[str, Any], ...] = (
        *({}, {"seed": 1}, {"draws": 3}, {"score_settings": {}}, {"space": "darts"}),
    )
    names = {resolve(quick(tmp_path, **change)).identity("f", "code") for change in changes}
    assert len(names) == 5
    same = {
        resolve(quick(tmp_path, workers=w, train=t)).identity("f", "code")
        for w in (0, 2)
        for t in (True, False)
    }
    assert same == {resolve(config).identity("f", "code")}
    assert resolve(config).identity("f", "other code") not in same


def test_isomorphic_architectures_are_measured_once(tmp_path: Path) -> None:
    space = prunable(get_space("nasbench201"))
    other = next(a for a in space.enumerate() if space.canonical(a) != a)
    texts = f"{other} {space.canonical(other)}"
    folder = run(quick(tmp_path, searcher="given", options={"architectures": texts}))
    record = load_record(folder.store, folder.name)
    assert len(record.trials) == 2
    assert record.trials[0].readings == record.trials[1].readings
    assert rows(folder.store, "select count(*) from measurements") == [(4,)]


def test_draws_are_common_to_architectures_and_differ_from_each_other(digits: Images) -> None:
    space = prunable(get_space("nasbench201"))
    parent = space.supernet()
    setup = make_setup("condition_number", space, {"count": 8})
    tasks = [ScoreTask("nasbench201", str(parent), (setup,), d, "cpu") for d in ((0, 1), (1,))]
    (zero, one), (again,) = (measure(task, digits) for task in tasks)
    assert readings(one) == readings(again)
    assert readings(zero) != readings(one)


def test_progress_is_told(tmp_path: Path) -> None:
    seen: list[Progress] = []
    run(quick(tmp_path, train=True, training=replace(SHORT, epochs=1)), seen.append)
    phases = list(dict.fromkeys(p.phase for p in seen))
    assert phases[0] == "search, batch 1 of 1: 3 architectures"
    assert phases[-2:] == ["training 2 networks", "exporting the network"]
    for phase in phases:
        last = [p for p in seen if p.phase == phase][-1]
        assert last.done == last.total


def test_the_ledger_adds_up(unbroken: RunFolder) -> None:
    record: RunRecord = load_record(unbroken.store, unbroken.name)
    counts = {cost.step: cost.count for cost in record.costs}
    space = prunable(get_space("nasbench201"))
    different = {space.canonical(space.parse(trial.architecture)) for trial in record.trials}
    assert counts["condition_number"] == counts["linear_regions"] == 2 * len(different)
    assert counts["export"] == counts["load images"] == 1
    assert set(record.wall_seconds) == {"search", "training"}


def test_a_diverging_training_is_a_failure_with_its_reason(tmp_path: Path) -> None:
    folder = run(
        quick(tmp_path, train=True, training=replace(SHORT, recipe="default", learning_rate=1e9))
    )
    record = load_record(folder.store, folder.name)
    assert all(t.reason and t.test_accuracy is None for t in record.trainings)
    assert not folder.network.exists()


def test_a_score_that_raises_is_a_reason_and_the_search_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    module = tmp_path / "own_scores.py"
    module.write_text(
        "from dataclasses import dataclass\n"
        "from untrained.scores import Reading, Score\n"
        "@dataclass(frozen=True)\n"
        "class Picky(Score):\n"
        "    higher_is_better = True\n"
        "    def __call__(self, network, probe, generator):\n"
        "        if sum(p.numel() for p in network.parameters()) > 300_000:\n"
        "            raise RuntimeError('too large')\n"
        "        return Reading(1.0)\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    name = "own_scores:Picky"
    folder = run(
        quick(tmp_path / "out", options={"evaluations": 6}, scores=(name,),
              score_settings={})
    )  # fmt: skip
    readings = [r for t in load_record(folder.store, folder.name).trials for r in t.readings[name]]
    assert {r.reason for r in readings} == {"", "RuntimeError: too large (own_scores.py:8)"}
    assert {r.value for r in readings} == {1.0, None}


# The store


def test_a_second_driver_of_the_same_run_is_refused(tmp_path: Path, digits: Images) -> None:
    folder = run(quick(tmp_path))
    with folder.held(), pytest.raises(OSError, match="in use by another process"):
        run(quick(tmp_path))


def test_a_store_of_a_newer_schema_is_refused(tmp_path: Path) -> None:
    Store.open(tmp_path / "store.db").close()
    with sqlite3.connect(tmp_path / "store.db") as connection:
        connection.execute("update schema set version = ?", (SCHEMA + 1,))
    connection.close()
    with pytest.raises(ValueError, match="newer untrained"):
        run(quick(tmp_path))


def test_a_full_disk_loses_nothing_and_the_run_resumes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """SQLite's own page limit makes the store run full in the middle of the search."""
    from untrained.storage import opening as module

    asked = quick(tmp_path / "full", options={"evaluations": 24}, train=True, **SIZES)
    whole = run(replace(asked, out=tmp_path / "unbroken"))
    expected = facts(whole)
    Store.open(tmp_path / "empty.db").close()
    empty, full = (
        rows(store, "PRAGMA page_count")[0][0] for store in (tmp_path / "empty.db", whole.store)
    )

    prepare = module._prepare_sqlite
    with monkeypatch.context() as limited:

        def small(journal: str, connection: Any, record: Any) -> None:
            prepare(journal, connection, record)
            connection.execute(f"PRAGMA max_page_count = {(empty + full) // 2}")

        limited.setattr(module, "_prepare_sqlite", small)
        with pytest.raises(OSError, match=r"full.*resumes"):
            run(asked)
    kept = rows(tmp_path / "full/store.db", "select count(*) from measurements")[0][0]
    assert 0 < kept < sum(len(c) for t in expected["trials"] for c in t.readings.values())
    resumed = run(asked)
    assert facts(resumed) == expected
    assert rows(tmp_path / "full/store.db", "select max(times) from measurements") == [(1,)]


def of_one(outcome: Outcome) -> list[Measurement]:
    assert isinstance(outcome, list)
    [measured] = outcome
    return measured


def test_engines_hand_out_every_outcome(digits: Images) -> None:
    space = prunable(get_space("nasbench201"))
    setup = make_setup("parameters", space, {})
    rng = random.Random(0)
    texts = [str(space.sample(rng)) for _ in range(5)]
    tasks = [ScoreTask("nasbench201", text, (setup,), (0,), "cpu") for text in texts]
    found = []
    for workers in (0, 2):
        with start_engine(workers, digits) as engine:
            outcomes = sorted(engine(tasks), key=lambda pair: pair[0])
            found.append([readings(of_one(outcome)) for _, outcome in outcomes])
    assert found[0] == found[1]


def test_images_split_by_the_seed_of_the_run() -> None:
    assert load_images("digits", seed=0).fingerprint != load_images("digits", seed=1).fingerprint


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"cout": 8.0}, "unknown setting 'cout'.*count"),
        ({"count": "many"}, "expected a whole number"),
        ({"count": 2.5}, "expected a whole number"),
        ({"scale": "huge"}, "full or narrow or small or thin"),
        ({"batchnorm": "eval"}, "expected 'batch' or 'frozen' or 'running'"),
    ],
)
def test_wrong_score_settings(settings: dict[str, float | bool | str], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make_setup("condition_number", get_space("nasbench201"), settings)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"draws": 0}, "draws: expected a number of at least 1"),
        ({"scores": ()}, "scores: expected at least one"),
        ({"workers": -1}, "workers"),
        ({"score_settings": {"linear_regons": {}}}, "linear_regons"),
        ({"scale": "big"}, "unknown scale"),
    ],
)
def test_wrong_configurations(changes: dict[str, Any], message: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=message):
        run(quick(tmp_path, **changes))


# Draws that share their weights


def sums(score: str, redraw: int, draws: tuple[int, ...], images: Images) -> list[float]:
    """What the score reads of one architecture on these draws, all measured in one task."""
    space = prunable(get_space("nasbench201"))
    setup = make_setup(f"of_draws:{score}", space, {"redraw": redraw})
    found = measure(ScoreTask(space.name, CELL, (setup,), draws, "cpu"), images)
    assert [measured[0].reading.reason for measured in found] == [""] * len(draws)
    return [m[0].reading.value for m in found if m[0].reading.value is not None]


def classes(values: Sequence[object]) -> list[int]:
    """For each value, the first place where it stands."""
    return [values.index(value) for value in values]


@pytest.mark.parametrize("seed", [0, 1, 41])
@pytest.mark.parametrize(
    ("redraw", "draws", "shared"),
    [
        (1, (0, 1, 2, 3), [0, 1, 2, 3]),
        (3, (0, 1, 2, 3, 5, 6), [0, 0, 0, 3, 3, 5]),
        (3, (2, 4, 1), [0, 1, 0]),
        (3000, (0, 17, 2999, 3000, 5999, 6000), [0, 0, 0, 3, 3, 5]),
    ],
)
def test_consecutive_draws_share_weights_and_differ_in_the_probe(
    seed: int, redraw: int, draws: tuple[int, ...], shared: list[int], digits: Images
) -> None:
    seeded = tuple(seed * SEEDS_APART + draw for draw in draws)
    assert classes(sums("OfWeights", redraw, seeded, digits)) == shared
    inputs = sums("OfInputs", redraw, seeded, digits)
    assert classes(inputs) == list(range(len(draws)))
    assert inputs == sums("OfInputs", 1, seeded, digits)


def test_weights_are_shared_whichever_draws_are_measured_together(digits: Images) -> None:
    """The third of three draws, measured alone after a resume, has the weights of the first."""
    together = sums("OfWeights", 3, (0, 1, 2), digits)
    assert together == [sums("OfWeights", 3, (draw,), digits)[0] for draw in (0, 1, 2)]
    assert together[0] == sums("OfWeights", 1, (0,), digits)[0]


def test_seeds_never_share_weights() -> None:
    """Whatever number up to 16, or 3000 as in the published code, of draws share them."""
    for redraw in (*range(1, 17), 3000):
        assert SEEDS_APART % redraw == 0


def test_a_run_redraws_as_its_score_settings_say(tmp_path: Path) -> None:
    of_weights, of_inputs = "of_draws:OfWeights", "of_draws:OfInputs"
    settings = {name: {"redraw": 2} for name in (of_weights, of_inputs)}
    asked = quick(tmp_path, scores=tuple(settings), score_settings=settings, draws=4, seed=3)
    folder = run(replace(asked, options={"evaluations": 1}))
    [trial] = load_record(folder.store, folder.name).trials
    found = {name: classes([r.value for r in column]) for name, column in trial.readings.items()}
    assert found == {of_weights: [0, 0, 2, 2], of_inputs: [0, 1, 2, 3]}


@pytest.mark.parametrize("redraw", [0, -3, 1.5, "often"])
def test_wrong_numbers_of_draws_that_share_weights(redraw: float | str) -> None:
    with pytest.raises(ValueError, match=r"linear_regions\.redraw: expected"):
        make_setup("linear_regions", get_space("nasbench201"), {"redraw": redraw})
