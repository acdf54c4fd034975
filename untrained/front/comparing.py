"""Models ranked by scores, and scores ranked by tables, from Python."""

from collections.abc import Collection
from contextlib import ExitStack
from typing import Unpack

from untrained import benching, ranking
from untrained.benching import BenchConfig, Leaderboard
from untrained.front.asked import Pictures, with_images
from untrained.front.flags import configured, takes_flags
from untrained.front.keywords import BenchFlags, RankFlags
from untrained.front.watching import shown_by_default
from untrained.ranking import RankConfig, Ranking
from untrained.ranking.naming import Given
from untrained.runs.session import OnProgress


@takes_flags(RankConfig, "images", "models")
def rank(
    models: Given,
    images: Pictures = "digits",
    *,
    config: RankConfig = RankConfig(),  # noqa: B008  # a frozen value
    pretrained: Collection[str] = (),
    on_progress: OnProgress | None = None,
    **flags: Unpack[RankFlags],
) -> Ranking:
    """Ranks models that you have, by training-free scores on images; with sizes and latency.

    As the command `untrained rank`, whose flags are the keyword arguments. What was measured
    before is not measured again, unless some model is this process's alone, such as a function of
    a notebook: then all are measured here, one after the other, and nothing is kept.

    Args:
        models: import paths, such as `["my_nets:small", "timm:resnet18"]`; or name -> a function,
            a class, an nn.Module or an import path. Each is called with those of `classes`,
            `inputs` (channels) and `size` that its signature names.
        images: as of `search`.
        config: what the flags change.
        pretrained: names of makers whose models come with weights that they have learnt.
        on_progress: called as work proceeds; by default, a notebook shows a line.
        flags: as of `RankConfig`, which says what each means.

    Raises:
        ValueError: a model that is not there, or a configuration or images that make no sense.
        OSError: files that are missing or cannot be written.
    """
    asked = configured(config, flags)
    tell = on_progress or shown_by_default()
    with ExitStack() as stack:
        asked = with_images(asked, images, stack)
        return ranking.rank(models, asked, pretrained=pretrained, on_progress=tell)


@takes_flags(BenchConfig, "images")
def bench(
    images: Pictures = "digits",
    *,
    config: BenchConfig = BenchConfig(),  # noqa: B008  # a frozen value
    on_progress: OnProgress | None = None,
    **flags: Unpack[BenchFlags],
) -> Leaderboard:
    """Ranks scores by how well they rank the architectures of a benchmark's table.

    As the command `untrained bench`, whose flags are the keyword arguments. Scores cannot see the
    table. With `train=8`, so many architectures are trained on the images instead.

    Args:
        images: as of `search`; the scores are measured on them.
        config: what the flags change.
        on_progress: called as work proceeds; by default, a notebook shows a line.
        flags: as of `BenchConfig`, which says what each means.

    Raises:
        ValueError: a configuration, table, image set or plug-in that makes no sense.
        OSError: files that are missing or cannot be written.
    """
    asked = configured(config, flags)
    with ExitStack() as stack:
        return benching.bench(with_images(asked, images, stack), on_progress or shown_by_default())
