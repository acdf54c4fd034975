"""Label-gradient alignment: how well kernels rank networks, before and after a little training.

    python experiments/lga.py epochs cifar10
    python experiments/lga.py epochs cifar100
    python experiments/lga.py initialisation
    python experiments/lga.py settings
    python experiments/lga.py draws cifar10

Each resumes where it was stopped, and leaves a row for each architecture in `results/lga/*.csv`;
`experiments/lga_tables.py` makes tables of them, and `docs/lga.md` shows these.
"""

from dataclasses import replace
from pathlib import Path
from typing import Annotated

import cyclopts
import polars as pl

from untrained.runs import RunConfig, RunRecord, load_record, run
from untrained.runs.short_training import SHORT_TRAINING
from untrained.settings import Setting, changed
from untrained.tables import TABLES
from untrained.training import TrainingSpec

RESULTS = Path(__file__).parents[1] / "results" / "lga"

EPOCHS = (1, 2, 5)

ALIGNMENTS = ("label_alignment", "label_alignment_normalised", "label_alignment_centred")
KERNEL = (*ALIGNMENTS, "ntk_norm", "ntk_mean", "ntk_trace", "condition_number")
OUTPUTS = ("training_loss", "training_accuracy", "validation_loss", "validation_accuracy")

LIKE_LGA: dict[str, Setting] = {
    "count": 256,
    "split": "validation",
    "augment": False,
    "at_most": True,
    "parameters": "weights_below_head",
    "scale": "narrow",
}
"What makes the condition number one of the kernel that LGA is of."

COMMON = RunConfig(
    images="cifar10",
    size=16,
    searcher="random",
    options={"evaluations": 300},
    scores=(
        "parameters",
        *(f"{name}@0" for name in KERNEL),
        *(f"{name}@{e}" for e in EPOCHS for name in (*KERNEL, *OUTPUTS)),
    ),
    score_settings={"condition_number": LIKE_LGA},
    short_training=TrainingSpec(images=2000),
    draws=1,
    proposals=20,
)
"Random architectures at initialisation and after 1, 2 and 5 epochs."

app = cyclopts.App(help=__doc__)


@app.command
def epochs(
    images: str,
    *,
    count: int = 300,
    size: int = 16,
    training_images: int = 2000,
    out: Path = Path("untrained-runs"),
    workers: int = 2,
) -> None:
    """Random architectures of NAS-Bench-201 at initialisation and after 1, 2 and 5 epochs.

    Args:
        images: `cifar10` or `cifar100`.
        count: Architectures, no two of which compute the same; they do not depend on the images.
        size: Side of the images in pixels.
        training_images: Training images.
        out: Folder of the store.
        workers: Processes.
    """
    config = replace(COMMON, images=images, size=size, workers=workers, out=out)
    config = replace(
        config, options={"evaluations": count}, short_training=TrainingSpec(images=training_images)
    )
    keep(measured(config), f"epochs_{images}")


@app.command
def draws(
    images: str,
    *,
    count: int = 300,
    draws: int = 3,
    out: Path = Path("untrained-runs"),
    workers: int = 2,
) -> None:
    """Other weights and images for the architectures of `epochs`, up to the first epoch.

    Args:
        images: `cifar10` or `cifar100`.
        count: Architectures.
        draws: Draws of each, the one of `epochs` and others.
        out: Folder of the store.
        workers: Processes.
    """
    assert COMMON.scores is not None
    few = tuple(score for score in COMMON.scores if score.partition("@")[2] in ("", "0", "1"))
    config = replace(COMMON, images=images, scores=few, draws=draws, workers=workers, out=out)
    keep(measured(replace(config, options={"evaluations": count})), f"draws_{images}")


VARIANTS: dict[str, dict[str, Setting]] = {
    "as above": {},
    "learning rate 0.1": {"learning_rate": 0.1},
    "1,000 images, batches of 32": {"images": 1000, "batch": 32},
    "8,000 images, batches of 256": {"images": 8000, "batch": 256},
    "500 images, batches of 64": {"images": 500},
    "BatchNorm by running averages": {"batchnorm": "running"},
    "5 cells a stage": {"cells": 5},
    "32 x 32 pixels": {"size": 32},
}
"Name -> what is otherwise than in `epochs`."


