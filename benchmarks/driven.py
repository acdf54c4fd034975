"""A search as a driver has it, whose tasks are done at once, or by an engine that is given."""

import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from untrained.images import load_images
from untrained.runs.config import RunConfig
from untrained.runs.described import describe
from untrained.runs.engines import Engine
from untrained.runs.measuring import Measuring
from untrained.runs.presets import resolve
from untrained.runs.readings import Measurement
from untrained.runs.session import Session, ignore
from untrained.runs.setup import make_setups
from untrained.runs.tasks import Outcome, ScoreTask, Task
from untrained.scores import Reading
from untrained.searchers import Goal, make_searcher
from untrained.settings import Setting
from untrained.spaces import get_space
from untrained.storage.folder import RunFolder
from untrained.storage.store import Store

RUN = "run"
"Name and key of the run, and of its search."


def made_up(architecture: str) -> Reading:
    """What stands for a score."""
    return Reading(float(zlib.crc32(architecture.encode())))


class AtOnce:
    """An engine that makes numbers up."""

    lanes = 1

    def __call__(self, tasks: Sequence[Task]) -> Iterator[tuple[int, Outcome]]:
        for i in range(len(tasks)):
            task = tasks[i]
            assert isinstance(task, ScoreTask)
            made = [Measurement(made_up(task.architecture), 0.0)] * len(task.setups)
            yield i, [made for _ in task.draws]


AT_ONCE = AtOnce()


@contextmanager
def opened(
    searcher: str,
    space: str,
    options: dict[str, Setting],
    out: Path,
    *,
    proposals: int = 8,
    asynchronous: bool = False,
    engine: Engine = AT_ONCE,
) -> Iterator[Session]:
    """A session of a search by `parameters`, whose store and folder are in `out`."""
    config = resolve(
        RunConfig(
            space=space,
            searcher=searcher,
            options=options,
            scores=("parameters",),
            draws=1,
            proposals=proposals,
            asynchronous=asynchronous,
            out=out,
        )
    )
    found, images = get_space(space), load_images(config.images)
    setups = make_setups(found, config)
    goals = tuple(Goal(i.name, i.score.higher_is_better) for i in setups)
    folder = RunFolder(out, RUN)
    folder.path.mkdir(parents=True, exist_ok=True)
    with Store.open(folder.store) as store:
        store.begin_run(RUN, {**describe(config, images, setups, goals, RUN), "search": RUN})
        yield Session(
            config=config,
            images=images,
            space=found,
            eligible=found,
            searcher=make_searcher(searcher, found, goals, config.draws, config.options),
            measuring=Measuring(RUN, config, found, setups, images, store, engine),
            folder=folder,
            store=store,
            engine=engine,
            on_progress=ignore,
            run=RUN,
            asked=config,
        )
