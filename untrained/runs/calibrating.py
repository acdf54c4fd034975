"""Which score ranks here: a few networks are trained briefly, to search by what ranks them."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace

import numpy as np
from jaxtyping import Float

from untrained.runs.comparing import train_sample
from untrained.runs.config import BASELINES
from untrained.runs.identity import calibration_of
from untrained.runs.record import Calibrated, CalibratedScore, training_of
from untrained.runs.resolved import ResolvedConfig
from untrained.runs.sampling import draw_distinct
from untrained.runs.session import Progress, Session
from untrained.runs.setup import ScoreSetup, goals_of, make_setups
from untrained.runs.values import Values
from untrained.searchers import SEARCHERS, Searcher
from untrained.spaces import Architecture

RANKED = 3
"Networks that could be trained, of fewer of which nothing is said."

Means = Mapping[str, Float[np.ndarray, " n"]]
"Score -> its mean over draws of each network, higher meaning better; NaN where a draw failed."


def check_calibrates(
    searcher: Searcher, config: ResolvedConfig, setups: Sequence[ScoreSetup]
) -> None:
    """Refuse what cannot be calibrated, before anything is loaded or measured.

    Raises:
        ValueError: a searcher that does not rank by one order, or that needs scores after
            training where others are compared; more networks than the space has.
    """
    if config.calibrate is None:
        return
    if searcher.axes or isinstance(searcher, SEARCHERS["given"]):
        raise ValueError(
            f"calibrate: expected a searcher that ranks by what a score says, got "
            f"{config.searcher}; try --searcher surrogate"
        )
    untrained = [s.name for s in setups if s.short_training is None and _is_compared(s, config)]
    if searcher.rungs and untrained:
        raise ValueError(
            f"calibrate_scores: expected scores taken after training, as {config.searcher} "
            f"trains networks longer from rung to rung, got {', '.join(untrained)}; try "
            f"label_alignment"
        )
    draw_distinct(
        searcher.space, config.calibrate, config.seed, name=config.space, flag="calibrate"
    )


def calibrated(session: Session) -> Session:
    """The same session, whose search ranks by the score that ranks best here.

    Random networks of what is searched are measured by all scores, and trained briefly. A score
    holds where its tau with their accuracies on the validation images is above 0 and told from
    chance, in view of the number of scores; of several, the one with the largest tau is taken.
    Where none holds, the search ranks as it would have without. What was found once stays.
    """
    setups = make_setups(session.space, session.config)
    known = session.store.found(session.id, "calibrated")
    found = Calibrated.of(known) if known else _calibration(session, setups)
    session.store.set_found(session.id, "calibrated", asdict(found))
    used = tuple(setup for name in found.used for setup in setups if setup.name == name)
    searcher = replace(session.searcher, goals=goals_of(used, sizes_are_costs=False))
    measuring = replace(session.measuring, setups=used)
    return replace(session, searcher=searcher, measuring=measuring)


def _calibration(session: Session, setups: tuple[ScoreSetup, ...]) -> Calibrated:
    """What the networks say of the scores; what was measured or trained before is not again."""
    config, begun = session.config, time.perf_counter()
    assert config.calibrate is not None
    networks = draw_distinct(
        session.searcher.space, config.calibrate, config.seed, name=config.space, flag="calibrate"
    )
    means = _measured(session, setups, networks)
    accuracies = _trained(session, networks)
    session.store.add_cost(session.id, "calibration", time.perf_counter() - begun, wall=True)
    return _compared(config, means, accuracies, len(session.images.validation))


def _is_compared(setup: ScoreSetup, config: ResolvedConfig) -> bool:
    return setup.name in (config.calibrate_scores or ())


def _measured(
    session: Session, setups: tuple[ScoreSetup, ...], networks: Sequence[Architecture]
) -> Means:
    """What each score says of the networks."""
    measuring = replace(session.measuring, setups=setups)
    phase = f"calibration: {len(setups)} scores of {len(networks)} random networks"
    found = {}
    for setup in setups:
        values = Values(measuring, setup, session.config.draws, "calibration").means(
            networks, lambda done, total: session.on_progress(Progress(phase, done, total))
        )
        x = np.array(values, dtype=float)  # None becomes NaN
        found[setup.name] = x if setup.score.higher_is_better else -x
    return found


def _trained(session: Session, networks: Sequence[Architecture]) -> dict[str, float | None]:
    """The accuracy on the validation images of each network, trained briefly.

    Test images are for the end: a score that was chosen by them would flatter what it selects.
    """
    apart = replace(
        session,
        config=replace(session.config, training=session.config.calibration, weights=None),
        run=calibration_of(session.id),
        on_progress=lambda p: session.on_progress(p._replace(phase=f"calibration: {p.phase}")),
    )
    train_sample(apart, networks, repeats=1)
    rows = map(training_of, session.store.trainings(apart.run))
    return {row.architecture: row.validation_accuracy for row in rows}


def _compared(
    config: ResolvedConfig, means: Means, accuracies: dict[str, float | None], images: int
) -> Calibrated:
    """The scores ranked by the accuracies, and which of them the search ranks by."""
    from untrained.tables.chance import joint_test  # with libraries that other searches do without

    known = np.array([accuracy is not None for accuracy in accuracies.values()])
    y = np.array([each for each in accuracies.values() if each is not None])
    asked = config.calibrate_scores or ()
    ranks = {name: failed_last(x[known]) for name, x in means.items()}
    joint = joint_test([ranks[name] for name in asked], y)
    corrected = dict(zip(asked, joint.p, strict=True))
    names = (*asked, *(name for name in BASELINES if name not in asked))
    scores = [
        replace(
            _ranked(name, ranks[name], y, corrected.get(name)),
            size=name not in asked,
            failed=int((ranks[name] == 0).sum()),
        )
        for name in names
    ]
    held = [score for score in scores if score.holds]
    best = max(held, key=lambda score: score.tau or 0.0, default=None)
    return Calibrated(
        accuracies=accuracies,
        scores=tuple(sorted(scores, key=lambda score: (score.tau is None, -(score.tau or 0.0)))),
        used=config.scores if best is None else (best.score,),
        least=joint.least,
        epochs=config.calibration_recipe.epochs,
        images=images,
    )


def _ranked(
    name: str, x: Float[np.ndarray, " n"], y: Float[np.ndarray, " n"], corrected: float | None
) -> CalibratedScore:
    """How a score ranks the networks that could be trained."""
    from untrained.tables.chance import CHANCE, rank_test  # as above

    if len(y) < RANKED:
        return CalibratedScore(name, reason=f"{len(y)} networks could be trained")
    if np.ptp(x) == 0 or np.ptp(y) == 0:
        return CalibratedScore(name, reason="all values, or all accuracies, are equal")
    tau, (low, high), p = rank_test(x, y)
    told = corrected is not None and corrected <= CHANCE
    return CalibratedScore(name, tau, low, high, p, corrected, told)


def failed_last(x: Float[np.ndarray, " n"]) -> Float[np.ndarray, " n"]:
    """Ranks from 1, equal for equal values; 0 where a score failed: a search prefers any other.

    Example:
        >>> failed_last(np.array([0.5, np.nan, -1e9, 0.5]))
        array([2., 0., 1., 2.])
    """
    known = np.unique(x[np.isfinite(x)])
    return np.where(np.isfinite(x), 1.0 + np.searchsorted(known, x), 0.0)
