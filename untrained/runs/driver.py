"""The loop: propose, measure, store; then train what was picked. Killed anywhere, it resumes.

What is stored is the whole state. A batch of trials is stored when all of it is measured, each
measurement as soon as it is made. So a run that begins again proposes the batch under way from
the same history, with the same random numbers, and finds what it had measured of it.
"""

import platform
import random
import re
import time
from importlib.metadata import version
from typing import Any

from torch import nn

from untrained.images import Images, load_images
from untrained.runs.comparing import train_all
from untrained.runs.config import RunConfig
from untrained.runs.engines import start_engine
from untrained.runs.folder import RunFolder
from untrained.runs.instrument import check_probe, make_instrument, training_scale
from untrained.runs.measuring import Measuring, version_of
from untrained.runs.presets import with_preset, with_recipe
from untrained.runs.searching import search
from untrained.runs.session import Session, Watch, ignore
from untrained.runs.store import Store
from untrained.runs.tasks import build
from untrained.search import Goal, make_searcher
from untrained.spaces import get_space
from untrained.training import check_fits


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
    config = with_preset(with_recipe(config).check())
    space = get_space(config.space)
    instruments = tuple(
        make_instrument(name, space, config.instruments.get(name, {})) for name in config.scores
    )
    goals = tuple(Goal(i.name, i.score.higher_is_better) for i in instruments)
    searcher = make_searcher(config.searcher, space, goals, config.draws, config.options)
    scale = training_scale(space, config)  # refuse it now, not later
    _check_named(config)
    images = load_images(config.images, size=config.size, seed=config.seed)
    for instrument in instruments:
        check_probe(instrument, images)
    if config.train:
        some = space.sample(random.Random(0))
        network = build(config.space, str(some), scale, images)
        _check_recipe_fits(network, images, config)
    identity = config.identity(
        images.fingerprint, version_of(space, searcher, *(i.score for i in instruments))
    )
    folder = RunFolder(config.out, run_name(config, images, identity))
    with (
        folder.held(),
        start_engine(config.workers, images) as engine,
        Store.open(folder.store) as store,
    ):
        store.begin_run(identity, describe(config, images, goals, folder.name))
        store.add_cost(identity, "load images", time.perf_counter() - begun)
        measuring = Measuring(identity, config, space, instruments, images, store, engine)
        session = Session(config, images, space, searcher, measuring, folder, store, engine, watch)
        pick = search(session)
        if config.train and pick is not None:
            train_all(session, pick)
    return folder


def _check_named(config: RunConfig) -> None:
    unused = set(config.instruments) - set(config.scores)
    if unused:
        raise ValueError(
            f"instruments: expected settings of the scores {', '.join(config.scores)}, got some "
            f"of {', '.join(sorted(unused))}"
        )


def _check_recipe_fits(network: nn.Module, images: Images, config: RunConfig) -> None:
    try:
        check_fits(network, images, config.recipe)
    except ValueError as error:
        raise ValueError(
            f"recipe: {error}; or change --training (now {config.training!r}), --scale or --size"
        ) from error


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
            "code": version_of(),
            "python": platform.python_version(),
            "machine": f"{platform.machine()}, {platform.system()}",
        },
        "directions": {goal.score: 1 if goal.higher_is_better else -1 for goal in goals},
    }