@app.command
def settings(*, count: int = 32, out: Path = Path("untrained-runs"), workers: int = 2) -> None:
    """What one epoch says under other settings, of architectures that `epochs` does not measure.

    Args:
        count: Architectures.
        out: Folder of the store.
        workers: Processes.
    """
    scores = (*ALIGNMENTS, "ntk_mean@1", "training_loss", "validation_accuracy")
    frames = []
    for name, variant in VARIANTS.items():
        trained = {key: variant[key] for key in SHORT_TRAINING if key in variant}
        network = {key: variant[key] for key in ("cells", "batchnorm") if key in variant}
        kernels = (*ALIGNMENTS, "ntk_mean@1")
        config = RunConfig(
            images="cifar10",
            size=int(variant.get("size", 16)),
            searcher="random",
            options={"evaluations": count},
            scores=scores,
            score_settings={
                score: {k: v for k, v in network.items() if k == "cells" or score in kernels}
                for score in scores
            },
            short_training=changed(TrainingSpec(images=2000), trained, name),
            draws=1,
            seed=1,
            proposals=8,
            workers=workers,
            out=out,
        )
        record = measured(config)
        seconds = sum(cost.seconds for cost in record.costs if cost.step != "load images") / count
        print(name, seconds)
        labels = {"setting": pl.lit(name), "seconds": pl.lit(seconds)}
        frames.append(record.frame().with_columns(**labels))
    pl.concat(frames).write_csv(RESULTS / "settings_rows.csv", float_precision=6)


TABLED: dict[str, tuple[str, str, int]] = {
    "nasbench201": ("nasbench201", "cifar10", 200),
    "nasbench101": ("nasbench101", "cifar10", 300),
    "darts": ("darts", "cifar10", 100),
    "mnas": ("mnas", "cifar10", 80),
}
"Name -> space, images and rows of its table."


@app.command
def initialisation(
    *,
    names: Annotated[tuple[str, ...], cyclopts.Parameter(consume_multiple=True)] = tuple(TABLED),
    draws: int = 3,
    out: Path = Path("untrained-runs"),
    workers: int = 2,
) -> None:
    """Kernels at initialisation on rows of every space's table, at 32 x 32 pixels.

    Args:
        names: Keys of TABLED.
        draws: Draws of each row.
        out: Folder of the store.
        workers: Processes.
    """
    scores = tuple(f"{name}@0" for name in KERNEL)
    few: dict[str, dict[str, Setting]] = {name: {"count": 128} for name in scores}
    for name in names:
        space, images, count = TABLED[name]
        table = TABLES[space]().frame.sample(count, seed=0)
        config = RunConfig(
            images=images,
            space=space,
            searcher="given",
            options={"architectures": " ".join(table["architecture"])},
            scores=("parameters", *scores),
            score_settings={**few, "condition_number": LIKE_LGA},
            draws=draws,
            workers=workers,
            out=out,
        )
        keep(measured(config), f"initialisation_{name}")


def measured(config: RunConfig) -> RunRecord:
    """The record of a run, made or resumed."""
    folder = run(config, lambda progress: print(*progress, flush=True))
    return load_record(folder.store, folder.name)


def keep(record: RunRecord, name: str) -> None:
    """A row for each draw of each architecture, a column for each score; and what each cost."""
    record.frame().write_csv(RESULTS / f"{name}.csv", float_precision=6)
    costs = [
        {"step": cost.step, "count": cost.count, "seconds": cost.seconds} for cost in record.costs
    ]
    pl.DataFrame(costs).write_csv(RESULTS / f"{name}_seconds.csv", float_precision=3)
    print(f"{len(record.trials)} architectures, {sum(record.wall_seconds.values()):.0f} s")


if __name__ == "__main__":
    app()
