"""Which scores rank networks that were trained for it, in words."""

from typing import Any

from untrained.pages.units import probability, share
from untrained.runs.record import Calibrated, CalibratedScore

READING = (
    "tau: Kendall's tau-b with the accuracies on {images:,} validation images, with its 95 % "
    "interval; a network on which a score failed is below all others. p: how often an order by "
    "chance agrees, or opposes, as much; corrected: the same where the best of all scores is "
    "looked for. The best of several looks better than it is, and short trainings need not rank "
    "as long ones do. Sizes are shown beside them, and not chosen."
)


def calibrated_in_words(found: Calibrated) -> str:
    """For people: by what was searched, and why.

    Example:
        >>> good = CalibratedScore("naswot", 0.79, 0.31, 0.95, 0.006, 0.02, True)
        >>> accuracies = dict.fromkeys("abcdefgh", 0.5)
        >>> found = Calibrated(accuracies, (good,), ("naswot",), 0.71, 5, 100)
        >>> print(calibrated_in_words(found))  # doctest: +NORMALIZE_WHITESPACE
        Calibration: naswot ranks 8 random networks by their accuracy after 5 epochs with tau .79
        (95 % interval .31 to .95, p .020 corrected for 1 score). The search ranked by it.
    """
    best = found.best
    sentences = _kept(found) if best is None else _chosen(found, best)
    wrong = [score.score for score in found.scores if score.told and not score.holds]
    if wrong:
        sentences.append(f"The wrong way round: {', '.join(wrong)}.")
    return " ".join(sentences)


def _chosen(found: Calibrated, best: CalibratedScore) -> list[str]:
    """That a score ranks here, how well, and whether size does too."""
    assert best.low is not None
    assert best.high is not None
    return [
        f"Calibration: {best.score} ranks {_networks(found)} by their accuracy after "
        f"{_counted(found.epochs, 'epoch')} with tau {share(best.tau)} (95 % interval "
        f"{share(best.low)} to {share(best.high)}, p {probability(best.corrected)} corrected for "
        f"{_counted(_compared(found), 'score')}). The search ranked by it.",
        *_by_size(found, best),
    ]


def _kept(found: Calibrated) -> list[str]:
    """Why the search ranked as it would have without."""
    least = "any tau" if found.least is None else f"a tau below {share(found.least)}"
    return [
        f"Calibration: of {_counted(_compared(found), 'score')} none is shown to rank "
        f"{_networks(found)} by their accuracy after {_counted(found.epochs, 'epoch')}; so few "
        f"cannot tell {least} from chance. The search ranked by {' and '.join(found.used)}, as "
        f"without --calibrate."
    ]


def _networks(found: Calibrated) -> str:
    known = sum(accuracy is not None for accuracy in found.accuracies.values())
    lost = len(found.accuracies) - known
    return f"{known:,} random networks{f' ({lost} more could not be trained)' if lost else ''}"


def _compared(found: Calibrated) -> int:
    """How many scores could have been chosen."""
    return len(found.scores) - len(sizes_of(found))


def _counted(count: int, noun: str) -> str:
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


def _by_size(found: Calibrated, best: CalibratedScore) -> list[str]:
    """A caution where size alone ranks as well."""
    as_well = [s for s in sizes_of(found) if s.tau is not None and s.tau >= (best.tau or 0.0)]
    if not as_well:
        return []
    return [f"Size alone ranks them as well ({as_well[0].score}: tau {share(as_well[0].tau)})."]


def rows_of(found: Calibrated) -> list[tuple[str, ...]]:
    """A row for each score, the best first: its name, tau, interval, p, corrected, verdict."""
    return [
        (
            score.score,
            share(score.tau),
            "-" if score.low is None else f"{share(score.low)} to {share(score.high)}",
            probability(score.p),
            probability(score.corrected),
            verdict_on(score, found),
        )
        for score in found.scores
    ]


def calibrated_parts(found: Calibrated) -> dict[str, Any]:
    """What the page shows; networks are those with the best accuracies first."""
    networks = sorted(found.accuracies.items(), key=lambda each: -(each[1] or -1.0))
    return {
        "told": calibrated_in_words(found),
        "rows": rows_of(found),
        "how": READING.format(images=found.images),
        "networks": networks,
    }


def sizes_of(found: Calibrated) -> list[CalibratedScore]:
    """Scores of size, which are shown beside the others."""
    return [score for score in found.scores if score.size]


def verdict_on(score: CalibratedScore, found: Calibrated) -> str:
    """What a score came to, in a few words.

    Example:
        >>> found = Calibrated({}, (), ("a",), None, 5, 100)
        >>> verdict_on(CalibratedScore("a", 0.9, 0.5, 1.0, 0.01, 0.01, True), found)
        'holds, used'
    """
    if score.reason:
        return score.reason
    told = "holds" if score.holds else "wrong way round"
    words = ["size" if score.size else told if score.told else "cannot be told"]
    if score.score in found.used:
        words.append("used")
    if score.failed:
        words.append(f"failed on {score.failed}")
    return ", ".join(words)
