"""Progress: which batch of how many, and the time left of the whole, from what was measured."""

import logging
import random
from pathlib import Path

import pytest
from test_cli import CELL, QUICK, Command, command

from untrained.cli import progress as shown
from untrained.cli import terminal
from untrained.cli.progress import Lines
from untrained.runs import Progress, RunConfig, run
from untrained.runs.outlook import Outlook
from untrained.runs.session import After
from untrained.searchers import Goal, Trial, make_searcher
from untrained.spaces import get_space
from untrained.training import TrainingSpec

__all__ = ["command"]  # a fixture

SEARCHERS = {
    "random": {"evaluations": 21}, "evolution": {"evaluations": 21, "population": 8},
    "surrogate": {"evaluations": 13, "explore": 10, "group": 4}, "nasi": {"evaluations": 12},
    "halving": {"evaluations": 9}, "nsga2": {"evaluations": 21}, "reinforce": {"evaluations": 21},
    "pruning": {}, "local": {"evaluations": 21},
}  # fmt: skip


class Clock:
    """What time it is, as somebody says."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.mark.parametrize("name", SEARCHERS)
def test_a_searcher_foretells_its_batches(name: str) -> None:
    """Against the search itself, with scores by chance."""
    goals = (Goal("a", True), Goal("b", False))
    searcher = make_searcher(name, get_space("nasbench201"), goals, 1, SEARCHERS[name])
    rng, history, told, batches = random.Random(0), list[Trial](), [], 0
    while proposals := searcher.propose(history, 8, random.Random(len(history))):
        told.append((len(history), batches, searcher.ahead(len(history), 8)))
        values = [{g.score: (rng.random(),) for g in goals} for _ in proposals]
        history += [Trial(**vars(p), values=v) for p, v in zip(proposals, values, strict=True)]
        batches += 1
    for before, number, ahead in told:
        assert ahead is not None
        assert ahead.architectures == len(history) - before
        if name != "local":  # whose batches are as large as neighbours are many
            assert ahead.batches == batches - number
    end = searcher.ahead(len(history), 8)
    assert end == (0, 0)


def test_nothing_is_said_before_something_was_measured() -> None:
    clock, after = Clock(), After(100.0, (), 2)
    outlook = Outlook(clock)
    left = []
    for second, done in enumerate((10, 11, 12, 13, 14, 15)):
        clock.now = float(second)
        left.append(outlook.seconds_left(Progress("search, 1", done, 20, "search", 30, after)))
    assert left[:5] == [None] * 5
    assert left[5] == pytest.approx((5 + 30) * 1.0 + 100)


def test_what_was_there_before_and_the_start_of_workers_are_no_pace() -> None:
    clock, outlook, after = Clock(), None, After(0.0, (), 1)
    outlook = Outlook(clock)

    def told(second: float, phase: int, done: int, later: int) -> float | None:
        clock.now = second
        at = Progress(f"search, {phase}", done, 8, "search", later, after)
        return outlook.seconds_left(at)

    assert told(0, 1, 0, 16) is None
    assert told(60, 1, 1, 16) is None  # workers have started
    assert told(62, 1, 4, 16) == pytest.approx((4 + 16) * 2 / 3)
    assert told(66, 2, 6, 8) == pytest.approx((2 + 8) * 6 / 3)  # six were cached
    assert told(68, 2, 7, 8) == pytest.approx((1 + 8) * 8 / 4)


def test_without_a_step_or_what_comes_after_there_is_no_estimate() -> None:
    clock = Clock()
    outlook = Outlook(clock)
    for done in range(20):
        clock.now += 1
        assert outlook.seconds_left(Progress("sweep", done, 20)) is None


@pytest.mark.usefixtures("without_graphs")
def test_a_run_tells_of_the_whole(tmp_path: Path) -> None:
    seen: list[Progress] = []
    spec = TrainingSpec(epochs=1, images=64)
    config = RunConfig(
        searcher="random", options={"evaluations": 5}, proposals=2, draws=1, workers=0,
        scores=("parameters", "macs"), train=True, compare=1, training=spec, scale="small",
        out=tmp_path, channels=4, cells=1,
    )  # fmt: skip
    run(config, seen.append)
    phases = list(dict.fromkeys(p.phase for p in seen))
    assert phases[:3] == [
        "search, batch 1 of about 3: 2 architectures",
        "search, batch 2 of about 3: 2 architectures",
        "search, batch 3 of 3: 1 architecture",
    ]
    searched = [p for p in seen if p.step == "search"]
    assert searched[0].total + searched[0].later == 2 * 5
    assert searched[0].after == After(0.0, ("training", "export"), 1)  # nothing was measured
    trained = [p for p in seen if p.step == "training"]
    assert trained[0].after == After(0.0, ("export",), 1)
    seen.clear()
    run(config, seen.append)  # of whose trainings and export the store knows the pace
    first = next(p for p in seen if p.after is not None)
    assert first.after is not None
    assert first.after.unknown == ()
    assert first.after.seconds > 0


def test_lines_come_at_once_and_then_less_often() -> None:
    clock, said = Clock(), list[str]()

    class Kept(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            said.append(record.getMessage())

    handler = Kept()
    shown.logger.addHandler(handler)
    shown.logger.setLevel(logging.INFO)
    try:
        lines = Lines(clock)
        for second in range(200):
            clock.now = float(second)
            lines.tell(Progress("search, batch 1", second, 200, "search", 0, After(9.0)))
        lines.tell(Progress("training 2 networks", 0, 10, "training"))
    finally:
        shown.logger.removeHandler(handler)
        shown.logger.setLevel(logging.NOTSET)
    assert said[0] == "search, batch 1: 0 of 200 after 0.00 s"
    assert said[1] == "search, batch 1: 5 of 200 after 5.0 s, about 3 min left in all"
    assert said[-1].startswith("training 2 networks: 0 of 10 after")
    assert len(said) == 8


# What is said beside the result

SCORE = ("score", CELL, "--workers", "0", "--draws", "1", "--scores", "parameters")


def test_piped_progress_is_lines_of_the_error_stream(command: Command) -> None:
    code, out, err = command("search", *QUICK, "--scores", "parameters", "--json")
    assert code == 0
    assert out.count("\n") == 1
    assert "search, batch 1 of 1: 2 architectures: 0 of 2 after" in err
    assert "the more the better" in err  # a warning


def test_quiet_is_the_result_alone(command: Command) -> None:
    code, out, err = command("search", *QUICK, "--scores", "parameters", "--quiet")
    assert (code, err) == (0, "")
    assert "Selected architecture" in out
    code, _, err = command("score", "nonsense", "-q")
    assert code == 2
    assert err.startswith("untrained: ")
    assert len(err.splitlines()) == 1


def test_verbose_says_more(command: Command) -> None:
    _, _, err = command("search", *QUICK, "--scores", "parameters")
    assert "batch 1: 2 architectures in" not in err
    _, _, err = command("search", *QUICK, "--scores", "parameters", "--seed", "1", "-v")
    assert "batch 1: 2 architectures in" in err
    assert "run untrained-runs/" in err


@pytest.mark.parametrize("how", [(), ("--quiet",), ("--verbose",)])
def test_a_log_file_keeps_progress_warnings_and_errors(
    how: tuple[str, ...], command: Command
) -> None:
    asked = ("search", *QUICK, "--scores", "parameters", "--log-file", "mine.log", *how)
    assert command(*asked)[0] == 0
    assert command("score", "no\x1bsense", "--log-file", "mine.log", *how)[0] == 2
    log = Path("mine.log").read_text(encoding="utf-8")
    assert "INFO untrained.progress: search, batch 1 of 1" in log
    assert "WARNING untrained.runs.driver: parameters: the more the better" in log
    assert log.splitlines()[-1].split(" ", 2)[2].startswith("ERROR untrained: not a NAS-Bench-201")
    assert "\\x1b" in log
    assert "\x1b" not in log
    command(*SCORE)  # and no later command writes there
    assert Path("mine.log").read_text(encoding="utf-8") == log


@pytest.mark.parametrize(
    ("words", "message", "code"),
    [
        (("--quiet", "--verbose"), "expected --quiet or --verbose, got both", 2),
        (("--log-file", "no/such/folder/x.log"), "--log-file: cannot write no/such/folder", 1),
        (("--quiet=maybe",), "--quiet", 2),
    ],
)
def test_misuse_is_told_in_a_line(
    words: tuple[str, ...], message: str, code: int, command: Command
) -> None:
    found, out, err = command("data", *words)
    assert (found, out) == (code, "")
    assert message in err
    assert len(err.splitlines()) == 1


def test_a_terminal_shows_bars_unless_it_is_to_be_quiet(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(terminal.WORKING, "_force_terminal", True)
    terminal.prepare()
    assert terminal.shows_bars()
    terminal.prepare(quiet=True)
    assert not terminal.shows_bars()
    terminal.prepare()
