"""One network's or score's failure is its own, whatever it does, with and without workers."""

import math
import os
import sys
from dataclasses import replace
from itertools import permutations
from pathlib import Path
from typing import Any

import misbehaving
import pytest
import scipy.special  # noqa: F401  # which adds a filter of warnings
import torch
from measured import readings
from misbehaving import CHANGES, CRASHES, GIVEN, LOOPS, MEMORY, TRACES

from untrained.images import Images
from untrained.memory import out_of_memory
from untrained.plugins import working_folder_last
from untrained.runs import RunConfig, load_record, run
from untrained.runs.engines import start_engine
from untrained.runs.presets import resolve
from untrained.runs.setup import ScoreSetup, make_setup
from untrained.runs.tasks import Outcome, ScoreTask, Trained, TrainTask, measure
from untrained.scores import Reading
from untrained.settings import Setting
from untrained.spaces import get_space
from untrained.training import Recipe

SPACE = get_space("nasbench201")
CELL = "|nor_conv_3x3~0|+|none~0|none~1|+|skip_connect~0|nor_conv_1x1~1|none~2|"


def misbehaves(deed: str) -> ScoreSetup:
    return make_setup("misbehaving:Misbehaving", SPACE, {"deed": deed})


WITNESS = make_setup("misbehaving:Witness", SPACE, {})


def task(*setups: ScoreSetup, draws: tuple[int, ...] = (0,)) -> ScoreTask:
    return ScoreTask("nasbench201", CELL, setups, draws, "cpu")


@pytest.fixture(scope="module")
def truth(digits: Images) -> Reading:
    """What the witness sees where no other score has been."""
    [found] = measure(task(WITNESS), digits)
    assert found[0].reading.value is not None, found
    return found[0].reading


@pytest.mark.parametrize("deed", GIVEN | MEMORY | CHANGES | TRACES)
def test_no_score_disturbs_another(
    deed: str, digits: Images, truth: Reading, capfd: pytest.CaptureFixture[str]
) -> None:
    here = os.getcwd()
    [found] = measure(task(misbehaves(deed), WITNESS), digits)
    mine, witness = readings(found)
    assert witness == truth
    if deed in TRACES:
        assert mine == Reading(3.0)
    else:
        assert mine.value is None
        assert 0 < len(mine.reason) < 2200
        mine.reason.encode()  # any store can hold it
    if deed in CHANGES:
        assert "changed" in mine.reason
    assert (mine.bound is not None) == (deed in MEMORY)
    assert capfd.readouterr().out == ""
    assert os.getcwd() == here


@pytest.mark.parametrize(
    ("deed", "words"),
    [
        ("None", "expected a Reading from the score, got None"),
        ("a reading of a string", "expected a number in the Reading, got '3'"),
        ("a reading of nan", "the score is nan"),
        ("SystemExit", "SystemExit: 0 (misbehaving.py:"),
        ("Unwritable", "Unwritable: (its text cannot be written) (misbehaving.py:"),
        ("markup", "RuntimeError: bad [/] thing (misbehaving.py:"),
        ("MemoryError", "too large for this machine: MemoryError"),
    ],
)
def test_a_reason_names_what_came_and_where(deed: str, words: str, digits: Images) -> None:
    [found] = measure(task(misbehaves(deed)), digits)
    assert words in found[0].reading.reason


def test_the_line_is_the_innermost_of_the_author(digits: Images) -> None:
    """Python's own and torch's lines are no help; the author's that called them is."""
    [found] = measure(task(misbehaves("a weight moved"), misbehaves("the allocator")), digits)
    source = Path(misbehaving.__file__).read_text(encoding="utf-8").splitlines()
    line = 1 + next(i for i, text in enumerate(source) if '"the allocator"' in text)
    assert found[1].reading.reason.endswith(f"(misbehaving.py:{line})")


def test_what_scores_share_is_spoilt_for_none(digits: Images) -> None:
    spoils, reads = (
        make_setup("misbehaving:OfInputs", SPACE, {"spoils": s}) for s in (True, False)
    )
    [alone] = measure(task(reads), digits)
    for pair in ((spoils, reads), (reads, spoils)):
        [found] = measure(task(*pair), digits)
        assert readings(found) == readings(alone) * 2


