"""Scores: a network, a probe and a generator in, one number or a reason out.

A new score is a file with a frozen dataclass and a line in `SCORES`; the contract test enrols it.
"""

from untrained.plugins import find
from untrained.scores.condition_number import ConditionNumber
from untrained.scores.linear_regions import LinearRegions
from untrained.scores.score import Reading, Score
from untrained.scores.size import MultiplyAdds, Parameters, TrainableLayers

__all__ = ["SCORES", "Reading", "Score", "get_score"]

SCORES: dict[str, type[Score]] = {
    "condition_number": ConditionNumber,
    "linear_regions": LinearRegions,
    "parameters": Parameters,
    "macs": MultiplyAdds,
    "trainable_layers": TrainableLayers,
}


def get_score(name: str) -> type[Score]:
    """The score of this name, or the class at `package.module:name`."""
    return find("score", name, SCORES, Score)
