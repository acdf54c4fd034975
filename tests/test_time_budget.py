"""Commands within a time budget, under a clock that tests set."""

import sqlite3
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from test_cli import Command, command

from untrained.images import load_images
from untrained.pages import report_run
from untrained.pages.budgeted import budgeted_in_words
from untrained.runs import RunConfig, budgeting, comparing, run
from untrained.runs.budget import Budget, Budgeted
from untrained.runs.budgeting import foreseen
from untrained.runs.driver import estimated, prepared
from untrained.runs.engines import Serial
from untrained.runs.presets import resolve
from untrained.runs.record import record_of
from untrained.storage import RunFolder
from untrained.storage.store import Store
from untrained.training import TrainingSpec, auto_recipe

__all__ = ["command"]  # a fixture

pytestmark = pytest.mark.usefixtures("without_graphs")
DEFAULT = TrainingSpec(recipe="default", epochs=9, images=60, batch=30)


def asked(out: Path, **changes: Any) -> RunConfig:
    """Up to 20 architectures, four at a time; with `train`, three trainings."""
    settings: dict[str, Any] = {
        "searcher": "random", "options": {"evaluations": 20}, "scores": ("macs", "parameters"),
        "draws": 1, "proposals": 4, "workers": 0, "scale": "thin", "compare": 2,
        "training": DEFAULT, "time_budget": "100s", "out": out, **changes,
    }  # fmt: skip
    return RunConfig(**settings)


def plan_of(folder: RunFolder) -> Budgeted:
    found = record_of(folder).budgeted
    assert found is not None
    return found


class Clock:
    """What is measured, as tests say it is."""

    batch = 0.0
    "Seconds of a batch of the search."
    epoch = 1.0
    "Seconds of an epoch of one training, when it is timed."
    pace = 0.0
    "Seconds of an epoch of all trainings, when they are trained; 0 is as timed."
    evaluation = 0.1


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """Seconds are those of the batches that the store has, and nothing else takes any."""
    clock, stores = Clock(), list[Store]()
    find = Store.found

    def found(self: Store, search: str, what: str) -> Any:
        stores[:] = [self]
        return find(self, search, what)

    def spent(_: Budget) -> float:
        with stores[0].engine.connect() as connection:
            count = connection.exec_driver_sql(
                "select count(distinct batch) from trials join runs on runs.id = trials.run"
                " where budgeted is not null"
            ).scalar()
        return clock.batch * (count or 0)

    monkeypatch.setattr(Store, "found", found)
    monkeypatch.setattr(Budget, "spent", spent)
    monkeypatch.setattr(budgeting, "seconds_of_evaluation", lambda *_: clock.evaluation)
    monkeypatch.setattr(budgeting, "slowest_epoch", lambda *_: clock.epoch)
    monkeypatch.setattr(budgeting, "epoch_of", lambda *_: clock.epoch)
    train_each = comparing.train_each

    def second_epoch(session: Any, keys: Any) -> float:
        train_each(session, keys, until=2)
        return clock.pace

    monkeypatch.setattr(comparing, "second_epoch", second_epoch)
    return clock


def test_a_search_stops_when_its_share_is_spent_and_always_there(
    tmp_path: Path, clock: Clock
) -> None:
    """Of 100 s, 90 may be spent, in which there is room for three batches of 30 s."""
    clock.batch = 30.5
    folder = run(asked(tmp_path))
    found = record_of(folder)
    whole = record_of(run(asked(tmp_path, time_budget=None)))
    assert len(whole.trials) == 20
    assert found.trials == whole.trials[:12]
    assert found.selected is not None
    plan = plan_of(folder)
    assert (plan.evaluations, plan.stopped) == (12, True)
    assert "The search ended after 12 architectures, as its share was spent." in (
        budgeted_in_words(plan, found.wall_seconds)
    )
    clock.batch = 0.0  # a faster machine decides nothing anew
    assert run(asked(tmp_path)) == folder
    assert record_of(folder).trials == found.trials
    assert plan_of(folder) == plan


def test_a_search_that_is_over_in_time_is_whole(tmp_path: Path, clock: Clock) -> None:
    folder = run(asked(tmp_path))
    assert plan_of(folder).evaluations == 20
    assert not plan_of(folder).stopped
    clock.batch = 1e6
    run(asked(tmp_path))
    assert plan_of(folder).evaluations == len(record_of(folder).trials) == 20


def test_stopped_and_given_again_it_has_what_is_left_of_its_time(
    tmp_path: Path, clock: Clock
) -> None:
    clock.batch = 30.5

    def watch(progress: Any) -> None:
        if "batch 3" in progress.phase:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(asked(tmp_path), watch)
    assert len(record_of(run(asked(tmp_path))).trials) == 12


