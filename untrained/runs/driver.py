"""The loop: propose, measure, store; then train what was selected. Killed anywhere, it resumes.

What is stored is the whole state. A batch of trials is stored when all of it is measured, each
measurement as soon as it is made. So a run that begins again proposes the batch under way from
the same history, with the same random numbers, and finds what it had measured of it.
"""

import logging
import random
import re
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import replace
from functools import partial
from typing import Any, NamedTuple

from torch import nn

from untrained.data import sha256
from untrained.files import write_whole
from untrained.images import Images, load_images
from untrained.runs.asynchronous import check_asynchronous
from untrained.runs.budget import Budgeted
from untrained.runs.budgeting import budgeted, check_budget, foreseen, note_spent
from untrained.runs.calibrating import check_calibrates
from untrained.runs.code import made_by, version_of
from untrained.runs.comparing import train_all, training_question
from untrained.runs.config import RunConfig
from untrained.runs.config_file import CONFIG, as_toml
from untrained.runs.described import describe
from untrained.runs.engines import Engine, start_engine
from untrained.runs.identity import digest
from untrained.runs.limit import QUANTITIES
from untrained.runs.limiting import check_limits, limited
from untrained.runs.manifest import check_continues
from untrained.runs.measuring import Measuring
from untrained.runs.outlook import after_search, after_training
from untrained.runs.presets import fit, resolve
from untrained.runs.references import build_reference, sized
from untrained.runs.resolved import ResolvedConfig
from untrained.runs.script import refuse_in_a_script
from untrained.runs.searching import search
from untrained.runs.session import OnProgress, Session, ignore
from untrained.runs.setup import (
    ScoreSetup,
    check_probe,
    goals_of,
    make_setups,
    training_scale,
)
from untrained.runs.shrinking import check_shrinks, shrink_setup
from untrained.runs.surroundings import attempt_apart
from untrained.runs.tasks import build
from untrained.searchers import Searcher, make_searcher
from untrained.searchers.given import Given
from untrained.settings import split_texts
from untrained.spaces import Scale, Space, get_space
from untrained.storage.folder import RunFolder, held_beside
from untrained.storage.store import Store
from untrained.training import Recipe, check_fits

logger = logging.getLogger(__name__)
progress = logging.getLogger("untrained.progress")
"For what takes long before there is any other progress."
SLOW_SECONDS = 5.0


def run(
    config: RunConfig, on_progress: OnProgress = ignore, began: float | None = None
) -> RunFolder:
    """From images to a selected network; trained, compared and exported if `config.train`.

    Run again with the same configuration after it was stopped in any way, it resumes and ends
    with the same numbers.

    Args:
        config: everything that is asked.
        on_progress: called as work proceeds.
        began: when the time of `config.time_budget` began, as of `time.perf_counter`; None is now.

    Returns:
        The run's folder; the store beside it holds every number.

    Raises:
        ValueError: a configuration, image set or plug-in that makes no sense.
        OSError: files that are missing or cannot be written, or a run held by another process.
    """
    with opened(config, on_progress, began=began) as session:
        session = replace(session, after=after_search(session))
        selected = search(session)
        if config.train and selected is not None:
            after = session.after and after_training(session)
            train_all(replace(session, after=after), selected)
        note_spent(session)
    return session.folder


class Prepared(NamedTuple):
    """A run that was checked, before anything is made of it."""

    config: ResolvedConfig
    asked: ResolvedConfig
    "The same before images decided on its recipes."
    space: Space[Any]
    searcher: Searcher
    setups: tuple[ScoreSetup, ...]
    "Of every score that is measured, first those that are ranked by."
    cheap: tuple[ScoreSetup, ...]
    "Of the score by which the space is shrunk, if it is."
    images: Images


def prepared(config: RunConfig) -> Prepared:
    """What is asked for, checked as far as can be without measuring anything.

    Raises:
        ValueError, OSError: as `run`.
    """
    refuse_in_a_script()
    asked = resolve(config)
    space = get_space(asked.space)
    setups = make_setups(space, asked)
    searcher = _searcher(asked, space, setups[: len(asked.scores)])
    check_budget(searcher, asked)
    check_asynchronous(searcher, asked)
    check_calibrates(searcher, asked, setups)
    cheap = shrink_setup(space, asked)
    if cheap:
        check_shrinks(searcher)
    scale = training_scale(space, asked)  # refuse it now, not later
    check_limits(space, asked)
    with _told_if_slow("loading images"):
        images = load_images(asked.images, size=asked.size, seed=asked.seed)
    fitted = fit(asked, images)
    for setup in (*setups, *cheap):
        check_probe(setup, images)
    _check_recipes(fitted, space, scale, (*setups, *cheap), images)
    return Prepared(fitted, asked, space, searcher, setups, cheap, images)


