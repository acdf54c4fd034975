"""Searches within what a cheap score keeps of a space."""

import sqlite3
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from stopped import stopped_at
from test_cli import Command, command

from untrained.locations import Location
from untrained.pages import report_run
from untrained.runs import RunConfig, load_record, run, shrinking
from untrained.runs.config import Shrink
from untrained.runs.presets import resolve
from untrained.runs.record import RunRecord, Shrunk
from untrained.spaces import get_space
from untrained.storage import RunFolder

__all__ = ["command"]  # a fixture

SPACE = get_space("nasbench201")
POOL = 40


def asked(out: Location, **changes: Any) -> RunConfig:
    """Few-parameter architectures are discarded; then another number of sizes is searched for."""
    settings: dict[str, Any] = {
        "searcher": "random", "options": {"evaluations": 12}, "scores": ("trainable_layers",),
        "shrink": "parameters=.25", "draws": 1, "workers": 0, "out": out,
        **changes,
    }  # fmt: skip
    return RunConfig(**settings)


def record_of(folder: RunFolder) -> RunRecord:
    return load_record(folder.store, folder.name)


def sizes(folder: RunFolder, texts: Sequence[str]) -> list[float | None]:
    """Parameters of architectures, from a run of their own."""
    beside = RunConfig(
        searcher="given", options={"architectures": " ".join(texts)}, scores=("parameters",),
        draws=1, workers=0, out=folder.out / "beside",
    )  # fmt: skip
    trials = record_of(run(beside)).trials
    known = {trial.architecture: trial.readings["parameters"][0].value for trial in trials}
    return [known[text] for text in texts]


@pytest.fixture(scope="module", autouse=True)
def fewer() -> Iterator[None]:
    """Fewer random architectures than usual."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(shrinking, "POOL", POOL)
        yield


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> RunFolder:
    return run(asked(tmp_path_factory.mktemp("out")))


@pytest.mark.parametrize("searcher", ["random", "evolution", "local"])
def test_all_that_is_tried_reaches_the_threshold(folder: RunFolder, searcher: str) -> None:
    options: dict[str, Any] = {"evaluations": 12}
    if searcher == "evolution":
        options |= {"population": 4, "sample": 2}
    found = run(asked(folder.out, searcher=searcher, options=options))
    record = record_of(found)
    assert record.shrunk is not None
    drawn = [*record.shrunk.values]
    assert len({SPACE.canonical(SPACE.parse(text)) for text in drawn}) == POOL
    values = sizes(found, drawn)
    assert [*record.shrunk.values.values()] == values
    threshold = sorted(values, key=lambda v: -(v or 0))[POOL // 4 - 1]
    assert record.shrunk.threshold == threshold
    tried = [trial.architecture for trial in record.trials]
    assert len(tried) == 12
    assert all((size or 0) >= (threshold or 0) for size in sizes(found, tried))


def test_stopped_and_given_again_it_ends_with_the_same_and_nothing_is_measured_twice(
    folder: RunFolder,
) -> None:
    """Stopped while the random architectures are measured, and again in the search."""

    stopped = asked(folder.out / "stopped")
    for at, done in (("of 40 random", 20), ("batch 2", 1)):
        with pytest.raises(KeyboardInterrupt):
            run(stopped, stopped_at(at, done))
    again = run(stopped)
    found, expected = record_of(again), record_of(folder)
    assert (found.trials, found.selected) == (expected.trials, expected.selected)
    assert found.shrunk == expected.shrunk
    query = "select sum(times), count(*) from measurements where run like ?"
    with sqlite3.connect(again.store) as store:
        [(times, count)] = store.execute(query, ("%",))
    assert times == count
    assert any(cost.step == "parameters" for cost in found.costs)


def test_failures_are_discarded_and_lower_may_be_better(folder: RunFolder) -> None:
    found = record_of(
        run(asked(folder.out, shrink="ranked:Few=.5", options={"evaluations": 4}))
    ).shrunk
    assert found is not None
    assert not found.higher_is_better
    failed = [text for text, value in found.values.items() if value is None]
    assert failed
    assert found.discarded[-len(failed) :] == tuple(failed)
    kept = [v for v in found.values.values() if v is not None and v <= found.threshold]
    assert len(kept) >= POOL // 2
    assert len(kept) == POOL - len(found.discarded)


def test_what_was_discarded_is_shown(folder: RunFolder, command: Command) -> None:
    page = report_run(folder).read_text("utf-8")
    record = record_of(folder)
    assert record.shrunk is not None
    count = len(record.shrunk.discarded)
    said = f"Parameters discarded {count} of 40 random architectures of the space: the search"
    assert said in page
    assert record.shrunk.discarded[0] in page
    code, out, _ = command(
        "search", "--searcher", "random", "--options.evaluations", "12", "--scores",
        "trainable_layers", "--shrink", "parameters=.25", "--draws", "1", "--workers", "0",
        "--out", str(folder.out),
    )  # fmt: skip
    assert code == 0
    assert said in out


def test_a_search_without_it_is_named_as_ever(tmp_path: Path) -> None:
    whole, shrunk = (resolve(asked(tmp_path, shrink=s)) for s in (None, "parameters=.25"))
    assert whole.identity("f", "code") != shrunk.identity("f", "code")
    assert "shrink" in whole.plain()


def test_a_threshold_with_failures() -> None:
    found = Shrunk("s", 0.5, 2.0, True, {"a": 1.0, "b": None, "c": 3.0, "d": 2.0, "e": 0.5})
    assert found.discarded == ("a", "e", "b")
    low = replace(found, higher_is_better=False)
    assert low.discarded == ("c", "b")


# Wrong use


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"shrink": "naswot"}, "shrink: expected a score and the share that it keeps.*'naswot'"),
        ({"shrink": "naswot=half"}, "such as naswot=.5, got 'naswot=half'"),
        ({"shrink": "naswot=1"}, "above 0 and below 1, such as naswot=.5, got 'naswot=1'"),
        ({"shrink": "naswot=0"}, "above 0 and below 1"),
        ({"shrink": "=.5"}, "shrink: expected a score"),
        ({"shrink": "naswut=.5"}, "unknown score 'naswut'"),
        ({"searcher": "pruning", "options": {}}, "shrink: expected a searcher that draws whole"),
        ({"searcher": "given", "options": {"architectures": "x"}}, "shrink: expected a searcher"),
        ({"options": {"within": True}}, "shrink: expected a searcher"),
        ({"shrink": "ranked:Failing=.5"}, "got ranked:Failing, which has none for 40 random"),
    ],
)
def test_what_makes_no_sense_is_told_in_a_line(
    folder: RunFolder, change: dict[str, Any], said: str
) -> None:
    with pytest.raises(ValueError, match=said) as raised:
        run(asked(folder.out, **change))
    assert "\n" not in str(raised.value)


def test_the_form() -> None:
    assert Shrink.parse("a.b:Score@2=0.1") == Shrink("a.b:Score@2", 0.1)
