"""The conformance of a searcher."""

import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from functools import cached_property

from untrained.conformance.finding import Check, Finding, Verdict, findings, listed
from untrained.runs.streams import stream
from untrained.runs.surroundings import surroundings
from untrained.searchers import Goal, History, Proposal, Searcher, Trial
from untrained.settings import Setting, changed, check_known
from untrained.spaces import SPACES, prunable

GOALS = (Goal("first", True), Goal("second", False))
DRAWS, BATCH = 2, 8
MOST = 500
"Trials after which a search should have ended."
LONGEST = 80
"Characters of the options that are shown."
FEW = 30
"`evaluations`, where a searcher has such an option and nothing else is asked."


@dataclass(frozen=True)
class Searched:
    """A searcher, and what it proposes of NAS-Bench-201 by made-up scores."""

    kind: type[Searcher]
    options: Mapping[str, Setting]

    def make(self) -> Searcher:
        """A new one."""
        space = prunable(SPACES["nasbench201"])
        found = changed(self.kind(space, GOALS, DRAWS), self.options, "options")
        found.check()
        return found

    @cached_property
    def batches(self) -> list[list[Trial]]:
        """The search, from beginning to end, by one searcher."""
        searcher, history, batches = self.make(), list[Trial](), list[list[Trial]]()
        while len(history) < MOST:
            proposals = searcher.propose(history, BATCH, rng_of(history))
            if not proposals:
                break
            batches.append([measured(proposal) for proposal in proposals])
            history += batches[-1]
        return batches

    @property
    def history(self) -> list[Trial]:
        """All trials."""
        return [trial for batch in self.batches for trial in batch]


def rng_of(history: Sequence[Trial]) -> random.Random:
    """As a run gives it: by how much there is."""
    return random.Random(len(history))


def measured(proposal: Proposal) -> Trial:
    """Made-up scores, each of architecture and draw alone."""

    def value(goal: Goal, draw: int) -> float:
        return stream(goal.score, proposal.architecture, draw).initial_seed() / 2**56

    values = {g.score: tuple(value(g, draw) for draw in proposal.draws) for g in GOALS}
    return Trial(**vars(proposal), values=values)


def findings_of_searcher(
    kind: type[Searcher], options: Mapping[str, Setting]
) -> Iterator[Finding]:
    """What holds of a searcher.

    Raises:
        ValueError: options that it does not have.
    """
    own = [field.name for field in fields(kind)[3:]]
    check_known(f"searcher {kind.__name__!r}", options, own)
    few = {"evaluations": FEW} if "evaluations" in own else {}
    searched = Searched(kind, {**few, **options})
    try:
        searched.make()
    except ValueError:  # options that make no sense
        raise
    except Exception:  # somebody else's class; `can_be_made` tells
        pass
    made = [*findings("contract", MADE, searched)]
    yield from made
    if not any(finding.breaks for finding in made):
        yield from findings("contract", CONTRACT, searched)
        yield from findings("conduct", CONDUCT, searched)


def can_be_made(searched: Searched) -> Verdict:
    """Of a space, goals, draws and options."""
    kind = type(searched.make())
    said = ", ".join(f"{name} {value}" for name, value in searched.options.items())
    return Verdict(True, f"{kind.__name__}{', ' if said else ''}{said}"[:LONGEST])


def comes_to_an_end(searched: Searched) -> Verdict:
    """With no more proposals."""
    count = len(searched.history)
    if not count:
        return Verdict(False, "it proposes nothing")
    if count >= MOST:
        return Verdict(None, f"not within {MOST} trials; try fewer by an option")
    return Verdict(True, f"after {count} trials in {len(searched.batches)} batches")


def proposes_architectures(searched: Searched) -> Verdict:
    """Of its space, each with draws."""
    space = SPACES["nasbench201"]
    for trial in searched.history:
        if space.parse(str(trial.architecture)) != trial.architecture:
            return Verdict(False, f"{trial.architecture} is not of the space")
        if trial.architecture.partial and not searched.kind.prunes:
            return Verdict(False, f"{trial.architecture} is partial, and prunes is False")
        if not trial.draws or len(set(trial.draws)) < len(trial.draws):
            return Verdict(False, f"expected draws, each once, got {trial.draws!r}")
    return Verdict(True, f"{len({t.architecture for t in searched.history})} architectures")


def is_a_function_of_history(searched: Searched) -> Verdict:
    """A new searcher, as in a run that resumes, proposes what the first went on to propose."""
    history: list[Trial] = []
    for number, batch in enumerate(searched.batches, 1):
        proposals = searched.make().propose(history, BATCH, rng_of(history))
        if [measured(proposal) for proposal in proposals] != batch:
            return Verdict(False, f"another batch {number}: it keeps something of its own")
        history += batch
    return Verdict(True, f"resumed before each of {len(searched.batches)} batches")


def reads_any_sequence(searched: Searched) -> Verdict:
    """A run's history proposes what a plain list does, and neither is changed."""
    space, searcher = SPACES["nasbench201"], searched.make()
    history: list[Trial] = []
    for number, batch in enumerate(searched.batches, 1):
        grown = History(space, history)
        proposals = searcher.propose(grown, BATCH, rng_of(history))
        if [measured(proposal) for proposal in proposals] != batch:
            return Verdict(False, f"batch {number} is another of a run's history than of a list")
        if list(grown) != history:
            return Verdict(False, "it changes the history that it is given")
        history += batch
    return Verdict(True, "a run's history and a list")


def selects_what_it_measured(searched: Searched) -> Verdict:
    """A discrete architecture of a finished search, the same if asked again."""
    selected = searched.make().select(searched.history)
    if selected is None:
        return Verdict(False, "nothing is selected")
    if selected.partial:
        return Verdict(False, f"{selected} is partial")
    if selected not in {trial.architecture for trial in searched.history}:
        return Verdict(False, f"{selected} was never measured")
    same = searched.make().select(searched.history) == selected
    return Verdict(same, str(selected) if same else "another one the second time")


def selects_nothing_without_numbers(searched: Searched) -> Verdict:
    """Where a score failed for every architecture; the search ends all the same."""
    searcher, history = searched.make(), list[Trial]()
    while len(history) < MOST:
        proposals = searcher.propose(history, BATCH, rng_of(history))
        if not proposals:
            break
        history += [_failed(measured(proposal)) for proposal in proposals]
    selected = searcher.select(history)
    if selected is not None:
        return Verdict(False, f"selects {selected}, of which a score always failed")
    return Verdict(True, f"where {GOALS[0].score!r} fails in all {len(history)} trials")


def _failed(trial: Trial) -> Trial:
    nothing = {GOALS[0].score: (None,) * len(trial.draws)}
    return replace(trial, values={**trial.values, **nothing})


def leaves_the_process_alone(searched: Searched) -> Verdict:
    """Above all, global random states."""
    with surroundings(0) as changed_there:
        again = Searched(searched.kind, searched.options).history
        searched.make().select(again)
    if changed_there:
        return Verdict(False, f"changes {listed(changed_there)}")
    return Verdict(True, "nothing changes")


MADE: dict[str, Check[Searched]] = {"can be made": can_be_made}
CONTRACT: dict[str, Check[Searched]] = {
    "comes to an end": comes_to_an_end,
    "proposes architectures of its space": proposes_architectures,
    "is a function of history and generator": is_a_function_of_history,
    "reads any sequence as its history": reads_any_sequence,
    "selects what it measured": selects_what_it_measured,
    "selects nothing without numbers": selects_nothing_without_numbers,
}
CONDUCT: dict[str, Check[Searched]] = {"leaves the process alone": leaves_the_process_alone}