@contextmanager
def _told_if_slow(what: str) -> Iterator[None]:
    """Says what is done if it takes long, and nothing else shows that work goes on."""
    timer = threading.Timer(SLOW_SECONDS, progress.info, [what])
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


def estimated(config: RunConfig) -> Budgeted | None:
    """What a run's time budget would be planned for; None without one.

    Raises:
        ValueError, OSError: as `run`.
    """
    if config.time_budget is None:
        return None
    made = prepared(config)
    with engine_of(made.config, made.images) as engine:
        return foreseen(
            made.config, made.space, made.searcher, made.setups, made.images, engine.lanes
        )


def name_of(config: RunConfig) -> str:
    """What the run of this configuration is called, by code and images as they are now.

    Raises:
        ValueError, OSError: as `run`.
    """
    made = prepared(config)
    setups = (*made.setups, *made.cheap)
    return _identities(made.config, made.space, setups, made.searcher, made.images)[2]


@contextmanager
def opened(
    config: RunConfig,
    on_progress: OnProgress = ignore,
    began: float | None = None,
    name: str | None = None,
) -> Iterator[Session]:
    """A run that is noted in the store and held against other processes, with workers ready.

    Args:
        config: everything that is asked.
        on_progress: called as work proceeds.
        began: as of `run`.
        name: of a sweep, at which other processes may be too; None for what the run is called by
            what it is asked.

    Raises:
        ValueError, OSError: as `run`.
    """
    begun = time.perf_counter()
    made = prepared(config)
    asks, space, searcher, images = made.config, made.space, made.searcher, made.images
    setups = made.setups[: len(asks.scores)]
    searched, identity, usual = _identities(
        asks, space, (*made.setups, *made.cheap), searcher, images
    )
    folder = RunFolder(asks.out, name or usual, asks.store)
    with (
        folder.held() if name is None else held_beside(folder) as folder,
        engine_of(asks, images) as engine,
        Store.open(folder.address, folder.lock) as store,
    ):
        if name is None:
            kept = asks if asks.time_budget is None else made.asked  # whose epochs time decides on
            write_whole(folder.path / CONFIG, as_toml(kept).encode())
        compared = goals_of(made.setups[len(setups) :], sizes_are_costs=False)
        goals = (*searcher.goals, *compared)
        described = describe(asks, images, made.setups, goals, folder.name)
        if isinstance(searcher, Given):
            described["config"]["population"] = searcher.asked.plain()
        if name is not None:
            check_continues(store, identity, described)
        store.begin_run(identity, {**described, "search": searched})
        store.claims.begin()
        logger.info("run %s, %d at a time", folder.path, engine.lanes)
        store.add_cost(identity, "load images", time.perf_counter() - begun)
        session = Session(
            config=asks,
            images=images,
            space=space,
            eligible=space,
            searcher=searcher,
            measuring=Measuring(searched, asks, space, setups, images, store, engine),
            folder=folder,
            store=store,
            engine=engine,
            on_progress=on_progress,
            run=identity,
            asked=made.asked,
        )
        yield budgeted(limited(session), begun if began is None else began)


def engine_of(config: ResolvedConfig, images: Images) -> AbstractContextManager[Engine]:
    """As `start_engine`."""
    asked = config.workers, images, config.time_limit, config.device, config.cluster
    return start_engine(*asked)


def _searcher(config: ResolvedConfig, space: Space[Any], setups: Sequence[ScoreSetup]) -> Searcher:
    goals = goals_of(setups, sizes_are_costs=config.select is not None)
    searcher = make_searcher(config.searcher, space, goals, config.draws, config.options)
    if searcher.axes:
        searcher = replace(searcher, goals=goals_of(setups, sizes_are_costs=True))
    warn_of_sizes(config, searcher, setups)
    if searcher.rungs and all(setup.short_training is None for setup in setups):
        raise ValueError(
            f"searcher: {config.searcher!r} trains networks longer from rung to rung: expected a "
            f"score taken after training, got {', '.join(config.scores)}; try --scores "
            f"label_alignment"
        )
    return searcher


