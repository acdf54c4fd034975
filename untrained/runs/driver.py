"""The loop: propose, measure, store; then train what was picked. Killed anywhere, it resumes.

What is stored is the whole state. A batch of trials is stored when all of it is measured, each
measurement as soon as it is made. So a run that begins again proposes the batch under way from
the same history, with the same random numbers, and finds what it had measured of it.
"""

import platform
import random
import re
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import partial
from importlib.metadata import version
from typing import Any, NamedTuple

from untrained.images import Images, load_images
from untrained.runs.config import RunConfig, digest
from untrained.runs.engines import Engine, start_engine
from untrained.runs.folder import RunFolder
from untrained.runs.instrument import check_probe, make_instrument, training_scale
from untrained.runs.measuring import Measuring, code_version, history_of
from untrained.runs.store import Store
from untrained.runs.tasks import Train, Trained, build
from untrained.search import Goal, Searcher, make_searcher
from untrained.spaces import Architecture, Space, get_space
from untrained.training import Exported, export, train


class Progress(NamedTuple):
    """How far a phase has come."""

    phase: str
    "For people: `search, batch 2`, `training 6 networks`."
    done: int
    total: int


Watch = Callable[[Progress], None]


def ignore(progress: Progress) -> None:
    """Watches nothing."""


@dataclass(frozen=True)
class Session:
    """A run that is open: what is asked, what answers it, and where answers are kept."""

    config: RunConfig
    images: Images
    space: Space[Any]
    searcher: Searcher
    measuring: Measuring
    folder: RunFolder
    store: Store
    engine: Engine
    watch: Watch

    @property
    def id(self) -> str:
        """The run's key in the store."""
        return self.measuring.run


def run(config: RunConfig, watch: Watch = ignore) -> RunFolder:
    """From images to a picked network; trained, compared and exported if `config.train`.

    Run again with the same configuration after it was stopped anyhow, it goes on where it was
    and ends with the same numbers.

    Args:
        config: everything that is asked.
        watch: called as work proceeds.

    Returns:
        The run's folder; the store beside it holds every number.

    Raises:
        ValueError: a configuration, image set or plug-in that makes no sense.
        OSError: files that are missing or cannot be written, or a run held by another process.
    """
    begun = time.perf_counter()
    config.check()
    space = get_space(config.space)
    instruments = tuple(
        make_instrument(name, space, config.instruments.get(name, {})) for name in config.scores
    )
    goals = tuple(Goal(i.name, i.score.higher_is_better) for i in instruments)
    searcher = make_searcher(config.searcher, space, goals, config.draws, config.options)
    training_scale(space, config.scale, config.channels, config.cells)  # refuse it now, not later
    _check_named(config)
    images = load_images(config.images, size=config.size, seed=config.seed)
    for instrument in instruments:
        check_probe(instrument, images)
    identity = config.identity(images.fingerprint)
    folder = RunFolder(config.out, run_name(config, images, identity))
    with folder.held(), start_engine(config.workers, images) as engine:
        store = Store.open(folder.store)
        store.begin_run(identity, describe(config, images, goals, folder.name))
        store.add_cost(identity, "load images", time.perf_counter() - begun)
        measuring = Measuring(identity, config, space, instruments, images, store, engine)
        session = Session(config, images, space, searcher, measuring, folder, store, engine, watch)
        pick = search(session)
        if config.train and pick is not None:
            train_all(session, pick)
        store.close()
    return folder


def _check_named(config: RunConfig) -> None:
    unused = set(config.instruments) - set(config.scores)
    if unused:
        raise ValueError(
            f"instruments: expected settings of the scores {', '.join(config.scores)}, got some "
            f"of {', '.join(sorted(unused))}"
        )


def run_name(config: RunConfig, images: Images, identity: str) -> str:
    """What the run's folder is called: readable first, unique at the end."""
    words = "-".join((images.name, config.space, config.searcher, f"seed{config.seed}"))
    return f"{re.sub(r'[^A-Za-z0-9_-]+', '_', words)}-{identity[:8]}"


def describe(
    config: RunConfig, images: Images, goals: tuple[Goal, ...], name: str
) -> dict[str, Any]:
    """The run's row in the store."""
    return {
        "name": name,
        "space": config.space,
        "searcher": config.searcher,
        "config": config.plain(),
        "images": {
            "name": images.name,
            "classes": list(images.classes),
            "train": len(images.train),
            "validation": len(images.validation),
            "test": len(images.test),
            "shape": list(images.shape),
            "fingerprint": images.fingerprint,
            "notes": list(images.notes),
        },
        "versions": {
            **{package: version(package) for package in ("untrained", "torch", "numpy")},
            "code": code_version(),
            "python": platform.python_version(),
            "machine": f"{platform.machine()}, {platform.system()}",
        },
        "directions": {goal.score: 1 if goal.higher_is_better else -1 for goal in goals},
    }


