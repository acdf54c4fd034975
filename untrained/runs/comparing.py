"""Training with one recipe: the selected architecture beside others, and its export; or a sample
of architectures."""

import logging
import random
import time
from collections.abc import Sequence
from typing import Any

from untrained.data import sha256
from untrained.images import Images
from untrained.images.splits import shorten
from untrained.runs.budgeting import at_pace, is_paced, within_budget
from untrained.runs.claimed import FIRST_PAUSE, LONGEST_PAUSE, Claimed, Pace, Planned
from untrained.runs.code import code_version, made_by, modules_of
from untrained.runs.identity import digest, question
from untrained.runs.references import sized
from untrained.runs.resolved import ResolvedConfig
from untrained.runs.session import Progress, Session
from untrained.runs.setup import training_scale
from untrained.runs.streams import stream
from untrained.runs.tasks import (
    Trained,
    TrainTask,
    build,
    initialised,
    network_size,
    training_images,
)
from untrained.searchers import Trial
from untrained.searchers.random_search import RandomSearch
from untrained.spaces import Architecture, Space
from untrained.spaces.pretrained import load_weights
from untrained.training import Origin, export, train

logger = logging.getLogger(__name__)


def train_all(session: Session, selected: Architecture) -> None:
    """Trains the selected architecture and others beside it, and exports the former."""
    roles: list[tuple[str, Architecture | str]] = [
        ("selected", selected),
        *(("random", architecture) for architecture in comparison(session, selected)),
        *(("reference", name) for name in references(session, selected)),
    ]
    tell_weights(session, selected)
    session = within_budget(session, [network for _, network in roles])
    seeds = seeds_of(session, session.config.repeats)
    asked = [(role, network, seed) for seed in seeds for role, network in roles]
    keys = [begin_training(session, i, *each) for i, each in enumerate(asked)]
    if not is_paced(session):
        session = at_pace(session, second_epoch(session, keys))
        keys = [begin_training(session, i, *each) for i, each in enumerate(asked)]
    rows = train_each(session, keys)
    export_selected(session, rows[keys[0]])


def train_sample(session: Session, architectures: Sequence[Architecture], repeats: int) -> None:
    """Trains every architecture so many times, each time with other weights and batches."""
    seeds = seeds_of(session, repeats)
    asked = [(architecture, seed) for seed in seeds for architecture in architectures]
    keys = [begin_training(session, i, "random", *each) for i, each in enumerate(asked)]
    train_each(session, keys)


def seeds_of(session: Session, repeats: int) -> list[int]:
    """The run's own seed, and those of repeated trainings, which no other run's seed is."""
    seed = session.config.seed
    return [seed, *(stream(seed, "repeat", k).initial_seed() for k in range(1, repeats))]


def second_epoch(session: Session, keys: Sequence[str]) -> float:
    """Seconds of the second epoch of all trainings: with the first, libraries load.

    What was trained before takes as long as was noted then.
    """
    train_each(session, keys, until=1)
    begun = time.perf_counter()
    rows = train_each(session, keys, until=2)
    noted = sum(row["epochs"][-1].seconds for row in rows.values() if row["epochs"])
    return max(time.perf_counter() - begun, noted / session.engine.lanes)


def train_each(
    session: Session, keys: Sequence[str], until: int | None = None
) -> dict[str, dict[str, Any]]:
    """Trains whatever was begun, an epoch of each at a time; and its rows by key.

    What another driver trains is left to it, for as long as it lives, and waited for at last.

    Args:
        session: of the trainings.
        keys: theirs.
        until: the epoch to stop after; None is the last.
    """
    session.store.end_trainings(session.run, len(keys))
    pace, pause = Pace(), FIRST_PAUSE
    try:
        while True:
            begun = time.perf_counter()
            rows = {row["key"]: row for row in session.store.trainings(session.run)}
            session.on_progress(progress_of(session, rows))
            left = [key for key in keys if not trained_until(rows[key], until)]
            if not left:
                return rows
            if train_once(session, rows, left, pace):
                pause = FIRST_PAUSE
            else:
                time.sleep(pause)
                pause = min(2 * pause, LONGEST_PAUSE)
            spent = time.perf_counter() - begun
            session.store.add_cost(session.run, "training", spent, wall=True)
    finally:
        session.store.claims.release(keys)


