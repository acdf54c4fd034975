"""Architectures as values: texts, samples, neighbours, enumeration, canonical forms."""

import random
import time
from collections import Counter
from itertools import islice
from operator import ne
from typing import Any

from untrained.conformance.finding import Check, Verdict, listed
from untrained.conformance.sampled import SAMPLES, Sampled
from untrained.runs.surroundings import surroundings
from untrained.spaces import Architecture, Space

FEW = 2
"Architectures all of whose neighbours are looked at."
MOST, SECONDS = 20_000, 0.5
"What is enumerated at most."


def samples_architectures(sampled: Sampled) -> Verdict:
    """Frozen, hashable, ordered, and discrete."""
    for architecture in sampled.architectures:
        if not isinstance(architecture, Architecture):
            return Verdict(False, f"expected an Architecture, got {architecture!r}")
        if architecture.partial:
            return Verdict(False, f"got the partial architecture {architecture}")
    distinct = len(set(sampled.architectures))
    ordered = sorted(sampled.architectures)
    return Verdict(True, f"{distinct} of {SAMPLES} are distinct; the first is {ordered[0]}")


def samples_the_same_again(sampled: Sampled) -> Verdict:
    """By the same seed."""
    again = Sampled(sampled.space).architectures
    same = again == sampled.architectures
    return Verdict(same, "by one seed, twice" if same else "one seed gave two samples")


def reads_its_own_texts(sampled: Sampled) -> Verdict:
    """`parse(str(a)) == a`."""
    for architecture in sampled.architectures:
        text = str(architecture)
        if text != " ".join(text.split()) or ";" in text:
            return Verdict(False, f"expected a text with single spaces at most, got {text!r}")
        if sampled.space.parse(text) != architecture:
            back = sampled.space.parse(text)
            return Verdict(False, f"{text} is read as {back}, which is not equal to it")
    return Verdict(True, f"of {SAMPLES} architectures")


def refuses_wrong_texts(sampled: Sampled) -> Verdict:
    """By a ValueError of one line; what it reads of damaged ones has a text that comes back."""
    text = str(sampled.architectures[0])
    nonsense = ("", "nonsense", "\0", "(", "x" * 2000)
    damaged = (text[:-1], text[1:], text * 2, f"{text}x", text.upper(), text.replace("0", "9"))
    for wrong in (*nonsense, *damaged):
        if fault := _fault(sampled.space, wrong, readable=wrong in damaged):
            return Verdict(False, f"{wrong[:80]!r}: expected a ValueError of one line, {fault}")
    return Verdict(True, f"{len(nonsense)} of nonsense, {len(damaged)} damaged ones")


def _fault(space: Space[Any], wrong: str, readable: bool) -> str:
    """What is amiss in how a wrong text is read; empty for nothing."""
    try:
        found = space.parse(wrong)
    except ValueError as error:
        return "" if str(error) and "\n" not in str(error) else f"got {str(error)!r}"
    except Exception as error:  # somebody else's parser may raise anything
        return f"got {type(error).__name__}: {error}"
    return "" if readable and space.parse(str(found)) == found else f"it is read as {found}"


def has_canonical_forms(sampled: Sampled) -> Verdict:
    """Each the form of itself, and discrete."""
    forms = [sampled.space.canonical(architecture) for architecture in sampled.architectures]
    for architecture, form in zip(sampled.architectures, forms, strict=True):
        if sampled.space.canonical(form) != form:
            return Verdict(False, f"that of {architecture} is {form}, which has another")
        if form.partial:
            return Verdict(False, f"that of {architecture} is {form}, which is partial")
    others = sum(map(ne, sampled.architectures, forms))
    return Verdict(True, f"{others} of {SAMPLES} have another architecture's")


def has_other_architectures_as_neighbours(sampled: Sampled) -> Verdict:
    """Each once, discrete, and not the architecture itself."""
    counts = []
    for architecture in sampled.architectures[:FEW]:
        around = sampled.space.neighbours(architecture)
        counts.append(len(around))
        if len(set(around)) < len(around):
            return Verdict(False, f"{architecture} has a neighbour twice")
        if architecture in around:
            return Verdict(False, f"{architecture} is a neighbour of itself")
        if partial := [other for other in around if other.partial]:
            return Verdict(False, f"{architecture} has the partial neighbour {partial[0]}")
    return Verdict(True, f"{', '.join(map(str, counts))} neighbours of {FEW} architectures")