def search(session: Session) -> Architecture | None:
    """Proposes and measures until the searcher has nothing to ask; then notes its pick."""
    begun = time.perf_counter()
    store, searcher = session.store, session.searcher
    rows = store.trials(session.id)
    while True:
        history = history_of(session.space, rows)
        rng = random.Random(f"{session.config.seed}/{len(history)}")
        proposals = searcher.propose(history, session.config.batch, rng)
        if not proposals:
            break
        batch = 1 + (rows[-1]["batch"] if rows else -1)
        phase = f"search, batch {batch + 1}: {len(proposals)} architectures"
        session.measuring.measure(proposals, partial(_watch, session.watch, phase))
        store.add_trials(
            [
                {
                    "run": session.id,
                    "number": len(history) + i,
                    "batch": batch,
                    "architecture": str(proposal.architecture),
                    "draws": list(proposal.draws),
                    "note": proposal.note,
                    "measurements": session.measuring.keys(proposal),
                }
                for i, proposal in enumerate(proposals)
            ]
        )
        rows = store.trials(session.id)
    pick = searcher.pick(history)
    store.set_pick(session.id, None if pick is None else str(pick))
    store.add_cost(session.id, "search", time.perf_counter() - begun, wall=True)
    return pick


def _watch(watch: Watch, phase: str, done: int, total: int) -> None:
    watch(Progress(phase, done, total))


def train_all(session: Session, pick: Architecture) -> None:
    """Trains the pick and the random architectures beside it, an epoch of each at a time."""
    begun = time.perf_counter()
    roles = [("pick", pick), *(("random", a) for a in comparison(session, pick))]
    keys = [begin_training(session, i, role, a) for i, (role, a) in enumerate(roles)]
    session.store.end_trainings(session.id, len(keys))
    phase = f"training {len(keys)} networks"
    total = len(keys) * session.config.recipe.epochs
    while True:
        rows = {row["key"]: row for row in session.store.trainings(session.id)}
        left = [key for key in dict.fromkeys(keys) if not rows[key]["finished"]]
        done = total - sum(session.config.recipe.epochs - len(rows[k]["epochs"]) for k in left)
        session.watch(Progress(phase, done, total))
        if not left:
            break
        tasks = [training_task(session, rows[key], len(rows[key]["epochs"]) + 1) for key in left]
        for index, outcome in session.engine(tasks):
            assert isinstance(outcome, Trained)
            keep_training(session, left[index], outcome)
            session.watch(Progress(phase, done := done + 1, total))
    session.store.add_cost(session.id, "training", time.perf_counter() - begun, wall=True)
    export_pick(session, rows[keys[0]])


def comparison(session: Session, pick: Architecture) -> list[Architecture]:
    """Random architectures of the space, none computing what the pick or another computes."""
    space, rng = session.space, random.Random(f"{session.config.seed}/compare")
    found: dict[Architecture, Architecture] = {space.canonical(pick): pick}
    while len(found) <= session.config.compare:
        architecture = space.sample(rng)
        found.setdefault(space.canonical(architecture), architecture)
    return list(found.values())[1:]


def begin_training(session: Session, position: int, role: str, architecture: Architecture) -> str:
    """Notes a training in the store, and gives its key: equal for equal questions."""
    config = session.config
    scale = training_scale(session.space, config.scale, config.channels, config.cells)
    question = {
        "space": config.space,
        "architecture": str(session.space.canonical(architecture)),
        "scale": asdict(scale),
        "recipe": asdict(config.recipe),
        "images": session.images.fingerprint,
        "seed": config.seed,
        "device": config.device,
    }
    key = digest(question)
    row = {"key": key, "question": question, "architecture": str(architecture)}
    session.store.begin_training(session.id, position, role, row)
    return key


def training_task(session: Session, row: dict[str, Any], until: int) -> Train:
    """The training of this row up to an epoch."""
    config = session.config
    return Train(
        space=config.space,
        architecture=row["question"]["architecture"],
        scale=training_scale(session.space, config.scale, config.channels, config.cells),
        recipe=config.recipe,
        seed=config.seed,
        until=until,
        checkpoint=session.folder.checkpoint(row["key"]),
        device=config.device,
    )


def keep_training(session: Session, key: str, outcome: Trained) -> None:
    """Stores how far a training has come."""
    training, evaluation = outcome.training, outcome.evaluation
    session.store.update_training(
        key,
        training.epochs,
        {
            "parameters": outcome.parameters,
            "macs": outcome.macs,
            "best_epoch": training.best_epoch,
            "finished": training.finished,
            "failure": training.failure,
            "test_accuracy": evaluation and evaluation.accuracy,
            "confusion": evaluation and evaluation.confusion,
        },
    )


def export_pick(session: Session, row: dict[str, Any]) -> Exported | None:
    """Writes the trained pick where it can be used without the library."""
    if row["failure"]:
        return None
    begun = time.perf_counter()
    session.watch(Progress("exporting the network", 0, 1))
    task = training_task(session, row, session.config.recipe.epochs)
    network = build(task.space, task.architecture, task.scale, session.images)
    train(
        network,
        session.images,
        task.recipe,
        seed=task.seed,
        checkpoint=task.checkpoint,
        device=task.device,
    )
    source, constructor = session.space.export(
        session.space.parse(task.architecture),
        task.scale,
        inputs=session.images.shape[0],
        classes=len(session.images.classes),
    )
    exported = export(
        network.cpu(),
        session.folder.network,
        images=session.images,
        source=source,
        constructor=constructor,
        title=f"{session.folder.name}: {row['architecture']}",
    )
    session.store.add_cost(session.id, "export", time.perf_counter() - begun)
    session.watch(Progress("exporting the network", 1, 1))
    return exported
