"""How a time budget was spent, in words."""

from collections.abc import Mapping, Sequence

from untrained.pages.units import duration, percent
from untrained.runs.budget import Budgeted
from untrained.runs.record import TrainingRecord

PHASES = "start", "calibration", "search", "training"
"In their order; the rest of the time goes into the export."


def budgeted_in_words(
    found: Budgeted,
    wall_seconds: Mapping[str, float],
    trainings: Sequence[TrainingRecord] = (),
) -> str:
    """For people, in up to three sentences.

    Args:
        found: what was planned and decided.
        wall_seconds: phase -> seconds of it.
        trainings: to the end, which share the seconds of their phase.

    Example:
        >>> training = {"epochs": 12}
        >>> found = Budgeted(900.0, 0.4, 6.0, 6, 2, 50, 270.0, evaluations=64, stopped=True,
        ...     training=training, spent=720.0)
        >>> spent = {"search": 262.0, "training": 430.0}
        >>> print(budgeted_in_words(found, spent))  # doctest: +NORMALIZE_WHITESPACE
        Time budget 15 min 00 s: 12 min 00 s were spent (search 36%, training 60%). The search
        ended after 64 architectures, as its share was spent. 6 networks were trained for 12 epochs
        of at most 50, as many as fitted.
    """
    total = found.spent or sum(wall_seconds.values())
    known = {phase: wall_seconds[phase] for phase in PHASES if phase in wall_seconds}
    phases = [f"{phase} {percent(each / total, 0)}" for phase, each in known.items()]
    of_training = sum(training.seconds for training in trainings)
    if others := sum(t.seconds for t in trainings if t.role != "selected"):
        phases.append(f"{percent(others / of_training, 0)} of the latter for comparison")
    by_now = "were spent" if found.spent else "were spent by now"
    sentences = [
        f"Time budget {duration(found.seconds)}: {duration(total)} {by_now}"
        + (f" ({', '.join(phases)})." if phases else ".")
    ]
    if found.evaluations is not None:
        why = "as its share was spent" if found.stopped else "which is all that it asked for"
        some = f"{found.evaluations:,} architecture{'' if found.evaluations == 1 else 's'}"
        sentences.append(f"The search ended after {some}, {why}.")
    if found.epochs is not None:
        some = f"{found.networks} network{' was' if found.networks == 1 else 's were'}"
        fewer = found.epochs < found.most_epochs
        most = f" of at most {found.most_epochs}, as many as fitted" if fewer else ", all of them"
        epochs = f"{found.epochs} epoch{'' if found.epochs == 1 else 's'}"
        sentences.append(f"{some} trained for {epochs}{most}.")
    return " ".join(sentences)
