"""What it takes to resume a search of many trials, to propose more, and to end it.

    python benchmarks/resuming.py [--searchers random evolution local] [--trials 1000 10000 100000]

A store is filled with trials as the searcher proposes them, with made-up numbers, through the
storage layer. Then a process of its own resumes the search for a few proposals, whose tasks are
done at once, selects, and writes the report. Shown are seconds of its processor, megabytes, and
proposals for a second of its processor; and how many times the figure on the left each is.
"""

import json
import random
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, fields, replace
from itertools import pairwise
from pathlib import Path
from typing import Any, TypeVar

import cyclopts
from driven import RUN, made_up, opened
from rich.console import Console
from rich.table import Table

from untrained.pages.stored import report_run
from untrained.runs.asynchronous import search_asynchronously
from untrained.runs.identity import digest
from untrained.runs.record import record_of
from untrained.runs.searching import recall, search_in_batches
from untrained.runs.session import Session
from untrained.searchers import History, Proposal, Trial
from untrained.settings import Setting, changed

app = cyclopts.App(help=__doc__, default_parameter=cyclopts.Parameter(consume_multiple=True))
AT_ONCE = 1000
"Proposals by which a store is filled."
FIRST = 8
T = TypeVar("T")


@dataclass(frozen=True)
class Resumed:
    """What it took, in seconds of the processor."""

    recall: float
    "The history, from the store."
    memory: float
    "Megabytes that the process grew by for it."
    first: float
    "The first eight proposals after that, measured at once."
    rate: float
    "Proposals a second from then on."
    select: float
    "The best of all."
    record: float
    "The run's record, for the report."
    report: float
    "Its page, the record included."
    page: float
    "Megabytes of that."
    peak: float
    "The most megabytes that the process had in all."


@app.default
def resuming(
    *,
    searchers: tuple[str, ...] = ("random", "evolution", "local"),
    trials: tuple[int, ...] = (1_000, 10_000, 100_000),
    space: str = "darts",
    more: int = 80,
    asynchronous: bool = False,
) -> None:
    """A table for each searcher.

    Parameters
    ----------
    searchers
        Each with a store of its own.
    trials
        That are in the store, in rising order.
    space
        A large one: NAS-Bench-201 has too few architectures.
    more
        Proposals after that.
    asynchronous
        Whether the search that is resumed is.
    """
    for searcher in searchers:
        table = Table(searcher, *(f"{count:,}" for count in trials), title=space)
        found = []
        with tempfile.TemporaryDirectory() as out:
            for count in trials:
                fill(searcher, space, count, Path(out))
                words = [searcher, space, str(count), str(more), out]
                flag = "--asynchronous" if asynchronous else "--no-asynchronous"
                made = subprocess.run(
                    [sys.executable, __file__, "resume", *words, flag],
                    check=True, stdout=subprocess.PIPE, text=True,
                )  # fmt: skip
                found.append(Resumed(**json.loads(made.stdout)))
                print(f"{searcher}, {count:,}: {found[-1]}", file=sys.stderr, flush=True)
        for field in fields(Resumed):
            values = [getattr(each, field.name) for each in found]
            table.add_row(field.name, *with_growth(values))
        Console().print(table)


def with_growth(values: Sequence[float]) -> list[str]:
    """Each value, and how many times the one before it is."""
    shown = [f"{value:.3g}" for value in values]
    growth = (f" ({b / a:.1f} x)" for a, b in pairwise(values))
    return [text + more for text, more in zip(shown, ["", *growth], strict=True)]


def options_of(searcher: str, count: int) -> dict[str, Setting]:
    """For so many architectures."""
    explore = {"explore": count} if searcher == "surrogate" else {}
    return {"evaluations": count, **explore}


def fill(searcher: str, space: str, count: int, out: Path) -> None:
    """Brings a store to so many trials."""
    with opened(searcher, space, options_of(searcher, count), out) as session:
        history = recall(session)
        while len(history) < count:
            rng = random.Random(f"fill/{len(history)}")
            proposals = session.searcher.propose(history, AT_ONCE, rng)
            keep(session, history, proposals)


def keep(session: Session, history: History, proposals: Sequence[Proposal]) -> None:
    """Stores a batch and its measurements."""
    measuring, [setup] = session.measuring, session.measuring.setups
    rows, batch = [], session.store.batches(RUN)
    for number, proposal in enumerate(proposals, len(history)):
        rows.append({**measuring.row(proposal), "batch": batch, "number": number})
        value = made_up(str(proposal.architecture)).value
        history.append(Trial(**vars(proposal), values={setup.name: (value,)}))
    session.store.add_measurements([*measurements(session, proposals)])
    session.store.add_trials(rows)


def measurements(session: Session, proposals: Sequence[Proposal]) -> Iterator[dict[str, Any]]:
    """Their rows, each once."""
    measuring, [setup] = session.measuring, session.measuring.setups
    seen = set[str]()
    for proposal in proposals:
        text = measuring.measured(proposal, setup)
        asked = measuring.asked(text, setup, 0)
        if (key := digest(asked)) in seen:
            continue
        seen.add(key)
        yield {
            "key": key, "run": RUN, "question": asked, "score": setup.name,
            "value": made_up(text).value, "reason": "", "seconds": 0.0,
        }  # fmt: skip


@app.command(show=False)
def resume(
    searcher: str, space: str, count: int, more: int, out: Path, *, asynchronous: bool = False
) -> None:
    """Resumes the search in a store, in this process, and prints what it took."""
    options = options_of(searcher, count + more)
    with opened(searcher, space, options, out, asynchronous=asynchronous) as session:
        before = memory()
        history, recalling = timed(lambda: recall(session))
        grown = memory() - before
        some = changed(session.searcher, options_of(searcher, count + FIRST), "options")
        beginning = replace(session, searcher=some)
        _, first = timed(lambda: go_on(beginning, history))
        _, rest = timed(lambda: go_on(session, history))
        assert len(history) == count + more
        selected, selecting = timed(lambda: session.searcher.select(history))
        session.store.set_selected(RUN, str(selected))
    _, recording = timed(lambda: record_of(session.folder))
    page, reporting = timed(lambda: report_run(session.folder))
    found = Resumed(
        recall=recalling,
        memory=grown,
        first=first,
        rate=(more - FIRST) / rest,
        select=selecting,
        record=recording,
        report=reporting,
        page=len(page.read_bytes()) / 1e6,
        peak=resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3,
    )
    print(json.dumps(asdict(found)))


def go_on(session: Session, history: History) -> None:
    """To the end of the search."""
    search = search_asynchronously if session.config.asynchronous else search_in_batches
    search(session, history)


def timed(call: Callable[[], T]) -> tuple[T, float]:
    """What a call gives, and its seconds of the processor."""
    began = time.process_time()
    found = call()
    return found, time.process_time() - began


def memory() -> float:
    """Megabytes that this process has, resident."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize() / 1e6


if __name__ == "__main__":
    app()