def test_what_a_network_remembers_of_a_score_is_forgotten(digits: Images) -> None:
    """A tensor with its graph, or of a type or a transform that the next score does not have."""
    space = get_space("function_spaces:remembering")
    names = ("nngp_leave_one_out", "zico", "synflow", "gradsign")  # of one network
    setups = [make_setup(name, space, {}) for name in names]

    def of(*setups: ScoreSetup) -> tuple[Reading, ...]:
        [found] = measure(ScoreTask(space.name, "width=6", setups, (0,), "cpu"), digits)
        return readings(found)

    alone = [reading for setup in setups for reading in of(setup)]
    assert not [reading.reason for reading in alone if reading.reason]
    for order in permutations(range(len(setups)), 2):
        assert of(*(setups[i] for i in order)) == tuple(alone[i] for i in order)


@pytest.mark.parametrize(
    "error",
    [
        RuntimeError("the network is out of memory"),
        RuntimeError("x [enforce fail at alloc_cpu.cpp:1] DefaultCPUAllocator: can't allocate"),
        ValueError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 1 bytes"),
        OSError(28, "no memory left on device"),
        KeyError("memory"),
    ],
)
def test_words_do_not_make_an_error_want_of_memory(error: Exception) -> None:
    assert not out_of_memory(error)


# Time


@pytest.mark.parametrize("deed", LOOPS)
def test_what_takes_too_long_is_ended_in_this_process_too(
    deed: str, digits: Images, truth: Reading
) -> None:
    with start_engine(0, digits, 0.3) as engine:
        [(_, found)] = engine([task(misbehaves(deed), WITNESS)])
    assert isinstance(found, list)
    mine, witness = readings(found[0])
    assert mine.value is None
    assert witness == truth
    if deed == "sleep":
        assert mine.reason == "took longer than the time limit of 0.3 s"
        assert mine.bound == ("seconds", 0.3)


