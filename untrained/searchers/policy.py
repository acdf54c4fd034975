"""A policy over a space: how probable each operation of an edge, and each edge of a node, is.

p(a) = prod over decisions of p(what a takes),    p of each by a softmax of its logits theta
"""

import random
from collections.abc import Sequence
from itertools import groupby, permutations
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float

from untrained.spaces.space import Architecture, Choice, PrunableSpace

Vector = Float[np.ndarray, " n"]
Logits = list[Float[np.ndarray, " _"]]
"A vector for each decision."


class Decision(NamedTuple):
    """What the policy draws `keep` of, without replacement."""

    options: tuple[Choice, ...] | tuple[int, ...]
    "The operations of an edge; or the numbers of the edges into a node."
    keep: int


def decisions_of(space: PrunableSpace[Any]) -> list[Decision]:
    """One for each edge, then one for each node with more edges than it keeps."""
    everything = space.everything()
    edges = [
        tuple(kept) for _, kept in groupby(space.kept(everything), key=lambda choice: choice.edge)
    ]
    one_each = space.without(everything, *(choice for kept in edges for choice in kept[1:]))
    return [
        *(Decision(kept, 1) for kept in edges),
        *(
            Decision(tuple(choice.edge for choice in crowd.choices), crowd.keep)
            for crowd in space.crowded(one_each)
        ),
    ]


def taken_in(space: PrunableSpace[Any], architecture: Architecture) -> set[Choice | int]:
    """The options that led to a discrete architecture: its operations, and its edges."""
    kept = space.kept(architecture)
    return {*kept, *(choice.edge for choice in kept)}


def sampled(
    space: PrunableSpace[Any],
    decisions: Sequence[Decision],
    logits: Logits,
    rng: random.Random,
) -> Architecture:
    """One discrete architecture, drawn from the policy."""
    kept = []
    for decision, theta in zip(decisions, logits, strict=True):
        left = list(range(len(theta)))
        weights = np.exp(theta - theta.max())
        for _ in range(decision.keep):
            left.remove(rng.choices(left, weights[left].tolist())[0])
        kept.append([k for k in range(len(theta)) if k not in left])
    return architecture_of(space, decisions, kept)


def architecture_of(
    space: PrunableSpace[Any], decisions: Sequence[Decision], kept: Sequence[Sequence[int]]
) -> Architecture:
    """The architecture with these options of each decision, by their places."""
    everything = space.everything()
    lost: set[Choice | int] = set()
    for decision, places in zip(decisions, kept, strict=True):
        lost |= {decision.options[k] for k in range(len(decision.options)) if k not in places}
    gone = (c for c in space.kept(everything) if c in lost or c.edge in lost)
    return space.without(everything, *gone)


def d_log_policy(
    space: PrunableSpace[Any],
    decisions: Sequence[Decision],
    logits: Logits,
    architecture: Architecture,
) -> Logits:
    """The gradient of log p of a discrete architecture."""
    taken = taken_in(space, architecture)
    return [
        d_log_probability(theta, [k for k, o in enumerate(decision.options) if o in taken])
        for decision, theta in zip(decisions, logits, strict=True)
    ]


def d_log_probability(theta: Vector, chosen: Sequence[int]) -> Vector:
    """The gradient of the log-probability that `chosen` are drawn, in any order.

    Without replacement (Plackett & Luce), with p the softmax of theta over what is left:

        p(order) = prod_i p(o_i | o_1 ... o_{i-1} gone)
        d log p(order) / d theta = sum_i (onehot(o_i) - p(. | o_1 ... o_{i-1} gone))
        d log sum_order p(order) / d theta = sum_order p(order) d log p(order) / sum_order p(order)

    Nothing chosen, no gradient: it does not matter which operation an absent edge would have.
    """
    total, gradient = 0.0, np.zeros_like(theta)
    for order in permutations(chosen):
        left = np.exp(theta - theta.max())
        probability, d_log = 1.0, np.zeros_like(theta)
        for o in order:
            p = left / left.sum()
            probability *= p[o]
            d_log -= p
            d_log[o] += 1
            left[o] = 0
        total += probability
        gradient += probability * d_log
    return gradient / total


def d_entropy(theta: Vector) -> Vector:
    """The gradient of H = -sum_k p_k log p_k, which is -p (log p + H), with p the softmax."""
    log_p = theta - theta.max() - np.log(np.exp(theta - theta.max()).sum())
    p = np.exp(log_p)
    return -p * (log_p - p @ log_p)