def train_once(
    session: Session, rows: dict[str, dict[str, Any]], left: Sequence[str], pace: Pace
) -> bool:
    """An epoch of each of the trainings that are left, and stored; of none if others have all.

    Args:
        session: of the trainings.
        rows: of all trainings, by key; epochs are added.
        left: keys of those that are to go on.
        pace: of claims.
    """
    tasks = [training_task(session, rows[key], len(rows[key]["epochs"]) + 1) for key in left]
    planned = [Planned(task, (key,)) for task, key in zip(tasks, left, strict=True)]
    claimed = Claimed(planned, session.store.claim_trainings, pace)
    for index, outcome in session.engine(claimed):
        if claimed.ended(index) is None:
            continue
        assert isinstance(outcome, Trained)
        row, training = rows[left[index]], outcome.training
        keep_training(session, row, outcome)
        row |= {"epochs": training.epochs, "finished": training.finished}
        session.on_progress(progress_of(session, rows))
    return any(claimed.given)


def trained_until(row: dict[str, Any], until: int | None) -> bool:
    """Whether a training has come so far; None is to its end."""
    return row["finished"] or (until is not None and len(row["epochs"]) >= until)


def progress_of(session: Session, rows: dict[str, dict[str, Any]]) -> Progress:
    """How many epochs of the trainings are done; one that ended early counts as whole."""
    each = session.config.recipe.epochs
    done = sum(each if row["finished"] else len(row["epochs"]) for row in rows.values())
    return Progress(f"training {len(rows)} networks", done, each * len(rows))


def comparison(session: Session, selected: Architecture) -> list[Architecture]:
    """Random architectures within the limits; none computes what the selected or another does."""
    compare = session.config.beside.random
    rng = random.Random(f"{session.config.seed}/compare")
    sampler = RandomSearch(session.eligible, (), 0, evaluations=compare + 1)
    proposals = sampler.propose([Trial(selected, (), "selected", {})], compare, rng)
    return [proposal.architecture for proposal in proposals]


def tell_weights(session: Session, selected: Architecture) -> None:
    """Says which weights of the selected architecture the file that it begins with lacks.

    Raises:
        ValueError: it has none of this network.
    """
    config = session.config
    if config.weights is None:
        return
    scale = training_scale(session.space, config)
    network = build(config.space, str(selected), scale, session.images)
    if left := load_weights(network, config.weights):
        names = shorten(list(left))
        logger.warning("%s: drawn at random, since nothing fits: %s", config.weights, names)


def references(session: Session, selected: Architecture) -> list[str]:
    """The networks by name that are trained beside it, each with the size that it is to have."""
    config = session.config
    if not config.beside.names:
        return []
    scale = training_scale(session.space, config)
    network = build(config.space, str(selected), scale, session.images)
    parameters, _ = network_size(network, session.images)
    return [sized(name, parameters, session.images) for name in config.beside.names]


def begin_training(
    session: Session, position: int, role: str, architecture: Architecture | str, seed: int
) -> str:
    """Notes a training in the store, and gives its key: equal for equal questions.

    A text is the name of a network that is no architecture of the space.
    """
    asked = training_question(session.config, session.space, session.images)
    if isinstance(architecture, str):
        asked |= reference_question(architecture)
    else:
        asked |= made_by(session.space, str(architecture))
        asked |= {"architecture": str(session.space.canonical(architecture))}
    asked["seed"] = seed
    if role == "selected" and session.config.weights is not None:
        asked["weights"] = sha256(session.config.weights)
    key = digest(asked)
    named = {"position": position, "role": role, "architecture": str(architecture)}
    session.store.begin_training(session.run, named, {"key": key, "question": asked})
    return key


