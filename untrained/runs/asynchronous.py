"""Asynchronous searching: a result comes, another proposal goes, and no worker waits for a batch.

Results come in an order that nobody can foresee, so it is kept: trials are numbered by it. A
proposal is a function of the first `seen` trials, of those pending, and of its own number among
proposals, by which its random numbers are drawn; it is stored with `seen` before it is measured.
So stored trials can be proposed again from what each was made from, and a search that was killed
knows what was pending, and goes on as it would have.
"""

import logging
import random
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from untrained.runs.arrivals import Arrivals
from untrained.runs.budgeting import time_is_up
from untrained.runs.resolved import ResolvedConfig
from untrained.runs.session import Progress, Session
from untrained.searchers import SEARCHERS, AsynchronousSearcher, History, Proposal, Searcher, Trial
from untrained.storage.store import LOST

logger = logging.getLogger(__name__)

NOTED_SECONDS = 1.0
"Of searching, that are noted in the ledger together."


def check_asynchronous(searcher: Searcher, config: ResolvedConfig) -> None:
    """Refuse a searcher that needs a whole batch; warn of workers that would have nothing to do.

    Raises:
        ValueError: such a searcher.
    """
    if not config.asynchronous:
        return
    if not isinstance(searcher, AsynchronousSearcher):
        able = [name for name, kind in SEARCHERS.items() if issubclass(kind, AsynchronousSearcher)]
        raise ValueError(
            f"asynchronous: expected a searcher that proposes while others of its proposals are "
            f"measured, got {config.searcher}; try --searcher {' or '.join(able)}"
        )
    if config.workers > config.proposals:
        logger.warning(
            "asynchronous: %d workers share %d architectures at a time; to keep all at work, try "
            "--proposals %d",
            *(config.workers, config.proposals, config.workers),
        )


def search_asynchronously(session: Session, history: History) -> bool:
    """Adds trials to a history until the searcher has nothing to ask; whether time ended that."""
    return _Search(session, history).run()


@contextmanager
def held(session: Session) -> Iterator[None]:
    """Holds an asynchronous search, of which there is one order of results, against other drivers.

    Raises:
        OSError: another driver is at it.
    """
    if not session.config.asynchronous:
        yield
        return
    store, key = session.store, f"search {session.id}"
    if store.claims.claim([[key]], lambda connection, keys: ()) != [True]:
        raise OSError(
            f"the search {session.folder.name} is under way in another command on the same store: "
            f"wait for it, or choose another --seed; an asynchronous search is not shared"
        )
    yield
    store.claims.release([key])


def pending_of(session: Session) -> dict[int, Proposal]:
    """What was being measured when the search was last left, by its number among proposals.

    Raises:
        ValueError: the store is damaged there.
    """
    return {
        row["batch"]: Proposal(
            session.space.parse(row["architecture"]),
            tuple(row["draws"]),
            row["note"],
            role=row["role"],
            epochs=row["epochs"],
        )
        for row in session.store.pending(session.id)
    }


class _Search:
    """What was tried, and what is pending."""

    def __init__(self, session: Session, history: History):
        assert isinstance(session.searcher, AsynchronousSearcher)
        self.session, self.searcher, self.history = session, session.searcher, history
        self.arrivals = Arrivals(session.measuring)
        self.pending: dict[int, Proposal] = {}
        "By their numbers among proposals."
        self.next = session.store.batches(session.id)
        self.since: dict[int, float] = {}
        "When each of those pending was proposed, or the session began."
        self.took = 0.0
        "Seconds that the last to arrive was pending."
        self.noted = time.perf_counter()
        "Up to when it is noted in the ledger how long the search takes."

    def run(self) -> bool:
        """Adds to the history; whether time ended it."""
        self._measure(pending_of(self.session))
        stopped = self._propose()
        for number in self.arrivals:
            self._arrive(number)
            stopped = self._propose()
            self._note(NOTED_SECONDS)
        self._note(0.0)
        return stopped

    def _propose(self) -> bool:
        """Until as many are pending as should be, or there is nothing to ask for; whether time is
        up."""
        session, new, stopped = self.session, dict[int, Proposal](), False
        while len(self.pending) + len(new) < session.config.proposals:
            pending = [*self.pending.values(), *new.values()]
            rng = random.Random(f"{session.config.seed}/asynchronous/{self.next}")
            proposal = self.searcher.propose_one(self.history, pending, rng)
            proposed = len(self.history) + len(pending)
            if proposal is None or (stopped := time_is_up(session, proposed, self.took)):
                break
            new[self.next] = proposal
            self.next += 1
        if new:
            seen = len(self.history)
            rows = ({**session.measuring.row(p), "batch": n, "seen": seen} for n, p in new.items())
            session.store.add_pending([*rows])
            self._measure(new)
        return stopped

    def _measure(self, proposals: Mapping[int, Proposal]) -> None:
        self.pending |= proposals
        for number, proposal in proposals.items():
            self.since[number] = time.perf_counter()
            self.arrivals.add(number, proposal)

    def _arrive(self, number: int) -> None:
        """Makes a proposal the next trial."""
        session = self.session
        session.store.arrive(session.id, number, len(self.history))
        self.history.append(self._trial(self.pending.pop(number)))
        self.took = time.perf_counter() - self.since.pop(number)
        tried = len(self.history)
        session.on_progress(Progress("search, asynchronous", tried, tried + len(self.pending)))

    def _trial(self, proposal: Proposal) -> Trial:
        keys = self.session.measuring.keys(proposal)
        known = self.session.store.known([key for column in keys.values() for key in column])
        values = {
            name: tuple(known.get(key, LOST).value for key in column)
            for name, column in keys.items()
        }
        return Trial(**vars(proposal), values=values)

    def _note(self, seconds: float) -> None:
        """Notes in the ledger how long the search takes, once it is so many seconds more."""
        now = time.perf_counter()
        if now - self.noted >= seconds:
            self.session.store.add_cost(self.session.id, "search", now - self.noted, wall=True)
            self.noted = now