def has_mutual_neighbours(sampled: Sampled) -> Verdict:
    """A search can go back in one step, to an architecture of the same canonical form."""
    canonical, ways, such = sampled.space.canonical, [0, 0], ""
    for architecture in sampled.architectures[:FEW]:
        for other in sampled.space.neighbours(architecture):
            back = sampled.space.neighbours(other)
            mutual = architecture in back or canonical(architecture) in map(canonical, back)
            ways[mutual] += 1
            if not mutual:
                such = f", such as from {other} to {architecture}"
    return Verdict(not ways[False], f"{ways[False]} of {sum(ways)} have no way back{such}")


def mutates_to_neighbours(sampled: Sampled) -> Verdict:
    """One of them, the same by the same seed."""
    for architecture in sampled.architectures[:FEW]:
        around = sampled.space.neighbours(architecture)
        found = [sampled.space.mutate(architecture, random.Random(seed)) for seed in range(10)]
        again = [sampled.space.mutate(architecture, random.Random(seed)) for seed in range(10)]
        if found != again:
            return Verdict(False, f"one seed gave two mutations of {architecture}")
        if others := [mutation for mutation in found if mutation not in around]:
            return Verdict(False, f"{architecture} mutates to {others[0]}, which is no neighbour")
    return Verdict(True, f"10 mutations of {FEW} architectures")


def enumerates_each_once(sampled: Sampled) -> Verdict:
    """In one order; if all could be enumerated, with every sample's canonical form among them."""
    try:
        found, ended = _enumerated(sampled)
    except NotImplementedError:
        return Verdict(None, "it enumerates none, as an infinite space")
    if not found:
        return Verdict(False, "nothing is enumerated")
    if len(set(found)) < len(found):
        (twice, _), *_ = Counter(found).most_common(1)
        return Verdict(False, f"{twice} comes twice")
    head = found[:100]
    if [*islice(sampled.space.enumerate(), len(head))] != head:
        return Verdict(False, "the order is another the second time")
    if partial := [architecture for architecture in head if architecture.partial]:
        return Verdict(False, f"{partial[0]} is partial")
    if not ended:
        return Verdict(True, f"the first {len(found):,}, of more")
    forms = {sampled.space.canonical(a) for a in found}
    missing = [str(a) for a in sampled.architectures if sampled.space.canonical(a) not in forms]
    if missing:
        return Verdict(False, f"{listed(missing)}: sampled, but not among the {len(found):,}")
    return Verdict(True, f"all {len(found):,}")


def _enumerated(sampled: Sampled) -> tuple[list[Any], bool]:
    """The first architectures, and whether they are all."""
    found, began = list[Any](), time.process_time()
    for architecture in sampled.space.enumerate():
        if len(found) == MOST or time.process_time() - began > SECONDS:
            return found, False
        found.append(architecture)
    return found, True


def can_be_drawn(sampled: Sampled) -> Verdict:
    """Cells of nodes in topological order, with edges between them."""
    for architecture in sampled.architectures:
        for graph in sampled.space.graphs(architecture):
            wrong = [e for e in graph.edges if not 0 <= e.source < e.target < len(graph.nodes)]
            if wrong:
                return Verdict(False, f"{architecture}: {wrong[0]} of {len(graph.nodes)} nodes")
    names = [graph.name for graph in sampled.space.graphs(sampled.architectures[0])]
    return Verdict(True, listed(names)) if names else Verdict(None, "it draws nothing")


def leaves_the_process_alone(sampled: Sampled) -> Verdict:
    """Samples, mutations and texts draw from the generator that they are given alone."""
    with surroundings(0) as changed:
        architectures = Sampled(sampled.space).architectures
        sampled.space.mutate(architectures[0], random.Random(0))
        sampled.space.canonical(sampled.space.parse(str(architectures[0])))
    return Verdict(not changed, f"changes {listed(changed)}" if changed else "nothing changes")


CONTRACT: dict[str, Check[Sampled]] = {
    "samples discrete architectures": samples_architectures,
    "samples the same by the same seed": samples_the_same_again,
    "reads its own texts": reads_its_own_texts,
    "refuses wrong texts": refuses_wrong_texts,
    "has canonical forms": has_canonical_forms,
    "has other architectures as neighbours": has_other_architectures_as_neighbours,
    "mutates to neighbours": mutates_to_neighbours,
    "enumerates each architecture once": enumerates_each_once,
    "can be drawn": can_be_drawn,
}
CONDUCT: dict[str, Check[Sampled]] = {"leaves the process alone": leaves_the_process_alone}
BEHAVIOUR: dict[str, Check[Sampled]] = {"has mutual neighbours": has_mutual_neighbours}
