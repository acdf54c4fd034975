"""Searches, scorings and trainings from Python, as the commands of these names."""

from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar, Unpack

from untrained.front.flags import configured, takes_flags
from untrained.front.keywords import ScoreFlags, SearchFlags, TrainFlags
from untrained.front.run import Run, run_in
from untrained.images import Images, load_images
from untrained.images.held import holding
from untrained.runs import RunConfig, run
from untrained.runs.config import MachineConfig, ScoreConfig, TrainConfig
from untrained.runs.session import OnProgress, ignore
from untrained.runs.track_config import TrackConfig
from untrained.settings import join_texts
from untrained.spaces import Architecture, get_space

C = TypeVar("C", bound=MachineConfig | TrackConfig)
Pictures = str | Path | Mapping[str, Any] | Images
"A name, a file, a folder; arrays as `load_images` takes them; or what it gives."


@takes_flags(RunConfig, "images")
def search(
    images: Pictures = "digits",
    *,
    config: RunConfig = RunConfig(),  # noqa: B008  # a frozen value
    on_progress: OnProgress = ignore,
    began: float | None = None,
    **flags: Unpack[SearchFlags],
) -> Run:
    """Searches a space for a good network on images; with `train=True`, trains and exports it.

    As the command `untrained search`, whose flags are the keyword arguments. What was computed is
    kept in `out` and never computed again: called again after it was stopped in any way, it
    resumes and ends with the same numbers.

    Args:
        images: a name such as `cifar10`, a folder with a subfolder of pictures per class, a file,
            `{"x_train": pixels, "y_train": labels}`, or what `load_images` gives.
        config: what the flags change.
        on_progress: called as work proceeds.
        began: when the time of `time_budget` began, as of `time.perf_counter`; None is now.
        flags: as of `RunConfig`, which says what each means.

    Raises:
        ValueError: a configuration, image set or plug-in that makes no sense.
        OSError: files that are missing or cannot be written, or a run held by another process.

    Example:
        >>> import untrained
        >>> found = untrained.search("digits", searcher="random", options={"evaluations": 2},
        ...                          scores="naswot", draws=1, workers=0, out=out)
        >>> found.trials["number"].to_list(), found.best in found.trials["architecture"]
        ([0, 1], True)
    """
    asked = configured(config, flags)
    with ExitStack() as stack:
        asked = with_images(asked, images, stack)
        folder = run(asked, on_progress, began)
    return run_in(folder, get_space(asked.space))


@takes_flags(ScoreConfig, "images")
def score(
    architectures: str | Architecture | Sequence[str | Architecture],
    images: Pictures = "digits",
    *,
    config: ScoreConfig = ScoreConfig(),  # noqa: B008  # a frozen value
    on_progress: OnProgress = ignore,
    **flags: Unpack[ScoreFlags],
) -> Run:
    """Scores architectures that are named, as the command `untrained score`.

    Args:
        architectures: text forms, or values of the space; one, or several.
        images: as of `search`.
        config: what the flags change.
        on_progress: called as work proceeds.
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
    on_progress: OnProgress = ignore,
    began: float | None = None,
    **flags: Unpack[TrainFlags],
) -> Run:
    """Trains and exports one architecture beside random ones, as the command `untrained train`.

    Args:
        architecture: its text form, or a value of the space.
        images: as of `search`.
        config: what the flags change.
        on_progress: called as work proceeds.
        began: as of `search`.
        flags: as of `TrainConfig`, which says what each means.

    Raises:
        ValueError, OSError: as `search`.
    """
    asked = training(str(architecture), configured(config, flags))
    return search(images, config=asked, on_progress=on_progress, began=began)


def with_images(config: C, images: Pictures, stack: ExitStack) -> C:
    """The configuration on these images, which are held until the stack unwinds if they are this
    process's.

    Raises:
        ValueError: images of another size than is asked for.
    """
    if isinstance(images, str | Path):
        return replace(config, images=str(images))
    if not isinstance(images, Images):
        images = load_images(images, size=config.size, seed=config.seed)
    elif config.size is not None:
        raise ValueError(
            f"size: expected none beside images that are loaded, got {config.size!r}; try "
            f"load_images(..., size={config.size!r})"
        )
    return replace(config, images=stack.enter_context(holding(images)))


def scoring(architectures: Sequence[str], config: ScoreConfig) -> RunConfig:
    """The run that scores named architectures."""
    return RunConfig(**vars(config), **given(config.space, architectures))


def training(architecture: str, config: TrainConfig) -> RunConfig:
    """The run that trains a named architecture."""
    space = get_space(config.space)
    if space.parse(architecture).partial:
        raise ValueError(
            f"expected a discrete architecture to train, got {architecture}, which keeps several "
            f"operations on an edge or more edges than a network has; try untrained score"
        )
    size: dict[str, Any] = {"draws": 1, "train": True, "scores": ("parameters", "macs")}
    return RunConfig(**vars(config), **given(config.space, (architecture,)), **size)


def given(space: str, architectures: Sequence[str]) -> dict[str, Any]:
    """What asks for named architectures, in place of a search."""
    if not architectures:
        raise ValueError("expected the text form of one architecture or more, got none")
    found = get_space(space)  # some published forms hold spaces, which separate here
    texts = [str(found.parse(text)) for text in architectures]
    return {"searcher": "given", "options": {"architectures": join_texts(texts)}}


def _texts(architectures: str | Architecture | Sequence[str | Architecture]) -> tuple[str, ...]:
    if isinstance(architectures, str) or not isinstance(architectures, Sequence):
        return (str(architectures),)
    return tuple(map(str, architectures))
