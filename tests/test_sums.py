"""Sizes: added up from a few networks, as of the whole one; measured once for all draws."""

import random
from pathlib import Path
from typing import ClassVar

import pytest
from measured import readings

from untrained.images import load_images
from untrained.runs.config import RunConfig
from untrained.runs.driver import run
from untrained.runs.record import load_record
from untrained.runs.setup import make_setup
from untrained.runs.sums import CHECKED, Readings, summed
from untrained.runs.tasks import ScoreTask, measure, perform
from untrained.scores import Reading
from untrained.spaces import SPACES, Architecture, get_space
from untrained.spaces.nasbench201 import NASBench201, NB201Architecture
from untrained.spaces.space import prunable

SPACE = get_space("nasbench201")
NAMES = ("parameters", "macs", "trainable_layers")


def some(count: int, seed: int) -> list[Architecture]:
    """Discrete architectures and partial ones in turn, and the two ends of the space."""
    rng, space = random.Random(seed), prunable(SPACE)
    everything = space.everything()
    found = [everything, space.parse("|none~0|+|none~0|none~1|+|none~0|none~1|none~2|")]
    while len(found) < count:
        found.append(space.sample(rng))
        lost = rng.sample(space.kept(everything), rng.randrange(1, 20))
        if all((fewer := space.without(everything, *lost)).edges):
            found.append(fewer)
    return found


@pytest.mark.parametrize("scale", ["full", "small", "thin"])
def test_sums_over_terms_are_the_sizes_of_the_network(scale: str) -> None:
    images = load_images("digits")
    setups = tuple(make_setup(name, SPACE, {"scale": scale}) for name in NAMES)
    for architecture in some(8 if scale == "full" else 40, seed=len(scale)):
        task = ScoreTask("nasbench201", str(architecture), setups, (0,), "cpu")
        summed, measured = perform(task, images)[0], measure(task, images)[0]
        assert isinstance(summed, list)
        assert readings(summed) == readings(measured)


@pytest.mark.parametrize("name", SPACES)
def test_terms_hold_the_modules_of_the_network(name: str) -> None:
    space = get_space(name)
    scale = space.scales["thin"]

    def parameters(architecture: Architecture) -> int:
        network = space.build(architecture, scale, inputs=(1, 32, 32), classes=10)
        return sum(p.numel() for p in network.parameters())

    for seed in range(10):
        architecture = space.sample(random.Random(seed))
        terms = space.terms(architecture)
        assert parameters(architecture) == sum(n * parameters(a) for a, n in terms.items())


class Wrong(NASBench201):
    """Forgets what every network has."""

    def terms(self, architecture: NB201Architecture) -> dict[NB201Architecture, int]:
        return {a: abs(n) for a, n in super().terms(architecture).items()}


def length(architecture: str) -> Readings:
    """A score that is no sum over operations."""
    return (Reading(float(len(architecture))),)


@pytest.mark.parametrize("space", [SPACE, Wrong()])
def test_what_is_no_sum_is_measured_as_a_whole(space: NASBench201) -> None:
    for architecture in map(str, some(20, seed=0)):
        assert summed(space, architecture, ("length", type(space)), length) == length(architecture)


class Counted:
    """A score that counts its calls, and adds up."""

    calls: ClassVar[list[str]] = []

    def __call__(self, architecture: str) -> Readings:
        self.calls.append(architecture)
        return (Reading(float(architecture.count("conv"))),)


def test_few_networks_are_measured_for_many() -> None:
    score, architectures = Counted(), list(map(str, some(60, seed=1)[2:]))
    for architecture in architectures:
        assert summed(SPACE, architecture, "counted", score) == (
            Reading(float(architecture.count("conv"))),
        )
    assert len(score.calls) <= 25 + CHECKED


def failing(architecture: str) -> Readings:
    """A score that fails wherever an edge has a convolution alone."""
    alone = architecture.count("none") == 5 and "conv" in architecture
    return (Reading(None, "alone") if alone else Reading(float(architecture.count("conv"))),)


def test_where_a_term_fails_the_network_is_measured() -> None:
    for architecture in map(str, some(20, seed=2)):
        assert summed(SPACE, architecture, "failing", failing) == failing(architecture)


def test_one_measurement_of_a_size_stands_for_all_draws(tmp_path: Path) -> None:
    folder = run(
        RunConfig(
            searcher="random", options={"evaluations": 2}, scores=("parameters", "macs"),
            draws=3, workers=0, out=tmp_path,
        )
    )  # fmt: skip
    record = load_record(folder.store, folder.name)
    for trial in record.trials:
        for column in trial.readings.values():
            assert len(column) == 3
            assert len(set(column)) == 1
            assert column[0].value
    counts = {cost.step: cost.count for cost in record.costs}
    assert counts["parameters"] == counts["macs"] == 2


def test_a_size_after_training_is_of_a_network_with_weights() -> None:
    setup = make_setup("parameters@1", SPACE, {})
    assert setup.weights == "torch_default"
    assert make_setup("parameters", SPACE, {}).weights is None
    assert make_setup("parameters", SPACE, {"weights": "orthogonal"}).weights == "orthogonal"
