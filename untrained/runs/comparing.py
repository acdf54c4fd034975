"""Comparing: the pick and random architectures, trained with one recipe; and the pick's export."""

import logging
import random
import time
from dataclasses import asdict
from typing import Any

from untrained.runs.config import digest
from untrained.runs.instrument import training_scale
from untrained.runs.measuring import code_version
from untrained.runs.session import Progress, Session
from untrained.runs.tasks import Train, Trained, build
from untrained.search import Trial
from untrained.search.random_search import RandomSearch
from untrained.spaces import Architecture
from untrained.training import export, train

logger = logging.getLogger(__name__)


def train_all(session: Session, pick: Architecture) -> None:
    """Trains the pick and the random architectures beside it, an epoch of each at a time."""
    roles = [("pick", pick), *(("random", a) for a in comparison(session, pick))]
    keys = [begin_training(session, i, role, a) for i, (role, a) in enumerate(roles)]
    session.store.end_trainings(session.id, len(keys))
    phase = f"training {len(keys)} networks"
    total = len(keys) * session.config.recipe.epochs
    while True:
        begun = time.perf_counter()
        rows = {row["key"]: row for row in session.store.trainings(session.id)}
        left = [key for key in keys if not rows[key]["finished"]]
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
    compare = session.config.compare
    rng = random.Random(f"{session.config.seed}/compare")
    sampler = RandomSearch(session.space, (), 0, evaluations=compare + 1)
    proposals = sampler.propose([Trial(pick, (), "pick", {})], compare, rng)
    return [proposal.architecture for proposal in proposals]


def begin_training(session: Session, position: int, role: str, architecture: Architecture) -> str:
    """Notes a training in the store, and gives its key: equal for equal questions."""
    config = session.config
    scale = training_scale(session.space, config)
    question = {
        "space": config.space,
        "architecture": str(session.space.canonical(architecture)),
        "scale": asdict(scale),
        "recipe": asdict(config.recipe),
        "images": session.images.fingerprint,
        "seed": config.seed,
        "device": config.device,
        "version": code_version(("spaces", "images", "training"), type(session.space).__module__),
    }
    key = digest(question)
    named = {"position": position, "role": role, "architecture": str(architecture)}
    session.store.begin_training(session.id, named, {"key": key, "question": question})
    return key


def training_task(session: Session, row: dict[str, Any], until: int) -> Train:
    """The training of this row up to an epoch."""
    config = session.config
    return Train(
        space=config.space,
        architecture=row["question"]["architecture"],
        scale=training_scale(session.space, config),
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


def export_pick(session: Session, row: dict[str, Any]) -> None:
    """Writes the trained pick where it can be used without the library."""
    if row["failure"]:
        return
    begun = time.perf_counter()
    session.watch(Progress("exporting the network", 0, 1))
    task = training_task(session, row, session.config.recipe.epochs)
    for _ in session.engine([task]):  # trains again only where the checkpoint was lost
        pass
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
    for note in exported.notes:
        logger.warning(note)
    session.store.add_cost(session.id, "export", time.perf_counter() - begun)
    session.watch(Progress("exporting the network", 1, 1))