def warn_of_sizes(
    config: ResolvedConfig, searcher: Searcher, setups: Sequence[ScoreSetup]
) -> None:
    """Warn of a search for the largest networks, which is seldom what was meant."""
    large = [
        goal.score
        for goal, setup in zip(searcher.goals, setups, strict=True)
        if setup.score.is_size and goal.higher_is_better
    ]
    if large and config.searcher != "given":
        logger.warning(
            "%s: the more the better, as in benchmarks, so that this search prefers the largest "
            "networks; to keep them small, try --limit %s=..., or a front: --searcher nsga2",
            *(", ".join(large), large[0] if large[0] in QUANTITIES else "parameters"),
        )


def _identities(
    config: ResolvedConfig,
    space: Space[Any],
    setups: Sequence[ScoreSetup],
    searcher: Searcher,
    images: Images,
) -> tuple[str, str, str]:
    """The search's key in the store, the run's, and the run's name.

    A run that trains has a folder and a record of its own for each way of training.
    """
    code = version_of(
        *(config.space, space, config.searcher, searcher, *(setup.name for setup in setups)),
        *(setup.score for setup in setups),
        training=config.calibrate is not None
        or any(setup.short_training is not None for setup in setups),
    )
    named = [made_by(space, text) for text in named_in(config)]
    if any(named):
        code = digest([code, named])
    if isinstance(searcher, Given) and searcher.population:  # wherever its file lies
        config = replace(config, options={"population": searcher.asked.digest})
    searched = config.identity(images.fingerprint, code)
    name = run_name(config, images, searched)
    if not config.train:
        return searched, searched, name
    begun = None if config.weights is None else sha256(config.weights)
    asked = [training_question(config, space, images), config.compare, config.repeats, begun]
    identity = digest([searched, *asked])
    if config.time_budget is not None:  # how long is searched depends on what is trained
        searched = identity
    return searched, identity, f"{name}-trained-{identity[:8]}"


def named_in(config: ResolvedConfig) -> list[str]:
    """The architectures that somebody names, where nothing is searched."""
    return split_texts(str(config.options.get("architectures", "")))


def _check_recipes(
    config: ResolvedConfig,
    space: Space[Any],
    scale: Scale,
    setups: tuple[ScoreSetup, ...],
    images: Images,
) -> None:
    """Refuse a recipe, of training or before a score, that fits no network of the space here."""
    if config.train:
        change = f"--training.recipe (now {config.training.recipe}), --scale or --size"
        network = _some_network(config, space, scale, images)
        _check_recipe_fits("training", network, images, config.recipe, change)
        for name in config.beside.names:
            network = build_reference(sized(name, 10_000, images), images, config.seed)
            _check_recipe_fits(f"compare: {name}", network, images, config.recipe, change)
    if config.calibrate is not None:
        change = f"--calibration.recipe (now {config.calibration.recipe}), --scale or --size"
        network = _some_network(config, space, scale, images)
        _check_recipe_fits("calibration", network, images, config.calibration_recipe, change)
    for setup in setups:
        if setup.short_training is not None:
            name, recipe = setup.name, setup.short_training.recipe
            change = f"--score-settings.{name}.recipe or --score-settings.{name}.scale"
            network = _some_network(config, space, setup.scale, images)
            _check_recipe_fits(name, network, images, recipe, change)


def _some_network(
    config: ResolvedConfig, space: Space[Any], scale: Scale, images: Images
) -> nn.Module | None:
    """One of the space; of those that somebody names, the first that can be built, if any."""
    named = named_in(config)
    if not named:
        return build(config.space, str(space.sample(random.Random(0))), scale, images)
    for text in named:
        network, _ = attempt_apart(
            partial(build, config.space, text, scale, images), config.device, nullcontext, "build"
        )
        if network is not None:
            return network
    return None


def _check_recipe_fits(
    what: str, network: nn.Module | None, images: Images, recipe: Recipe, change: str
) -> None:
    """Refuse it in a line that says `what` asked for it, and what to `change`."""
    if network is None:
        return  # each fails for a reason of its own
    try:
        check_fits(network, images, recipe)
    except ValueError as error:
        raise ValueError(f"{what}: {error}; or change {change}") from error


def run_name(config: ResolvedConfig, images: Images, identity: str) -> str:
    """What the run's folder is called: readable first, unique at the end."""
    words = "-".join((images.name, config.space, config.searcher, f"seed{config.seed}"))
    return f"{re.sub(r'[^A-Za-z0-9_-]+', '_', words)}-{identity[:8]}"