def training_question(config: ResolvedConfig, space: Space[Any], images: Images) -> dict[str, Any]:
    """What decides every training of a run, but for the architecture."""
    modules = modules_of(config.space, space)
    return question(
        images=images.fingerprint,
        device=config.device,
        version=code_version(("spaces", "images", "training"), *modules),
        space=config.space,
        scale=training_scale(space, config),
        recipe=config.recipe,
        seed=config.seed,
        **{"training images": config.training.images},
    )


def reference_question(name: str) -> dict[str, Any]:
    """What is asked otherwise of a network by name: the space and its scale have no part in it."""
    version = code_version(("spaces", "images", "training"), *modules_of(name))
    return {"architecture": name, "space": None, "scale": None, "version": version}


def training_task(session: Session, row: dict[str, Any], until: int) -> TrainTask:
    """The training of this row up to an epoch."""
    config = session.config
    return TrainTask(
        space=row["question"]["space"],
        architecture=row["question"]["architecture"],
        scale=training_scale(session.space, config),
        recipe=config.recipe,
        images=config.training.images,
        seed=row["question"]["seed"],
        until=until,
        checkpoint=session.folder.checkpoint(row["key"]),
        device=config.device,
        weights=config.weights if "weights" in row["question"] else None,
    )


def keep_training(session: Session, row: dict[str, Any], outcome: Trained) -> None:
    """Stores how far a training has come.

    Raises:
        ValueError: code was edited since the run began, so that what was trained is not known.
    """
    now = training_question(session.config, session.space, session.images)
    if row["question"]["space"] is None:
        now |= reference_question(row["question"]["architecture"])
    if now["version"] != row["question"]["version"]:
        raise ValueError(
            "expected the code that the training began with, got files that were edited since; "
            "give the same command again: it trains anew"
        )
    training, evaluation = outcome.training, outcome.evaluation
    session.store.update_training(
        row["key"],
        training.epochs,
        {
            "parameters": outcome.parameters,
            "macs": outcome.macs,
            "best_epoch": training.best_epoch,
            "finished": training.finished,
            "reason": training.reason,
            "test_accuracy": evaluation and evaluation.accuracy,
            "confusion": evaluation and evaluation.confusion,
        },
    )


def export_selected(session: Session, row: dict[str, Any]) -> None:
    """Writes the selected architecture, trained, where it can be used without the library.

    Its accuracy on the test images is from then on that of the files as they were written.
    """
    if row["reason"]:
        return
    begun = time.perf_counter()
    session.on_progress(Progress("exporting the network", 0, 1))
    task = training_task(session, row, session.config.recipe.epochs)
    [(_, outcome)] = session.engine([task])  # trains again only where the checkpoint was lost
    assert isinstance(outcome, Trained)
    keep_training(session, row, outcome)
    if outcome.evaluation is None:
        return
    network = initialised(task, session.images)
    train(
        network,
        training_images(session.images, task.images, task.seed),
        task.recipe,
        seed=task.seed,
        checkpoint=task.checkpoint,
        device=task.device,
    )
    try:
        source, constructor = session.space.export(
            session.space.parse(task.architecture),
            task.scale,
            inputs=session.images.shape,
            classes=len(session.images.classes),
        )
    except (NotImplementedError, ValueError) as error:  # the training is kept
        logger.warning(f"the network is not exported: {error}")
        return
    try:
        exported = export(
            network.cpu(),
            session.folder.network,
            images=session.images,
            source=source,
            constructor=constructor,
            origin=Origin(
                session.folder.name,
                row["architecture"],
                task.recipe,
                task.images,
                outcome.training.best_epoch,
            ),
            accuracy=outcome.evaluation.accuracy,
        )
    except Exception as error:  # the source may be somebody else's
        raise ValueError(f"{session.folder.network}: {error}; the training is kept") from error
    keep_training(session, row, outcome._replace(evaluation=exported.evaluation))
    for note in exported.notes:
        logger.warning(note)
    session.store.add_cost(session.run, "export", time.perf_counter() - begun)
    session.on_progress(Progress("exporting the network", 1, 1))