def test_only_more_time_or_memory_asks_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Under the same bound, what ran into it is kept; with more, the same run has its number."""
    memory = 1e9
    monkeypatch.setattr("untrained.runs.failures.memory_of", lambda device: memory)
    monkeypatch.setattr("untrained.runs.measuring.memory_of", lambda device: memory)
    asked = RunConfig(
        searcher="given", options={"architectures": CELL}, draws=1, workers=0, out=tmp_path,
        scores=("misbehaving:Misbehaving",), time_limit=0.2,
    )  # fmt: skip

    def reading(config: RunConfig, deed: str, then: Any) -> Reading:
        monkeypatch.setitem(misbehaving.DEEDS, deed, then)
        assert config.scores
        settings: dict[str, dict[str, Setting]] = {config.scores[0]: {"deed": deed}}
        folder = run(replace(config, score_settings=settings))
        [trial] = load_record(folder.store, folder.name).trials
        return trial.readings[config.scores[0]][0]

    slow, large, fine = DEEDS["sleep"], DEEDS["MemoryError"], lambda *_: Reading(7.0)
    assert reading(asked, "sleep", slow).bound == ("seconds", 0.2)
    assert reading(asked, "sleep", fine).bound == ("seconds", 0.2)
    assert reading(replace(asked, time_limit=0.1), "sleep", fine).bound == ("seconds", 0.2)
    assert reading(replace(asked, time_limit=9.0), "sleep", fine) == Reading(7.0)
    assert reading(asked, "MemoryError", large).bound == ("memory", 1e9)
    assert reading(asked, "MemoryError", fine).bound == ("memory", 1e9)
    memory = 2e9
    assert reading(asked, "MemoryError", fine) == Reading(7.0)
    assert reading(asked, "markup", DEEDS["markup"]).bound is None


DEEDS = dict(misbehaving.DEEDS)


@pytest.mark.parametrize("limit", [0.0, -1.0, math.inf, math.nan])
def test_wrong_time_limits(limit: float) -> None:
    with pytest.raises(ValueError, match="time_limit: expected"):
        resolve(RunConfig(time_limit=limit))


# Workers


@pytest.fixture(scope="module")
def outcomes(digits: Images) -> dict[str, Outcome]:
    """Of a task for each crash, one of them on two draws and beside another score, and a sane."""
    tasks = {deed: task(misbehaves(deed)) for deed in CRASHES}
    tasks["abort"] = task(WITNESS, misbehaves("abort"), draws=(0, 1))
    tasks |= {deed: task(misbehaves(deed), WITNESS) for deed in ("Unsendable", "fork", "sleep")}
    with start_engine(2, digits, 2.0) as engine:
        return {list(tasks)[i]: outcome for i, outcome in engine(list(tasks.values()))}


@pytest.mark.parametrize(
    ("deed", "reason"),
    [
        ("abort", "its worker process crashed (SIGABRT)"),
        ("exit 0", "its worker process ended with exit code 0"),
        ("fault", "its worker process crashed (SIGSEGV)"),
        ("closed pipe", "its worker process ended with exit code 1"),
        ("killed", "too large for this machine: its worker process was killed (SIGKILL)"),
        ("hang", "took longer than the time limit of 2 s"),
        ("sleep", "took longer than the time limit of 2 s"),
        ("Unsendable", "Unsendable: unsendable (misbehaving.py:"),
    ],
)
def test_a_crash_is_the_failure_of_the_score_that_crashed(
    deed: str, reason: str, outcomes: dict[str, Outcome], truth: Reading
) -> None:
    found = outcomes[deed]
    assert isinstance(found, list)
    for measured in found:
        mine = measured[1 if deed == "abort" else 0].reading
        assert mine.value is None
        assert reason in mine.reason
        assert (mine.bound is not None) == (deed in ("killed", "hang", "sleep"))


def test_scores_beside_a_crash_have_their_numbers(
    outcomes: dict[str, Outcome], digits: Images, truth: Reading
) -> None:
    """Those of a process that no other score has been in."""
    abort, fork, sleep = (outcomes[deed] for deed in ("abort", "fork", "sleep"))
    assert isinstance(abort, list)
    assert isinstance(fork, list)
    assert isinstance(sleep, list)
    assert fork[0][0].reading == Reading(3.0)
    assert abort[0][0].reading == fork[0][1].reading == sleep[0][1].reading
    assert abort[0][0].reading != abort[1][0].reading


def test_the_limit_of_a_measurement_is_none_of_a_training(
    digits: Images, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("untrained.runs.workers.GRACE", -1000)  # whatever is timed is too late
    training = TrainTask(
        "nasbench201",
        CELL,
        SPACE.scales["small"],
        Recipe(epochs=1),
        None,
        0,
        1,
        tmp_path / "t.pt",
        "cpu",
    )
    with start_engine(1, digits, 900.0) as engine:
        [(_, trained)] = engine([training])
        [(_, measured)] = engine([task(WITNESS)])
    assert isinstance(trained, Trained)
    assert trained.training.finished
    assert not trained.training.reason
    assert isinstance(measured, list)
    assert measured[0][0].reading.reason == "took longer than the time limit of 900 s"


# Where modules come from


def test_the_working_folder_comes_last(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    here = str(tmp_path)
    monkeypatch.delenv("PYTHONPATH", raising=False)
    assert working_folder_last(["", "/lib"]) == ["/lib", here]
    assert working_folder_last([here, "/lib"]) == ["/lib", here]
    assert working_folder_last(["/bin", "/lib"]) == ["/bin", "/lib"]
    monkeypatch.setenv("PYTHONPATH", here)
    assert working_folder_last(["", here, "/lib"]) == [here, "/lib", here]


@pytest.fixture
def standard_names(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working folder with files named like modules, which tell if they run."""
    for name in ("signal", "random", "types", "enum", "numpy", "torch", "socket", "tempfile"):
        (tmp_path / f"{name}.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'a')")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])
    return tmp_path


def test_files_named_like_modules_never_run_in_workers(
    standard_names: Path, digits: Images
) -> None:
    witness = make_setup("parameters", SPACE, {})
    with start_engine(1, digits) as engine:
        [(_, found)] = engine([task(witness)])
    assert isinstance(found, list)
    assert found[0][0].reading.value
    assert not (standard_names / "ran").exists()


def test_images_reach_workers_without_shared_memory(
    digits: Images, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Docker gives 64 MB of it: nothing of torch's may ask for any."""

    def refuse(*_: Any) -> None:
        raise AssertionError("shared memory")

    monkeypatch.setattr(torch.UntypedStorage, "_share_fd_cpu_", refuse)
    monkeypatch.setattr(torch.UntypedStorage, "_share_filename_cpu_", refuse)
    with start_engine(1, digits) as engine:
        [(_, found)] = engine([task(make_setup("parameters", SPACE, {}))])
    assert isinstance(found, list)
    assert found[0][0].reading.value
