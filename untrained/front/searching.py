"""Searches, scorings and trainings from Python, as the commands of these names."""

from collections.abc import Sequence
from contextlib import ExitStack
from typing import Unpack

from untrained.front.asked import Pictures, scoring, training, with_images
from untrained.front.flags import configured, takes_flags
from untrained.front.keywords import ScoreFlags, SearchFlags, SweepFlags, TrainFlags
from untrained.front.run import Run, run_in
from untrained.front.watching import shown_by_default
from untrained.runs import RunConfig, SweepConfig, SweepState, run, sweeps
from untrained.runs.config import ScoreConfig, TrainConfig
from untrained.runs.session import OnProgress
from untrained.spaces import Architecture, get_space


@takes_flags(RunConfig, "images")
def search(
    images: Pictures = "digits",
    *,
    config: RunConfig = RunConfig(),  # noqa: B008  # a frozen value
    on_progress: OnProgress | None = None,
    began: float | None = None,
    **flags: Unpack[SearchFlags],
) -> Run:
    """Searches a space for a good network on images; with `train=True`, trains and exports it.

    As the command `untrained search`, whose flags are the keyword arguments. What was computed is
    kept in `out` and never computed again: called again after it was stopped in any way, it
    resumes and ends with the same numbers.

    Args:
        images: whatever `load_images` takes, or gives: a name such as `cifar10`, a folder with a
            subfolder of pictures per class, a file, `(pixels, labels)`, a data set of torch or of
            Hugging Face.
        config: what the flags change.
        on_progress: called as work proceeds; by default, a notebook shows a line.
        began: when the time of `time_budget` began, as of `time.perf_counter`; None is now.
        flags: as of `RunConfig`, which says what each means.

    Raises:
        ValueError: a configuration, image set or plug-in that makes no sense.
        OSError: files that are missing or cannot be written, or a run held by another process.

    Example:
        >>> import untrained
        >>> found = untrained.search("digits", searcher="random", options={"evaluations": 2},
        ...                          scores="naswot", draws=1, workers=0)
        >>> found.trials["number"].to_list(), found.best in found.trials["architecture"]
        ([0, 1], True)
    """
    asked = configured(config, flags)
    with ExitStack() as stack:
        asked = with_images(asked, images, stack)
        folder = run(asked, on_progress or shown_by_default(), began)
    return run_in(folder, get_space(asked.space))


@takes_flags(ScoreConfig, "images")
def score(
    architectures: str | Architecture | Sequence[str | Architecture],
    images: Pictures = "digits",
    *,
    config: ScoreConfig = ScoreConfig(),  # noqa: B008  # a frozen value
    on_progress: OnProgress | None = None,
    **flags: Unpack[ScoreFlags],
) -> Run:
    """Scores architectures that are named, as the command `untrained score`.

    Args:
        architectures: text forms, or values of the space; one, or several.
        images: as of `search`.
        config: what the flags change.
        on_progress: called as work proceeds; by default, a notebook shows a line.
        flags: as of `ScoreConfig`, which says what each means.

    Raises:
        ValueError, OSError: as `search`.
    """
    asked = scoring(_texts(architectures), configured(config, flags))
    return search(images, config=asked, on_progress=on_progress)


@takes_flags(TrainConfig, "images")
def train(
    architecture: str | Architecture,
    images: Pictures = "digits",
    *,
    config: TrainConfig = TrainConfig(),  # noqa: B008  # a frozen value
    on_progress: OnProgress | None = None,
    began: float | None = None,
    **flags: Unpack[TrainFlags],
) -> Run:
    """Trains and exports one architecture beside random ones, as the command `untrained train`.

    Args:
        architecture: its text form, or a value of the space.
        images: as of `search`.
        config: what the flags change.
        on_progress: called as work proceeds; by default, a notebook shows a line.
        began: as of `search`.
        flags: as of `TrainConfig`, which says what each means.

    Raises:
        ValueError, OSError: as `search`.
    """
    asked = training(str(architecture), configured(config, flags))
    return search(images, config=asked, on_progress=on_progress, began=began)


@takes_flags(SweepConfig, "images")
def sweep(
    name: str,
    images: Pictures = "digits",
    *,
    config: SweepConfig = SweepConfig(),  # noqa: B008  # a frozen value
    on_progress: OnProgress | None = None,
    **flags: Unpack[SweepFlags],
) -> SweepState:
    """Measures scores on a whole space, a list, or millions of random architectures.

    As the command `untrained sweep`: a job that any number of drivers share, which are calls of
    this name with the same flags, in whatever process, on whatever machine.

    Args:
        name: what the sweep is called, by which drivers find each other.
        images: as of `search`.
        config: what the flags change.
        on_progress: called as work proceeds; by default, a notebook shows a line.
        flags: as of `SweepConfig`, which says what each means.

    Raises:
        ValueError: as `search`; or another sweep of this name was begun with other flags.
        OSError: as `search`.
    """
    asked = configured(config, flags)
    with ExitStack() as stack:
        tell = on_progress or shown_by_default()
        return sweeps.sweep(name, with_images(asked, images, stack), tell)


def _texts(architectures: str | Architecture | Sequence[str | Architecture]) -> tuple[str, ...]:
    if isinstance(architectures, str) or not isinstance(architectures, Sequence):
        return (str(architectures),)
    return tuple(map(str, architectures))