def test_networks_are_trained_for_as_many_epochs_as_fit(tmp_path: Path, clock: Clock) -> None:
    """Of 100 s: 10 are kept back and 10 for the export, and 3 networks take 3.75 s an epoch. The
    search may take 30 s, and stops after the second batch of 20 s: 40 s leave 10 epochs, of which
    9 were asked for."""
    clock.batch = 20.0
    folder = run(asked(tmp_path, train=True))
    found, plan = record_of(folder), plan_of(folder)
    assert plan.search_until == pytest.approx(30)
    assert plan.evaluations == 8
    assert [len(training.epochs) for training in found.trainings] == [9, 9, 9]
    assert "3 networks were trained for 9 epochs, all of them." in (
        budgeted_in_words(plan, found.wall_seconds)
    )
    clock.epoch = 2.0  # 7.5 s an epoch of all
    folder = run(asked(tmp_path, train=True, time_budget="101s"))
    found = record_of(folder)
    assert [len(training.epochs) for training in found.trainings] == [5, 5, 5]
    assert found.config["training"] == {**vars(resolve(asked(tmp_path)).training), "epochs": 5}
    assert (folder.network / "network.py").exists()
    clock.epoch = clock.batch = 0.001
    assert run(asked(tmp_path, train=True, time_budget="101s")) == folder
    assert record_of(folder).trainings == found.trainings
    said = budgeted_in_words(plan_of(folder), found.wall_seconds, found.trainings)
    assert "3 networks were trained for 5 epochs of at most 9, as many as fitted." in said
    assert "of the latter for comparison" in said


def test_slow_first_epochs_shorten_the_trainings(tmp_path: Path, clock: Clock) -> None:
    """They are those of a training that was asked for so many epochs."""
    clock.batch, clock.pace = 20.0, 10.0
    folder = run(asked(tmp_path, train=True))
    found = record_of(folder)
    assert [len(training.epochs) for training in found.trainings] == [4, 4, 4]
    assert plan_of(folder).paced
    spec = replace(DEFAULT, epochs=4)
    plain = record_of(
        run(asked(tmp_path, train=True, training=spec, time_budget=None,
                  options={"evaluations": 8}))
    )  # fmt: skip
    assert found.trainings == plain.trainings
    with sqlite3.connect(folder.store) as store:
        [(kept,)] = store.execute("select count(*) from trained where run like '%'")
    assert kept == 6  # of the epochs that were too many, none is noted


