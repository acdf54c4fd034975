"""Measuring: what was measured is stored, together where it is quick, and not lost."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from untrained.images import load_images
from untrained.runs.config import RunConfig
from untrained.runs.measuring import HELD, HELD_SECONDS, Measuring
from untrained.runs.presets import resolve
from untrained.runs.readings import Measurement
from untrained.runs.setup import make_setups
from untrained.runs.tasks import Outcome, ScoreTask, Task
from untrained.scores import Reading
from untrained.searchers import Proposal
from untrained.spaces import get_space
from untrained.storage.store import Store


class Made:
    """An engine that makes numbers up and notes how many are stored when it goes on."""

    lanes = 1

    def __init__(self, store: Store, seconds: float, until: int | None = None):
        self.store, self.seconds, self.until = store, seconds, until
        self.stored: list[int] = []

    def __call__(self, tasks: Sequence[Task]) -> Iterator[tuple[int, Outcome]]:
        for i, task in enumerate(tasks):
            if i == self.until:
                raise KeyboardInterrupt
            assert isinstance(task, ScoreTask)
            yield i, [[Measurement(Reading(float(i)), self.seconds)] for _ in task.draws]
            self.stored.append(self.count())

    def count(self) -> int:
        """How many measurements are stored."""
        return sum(count for _, count, _ in self.store.costs("run", wall=False))


def measuring(tmp_path: Path, store: Store, engine: Made) -> Measuring:
    config = resolve(RunConfig(scores=("parameters",), draws=1, out=tmp_path))
    space, images = get_space(config.space), load_images("digits")
    return Measuring("run", config, space, make_setups(space, config), images, store, engine)


def proposals(count: int) -> list[Proposal]:
    found = zip(range(count), get_space("nasbench201").enumerate(), strict=False)
    return [Proposal(architecture, (0,), "given") for _, architecture in found]


def ignore(done: int, total: int) -> None:
    """Watches nothing."""


@pytest.mark.parametrize(
    ("seconds", "stored"),
    [
        (2 * HELD_SECONDS, [1, 2, 3, 4, 5]),  # what took long, at once
        (0.4 * HELD_SECONDS, [0, 0, 3, 3, 3]),
        (0.0, [0, 0, 0, 0, 0]),
    ],
)
def test_what_is_quick_is_stored_together(
    tmp_path: Path, seconds: float, stored: list[int]
) -> None:
    with Store.open(tmp_path / "store.db") as store:
        engine = Made(store, seconds)
        measuring(tmp_path, store, engine).measure(proposals(5), ignore)
        assert engine.stored == stored
        assert engine.count() == 5


def test_so_many_and_no_more_wait_to_be_stored(tmp_path: Path) -> None:
    with Store.open(tmp_path / "store.db") as store:
        engine = Made(store, 0.0)
        measuring(tmp_path, store, engine).measure(proposals(HELD + 3), ignore)
        assert engine.stored == [0] * (HELD - 1) + [HELD] * 4
        assert engine.count() == HELD + 3


def test_an_interrupt_loses_nothing(tmp_path: Path) -> None:
    with Store.open(tmp_path / "store.db") as store:
        engine = Made(store, 0.0, until=3)
        asked = measuring(tmp_path, store, engine)
        with pytest.raises(KeyboardInterrupt):
            asked.measure(proposals(5), ignore)
        assert engine.count() == 3
        assert len(asked.tasks(proposals(5))) == 2
