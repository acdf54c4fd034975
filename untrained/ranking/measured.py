"""From models to a ranking: measured as any run measures, sizes first."""

import logging
import random
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import fields, replace
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

from untrained.files import write_whole
from untrained.images.held import HERE
from untrained.networks.weights import AS_BUILT
from untrained.outside import command_line
from untrained.ranking.config import PROBE, SIZES, RankConfig
from untrained.ranking.joined import GroupRun, plainly, ranking_of
from untrained.ranking.naming import Given, Named, named_models
from untrained.ranking.ranking import Ranking
from untrained.runs.comparing import train_sample
from untrained.runs.config import ORDINARY, RunConfig
from untrained.runs.config_file import as_toml
from untrained.runs.driver import opened
from untrained.runs.ray_config import RayConfig
from untrained.runs.record import record_of
from untrained.runs.searching import search
from untrained.runs.session import OnProgress, Progress, Session, ignore
from untrained.runs.setup import score_name
from untrained.scores import get_score
from untrained.scores.nngp import NNGP
from untrained.searchers import Proposal
from untrained.settings import Setting
from untrained.spaces.loading import holding

logger = logging.getLogger(__name__)

CONFIG = "rank.toml"
"The file of a ranking's folder that reproduces it."
FOLDER = "ranking"
"Of the files of a ranking, in a run's folder."


def rank(
    models: Given,
    config: RankConfig = RankConfig(),  # noqa: B008  # a frozen value
    *,
    pretrained: Collection[str] = (),
    on_progress: OnProgress = ignore,
) -> Ranking:
    """Builds models for images, and ranks them by training-free scores; with sizes and latency.

    Each is built for the images' size and classes: it is called with those of `classes`,
    `inputs` (channels) and `size` that its signature names (see `spaces.calling`). Those that
    cannot be measured come last, with the reason. What was measured before, in whatever ranking,
    is not measured again, unless some model is this process's alone: then all are measured here,
    one after the other, and nothing is kept.

    Args:
        models: import paths, such as `["my_nets:small", "timm:resnet18"]`; or name -> a function,
            a class, an nn.Module or an import path.
        config: all else; its own models do not count.
        pretrained: names of makers whose models come with weights that they have learnt.
        on_progress: called as work proceeds.

    Returns:
        The ranking; the same is in its `folder`, unless nothing was kept.

    Raises:
        ValueError: a model that is not there, or a configuration or images that make no sense.
        OSError: files that are missing or cannot be written.
    """
    config = replace(config, models=()).check()
    named = named_models(models, pretrained)
    with _kept(config, named) as config, holding(named.held):
        runs = [
            _measured(config, group, learnt, on_progress)
            for learnt, group in _groups(named).items()
        ]
        found = ranking_of(runs, config)
    if named.held:
        return found
    out, asked = runs[0].folder.path / FOLDER, tuple(map(str, named.architectures.values()))
    found.write(out)
    if config.images.startswith(HERE):  # which no command line names
        return replace(found, folder=out)
    write_whole(out / CONFIG, as_toml(replace(config, models=asked), "rank").encode())
    again = command_line("untrained", "rank", "--config", str(out / CONFIG))
    return replace(found, folder=out, command=again)


@contextmanager
def _kept(config: RankConfig, named: Named) -> Iterator[RankConfig]:
    """The configuration, for a store that lasts; or for none, where no number is found again."""
    if not named.held:
        yield config
        return
    with TemporaryDirectory(prefix="untrained") as folder:
        here = replace(config, engine="processes", ray=RayConfig())
        yield replace(here, workers=0, out=Path(folder), store=None)


def _groups(named: Named) -> dict[bool, dict[str, str]]:
    """Whether they have learnt -> name -> text form: the weights of these are never drawn."""
    found: dict[bool, dict[str, str]] = {}
    for name, model in named.architectures.items():
        found.setdefault(bool(model.weights), {})[name] = str(model)
    return found


def _measured(
    config: RankConfig,
    names: Mapping[str, str],
    learnt: bool,
    on_progress: OnProgress,
) -> GroupRun:
    """The run that measures them: what is cheap first, what is timed alone, then all else."""
    tell = _telling(on_progress, len(names))
    with opened(_asked(config, tuple(names.values()), learnt), tell) as session:
        proposals = session.searcher.propose((), 0, random.Random(0))
        built = _measure_sizes(session, proposals, {text: name for name, text in names.items()})
        search(session)
        if config.train:
            train_sample(session, [proposal.architecture for proposal in built], config.repeats)
    record = record_of(session.folder)
    return GroupRun(session.folder, record, names, learnt)


def _telling(on_progress: OnProgress, count: int) -> OnProgress:
    """`on_progress`, told of scores where a run, given what it measures, speaks of a sweep."""
    phase = f"scores of {count:,} models"
    return lambda each: on_progress(
        each._replace(phase=phase) if each.phase.startswith(("search", "sweep")) else each
    )


def _asked(config: RankConfig, architectures: tuple[str, ...], learnt: bool) -> RunConfig:
    """The run, which keeps the weights that were learnt."""
    scores = tuple(dict.fromkeys((*SIZES, *config.scores, *((PROBE,) if learnt else ()))))
    usual = {name: _keeping(name) for name in scores if learnt and name not in SIZES}
    # Latency asks for no weights; where it is told some, it is measured once for each draw.
    usual["latency"] = {"weights": AS_BUILT}
    usual["training_memory"] = {"states": 2}  # of AdamW
    given = {n: s for n, s in config.score_settings.items() if n in scores or n != PROBE}
    settings = {n: {**usual.get(n, {}), **given.get(n, {})} for n in (*usual, *given)}
    return config.run_config(architectures, scores=scores, score_settings=settings)


def _keeping(name: str) -> dict[str, Setting]:
    """Settings of a score that have it shown a network's own weights."""
    kind = get_score(score_name(name))
    draws_its_own = "initialisation" in {field.name for field in fields(kind)}
    if draws_its_own and not issubclass(kind, NNGP):
        raise ValueError(
            f"scores: expected ones that can be shown weights that were learnt, got {name}, which "
            f"draws its own; try {PROBE} or {ORDINARY}"
        )
    settings: dict[str, Setting] = {"weights": AS_BUILT}
    return settings | ({"initialisation": AS_BUILT, "ensemble": 1} if draws_its_own else {})


def _measure_sizes(
    session: Session, proposals: list[Proposal], names: Mapping[str, str]
) -> list[Proposal]:
    """Measures sizes, says at once what cannot be built, and times the others, which it returns.

    They are timed one by one.
    """
    setups = {setup.name: setup for setup in session.measuring.setups}
    counted = replace(session.measuring, setups=tuple(setups[name] for name in SIZES[:-1]))
    timed = replace(session.measuring, setups=(setups[SIZES[-1]],))
    counted.measure(proposals, partial(_tell, session, "sizes"))
    keys = {str(p.architecture): counted.keys(p)[SIZES[0]][0] for p in proposals}
    known = session.store.known([*keys.values()])
    for text, key in keys.items():
        if known[key].value is None:
            logger.warning("%s: %s", names[text], plainly(known[key].reason))
    built = [p for p in proposals if known[keys[str(p.architecture)]].value is not None]
    for done, proposal in enumerate(built):
        _tell(session, "latency", done, len(built))
        timed.measure([proposal], lambda done, total: None)
    _tell(session, "latency", len(built), len(built))
    return built


def _tell(session: Session, what: str, done: int, total: int) -> None:
    session.on_progress(Progress(what, done, total))
