"""Partial architectures and their supernets, of spaces that can be pruned."""

import random
from typing import Any

from untrained.conformance.finding import Check, Verdict
from untrained.conformance.sampled import CLASSES, Sampled, logits, noise
from untrained.spaces import Architecture, Choice, PrunableSpace, prunable

FEW = 3
"Architectures all of whose neighbours are looked at."
SCALE = "small"


def has_a_supernet(sampled: Sampled) -> Verdict:
    """A partial architecture, with a text, the canonical form of itself; and its network."""
    space = prunable(sampled.space)
    for partial in (space.supernet(), space.everything()):
        if not partial.partial:
            return Verdict(False, f"{partial} is discrete")
        if space.parse(str(partial)) != partial:
            return Verdict(False, f"{partial} is read as {space.parse(str(partial))}")
        shape = tuple(logits(sampled.drawn(partial), noise(sampled.small)).shape)
        if shape != (2, CLASSES):
            return Verdict(False, f"expected logits of shape (2, {CLASSES}), got {shape}")
    return Verdict(True, f"{len(space.kept(space.supernet()))} operations")


def keeps_what_is_not_removed(sampled: Sampled) -> Verdict:
    """`without` removes one choice, and no other."""
    space = prunable(sampled.space)
    whole = space.supernet()
    kept = space.kept(whole)
    for choice in space.choices(whole):
        left = space.kept(space.without(whole, choice))
        if left != tuple(other for other in kept if other != choice):
            gone = [other for other in kept if other not in left]
            return Verdict(False, f"without {choice}: {gone} went")
    return Verdict(True, f"{len(kept)} choices, one by one")


def prunes_to_discrete_architectures(sampled: Sampled) -> Verdict:
    """Choices removed at random leave an architecture that has a text and a network."""
    space, rng = prunable(sampled.space), random.Random(0)
    for _ in range(FEW):
        left = _pruned(space, rng)
        if left.partial:
            return Verdict(False, f"{left} has no choices left, and is partial")
        if space.parse(str(left)) != left:
            return Verdict(False, f"{left} is read as {space.parse(str(left))}")
        logits(sampled.drawn(left), noise(sampled.small))
    return Verdict(True, f"{FEW} times, such as {left}")


def _pruned(space: PrunableSpace[Any], rng: random.Random) -> Architecture:
    left: Architecture = space.supernet()
    while choices := space.choices(left):
        left = space.without(left, rng.choice(choices))
    while crowds := space.crowded(left):
        left = space.without(left, rng.choice(crowds[0].choices))
    return left


def has_neighbours_that_differ_in_one_choice(sampled: Sampled) -> Verdict:
    """One choice less and one more."""
    space = prunable(sampled.space)
    for architecture in sampled.architectures[:FEW]:
        own = set(space.kept(architecture))
        for other in space.neighbours(architecture):
            theirs = set(space.kept(other))
            if len(own - theirs) > 1 or len(theirs - own) > 1:
                return Verdict(False, f"{architecture} has the neighbour {other}")
    return Verdict(True, f"of {FEW} architectures")


def describes_choices(sampled: Sampled) -> Verdict:
    """Each in a line of its own."""
    space = prunable(sampled.space)
    choices: tuple[Choice, ...] = space.kept(space.supernet())
    lines = [space.describe(choice) for choice in choices]
    if any("\n" in line or not line for line in lines) or len(set(lines)) < len(lines):
        return Verdict(False, "expected a line for each choice, and no two equal")
    return Verdict(True, lines[0])


CONTRACT: dict[str, Check[Sampled]] = {
    "has a supernet": has_a_supernet,
    "keeps what is not removed": keeps_what_is_not_removed,
    "prunes to discrete architectures": prunes_to_discrete_architectures,
    "has neighbours that differ in one choice": has_neighbours_that_differ_in_one_choice,
    "describes its choices": describes_choices,
}