def test_where_no_epoch_is_left_one_is_trained_and_told(
    tmp_path: Path, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    clock.batch = 1000.0
    folder = run(asked(tmp_path, train=True))
    assert [len(training.epochs) for training in record_of(folder).trainings] == [1, 1, 1]
    assert len(record_of(folder).trials) == 4
    assert (
        "the time budget will be exceeded: an epoch of 3 trainings takes about 5s" in caplog.text
    )


def test_auto_is_the_recipe_for_the_epochs_that_fit(tmp_path: Path, clock: Clock) -> None:
    """It is another one for 50 epochs."""
    clock.batch = 20.0
    training = TrainingSpec(images=60, learning_rate=0.01)
    folder = run(asked(tmp_path, train=True, training=training, compare=0))
    found = record_of(folder)
    images = load_images("digits")
    shown = images.training_on(60, torch.Generator().manual_seed(0))
    expected = vars(auto_recipe(shown, epochs=32)) | {"learning_rate": 0.01}
    assert plan_of(folder).most_epochs == 50
    assert vars(auto_recipe(shown, epochs=50))["ema"] != expected["ema"]
    told = found.config["training"]
    assert isinstance(told, dict)
    assert {name: told[name] for name in expected} == expected
    kept = (folder.path / "config.toml").read_text("utf-8")
    assert 'time_budget = "100s"' in kept
    assert "ema" not in kept


def test_a_calibration_has_a_share(tmp_path: Path, clock: Clock) -> None:
    """A fifth of the budget: 20 s, in which 5 networks with 6.25 s an epoch have three."""
    changes = {"calibrate": 5, "calibration": replace(DEFAULT, recipe=None, epochs=4)}
    folder = run(asked(tmp_path, **changes))
    found = record_of(folder).calibrated
    assert found is not None
    assert found.epochs == 3
    clock.epoch = 0.5
    assert run(asked(tmp_path, **changes)) == folder
    assert plan_of(folder).calibration is not None
    longer = record_of(run(asked(tmp_path, **changes, time_budget="1h"))).calibrated
    assert longer is not None
    assert longer.epochs == 4


@pytest.mark.parametrize("workers", [0, 2])
def test_the_smallest_budget_is_told_and_enough(
    tmp_path: Path, clock: Clock, workers: int
) -> None:
    """A batch of 4 and an epoch of 3 networks, with a quarter more for each epoch."""
    clock.evaluation, clock.epoch = 5.0, 8.0
    small = asked(tmp_path, train=True, time_budget="30s", workers=workers)
    lanes = max(1, workers)
    needed = 5 * -(-4 // lanes) + 1.25 * 8 * -(-3 // lanes)
    least = -(-(needed + 10) / 0.9 // 5) * 5
    with pytest.raises(
        ValueError, match=f"time_budget: expected {least:g}s or more here, got 30s"
    ):
        estimated(small)
    plan = estimated(replace(small, time_budget=f"{least:g}s"))
    assert plan is not None
    assert plan.least_epochs == 1
    with pytest.raises(ValueError, match="an epoch of 3 trainings"):
        run(small)


def test_a_plan_is_for_as_many_networks_at_a_time_as_the_engine_does(
    tmp_path: Path, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As on a cluster, whatever `workers` says; and nodes may join before the trainings.

    Of 100 s, 80 are for the search and 3 trainings, of which an epoch of all takes 5 s.
    """
    config = asked(tmp_path, train=True, training=replace(DEFAULT, epochs=50))
    monkeypatch.setattr(Serial, "lanes", 2)
    clock.epoch = 2.0
    found = estimated(config)
    assert found is not None
    assert (found.lanes, found.least_epochs) == (2, 10)

    def joins(progress: Any) -> None:
        if "batch" in progress.phase:
            monkeypatch.setattr(Serial, "lanes", 3)

    plan = plan_of(run(config, joins))
    assert plan.lanes == 2
    assert plan.epochs == 32  # in 80 s, of 2.5


def test_an_estimate_is_measured_and_leaves_nothing(tmp_path: Path) -> None:
    config = asked(tmp_path / "out", train=True, scores=("naswot",), time_budget="1h")
    made = prepared(config)
    state = torch.random.get_rng_state()
    plan = foreseen(made.config, made.space, made.searcher, made.setups, made.images, lanes=1)
    assert 0 < plan.evaluation < 60
    assert 0 < plan.epoch < 60
    assert (plan.networks, plan.lanes, plan.most_epochs) == (3, 1, 9)
    assert torch.equal(torch.random.get_rng_state(), state)
    assert not (tmp_path / "out").exists()
    assert estimated(replace(config, time_budget=None)) is None


def test_it_is_shown(tmp_path: Path, clock: Clock, command: Command) -> None:
    clock.batch = 30.5
    folder = run(asked(tmp_path))
    assert "Time budget 100 s: " in report_run(folder).read_text("utf-8")
    words = (
        "search", "--searcher", "random", "--options.evaluations", "20", "--scores", "macs",
        "parameters", "--draws", "1", "--proposals", "4", "--workers", "0", "--scale", "thin",
        "--training.recipe", "default", "--training.epochs", "9", "--training.images", "60",
        "--training.batch", "30", "--compare", "2", "--time-budget", "100s",
    )  # fmt: skip
    code, out, _ = command(*words, "--out", str(tmp_path))
    assert code == 0
    assert "The search ended after 12 architectures, as its share was spent." in out
    code, out, _ = command(*words, "--dry-run", "--out", str(tmp_path / "none"))
    assert (
        "# Time budget 100s: search until 90s (about 0.1 s an architecture, so that some 900"
        in out
    )
    assert 'time_budget = "100s"' in out
    assert not (tmp_path / "none").exists()


def test_the_default_searcher_may_be_stopped_at_any_time() -> None:
    assert resolve(RunConfig()).searcher == "pruning"
    assert resolve(RunConfig(time_budget="15m")).searcher == "surrogate"


def test_a_search_without_it_is_named_as_ever() -> None:
    plain, within = resolve(RunConfig(searcher="random")), resolve(
        RunConfig(searcher="random", time_budget="15m")
    )  # fmt: skip
    assert "time_budget" in plain.plain()
    assert plain.identity("f", "code") != within.identity("f", "code")
    assert plain.identity("f", "code") == replace(within, time_budget=None).identity("f", "code")


# Wrong use


@pytest.mark.parametrize(
    ("change", "said"),
    [
        *(
            (
                {"time_budget": text},
                f"time_budget: expected a duration such as 90s, .* got {text!r}",
            )
            for text in ("banana", "90", "0m", "-5m", "1d", "", "1e3s", "99999h")
        ),
        ({"searcher": "pruning", "options": {}}, "time_budget: expected a searcher that may be"),
        ({"preset": "paper", "searcher": None, "options": {}}, "got pruning, which selects only"),
    ],
)
def test_what_makes_no_sense_is_told_in_a_line_before_anything_is_loaded(
    tmp_path: Path, change: dict[str, Any], said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("untrained.runs.driver.load_images", None)
    with pytest.raises(ValueError, match=said) as raised:
        run(asked(tmp_path, **change))
    assert "\n" not in str(raised.value)
