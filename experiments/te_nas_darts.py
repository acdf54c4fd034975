"""TE-NAS on DARTS: searches, how well kappa and R rank, and a scaled-down training.

    python experiments/te_nas_darts.py searches
    python experiments/te_nas_darts.py imagenet
    python experiments/te_nas_darts.py correlations
    python experiments/te_nas_darts.py training

Interrupted, each resumes. Rows go to `results/te_nas_darts/*.csv`; `docs/te_nas.md` shows them.
"""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from statistics import median

import cyclopts
import numpy as np
import polars as pl
from scipy.stats import rankdata

from untrained.data import data_folder
from untrained.runs import RunConfig, RunRecord, load_record, run
from untrained.settings import Setting
from untrained.spaces import get_space, prunable
from untrained.spaces.darts import genotype
from untrained.tables import agreement
from untrained.training import TrainingSpec

RESULTS = Path(__file__).parents[1] / "results" / "te_nas_darts"
SPACE = prunable(get_space("darts"))
FEW: dict[str, dict[str, Setting]] = {"condition_number": {"count": 14}}
"As many images as the authors' code takes on CIFAR-10."

app = cyclopts.App(help=__doc__)


@app.command
def searches(*, seeds: int = 4, out: Path = Path("untrained-runs")) -> None:
    """Searches on CIFAR-10: 3 operations an edge a round, then 2 edges a node.

    Args:
        seeds: Seeds 0 to seeds - 1.
        out: Folder of the store.
    """
    config = RunConfig(images="cifar10", space="darts", score_settings=FEW, out=out)
    keep("searches", [row for seed in range(seeds) for row in rounds(replace(config, seed=seed))])


@app.command
def imagenet(*, draws: int = 1, out: Path = Path("untrained-runs")) -> None:
    """The search with the paper's settings for ImageNet, on Tiny-ImageNet at 32 x 32.

    Args:
        draws: Of each operation; the paper takes 3.
        out: Folder of the store.
    """
    config = RunConfig(
        images="tinyimagenet32", space="darts", preset="paper_imagenet", draws=draws, out=out
    )
    keep("imagenet", rounds(config))


def rounds(config: RunConfig) -> Iterator[dict[str, object]]:
    """A row for each parent of the search: the supernet, what rounds leave of it, and the last."""
    record = measured(config)
    assert record.selected is not None
    parents = [trial for trial in record.trials if trial.role == "parent"]
    for number, parent in enumerate(parents):
        row: dict[str, object] = {"seed": config.seed, "round": number}
        for score, name in (("condition_number", "kappa"), ("linear_regions", "R")):
            values = [r.value for r in parent.readings[score] if r.value is not None]
            row |= {
                name: median(values),
                f"{name}_least": min(values),
                f"{name}_most": max(values),
            }
        last = number == len(parents) - 1
        yield row | {
            "operations": len(SPACE.kept(SPACE.parse(parent.architecture))),
            "seconds": record.wall_seconds["search"] if last else None,
            "parameters": parameters(record.selected) if last else None,
            "selected": genotype(SPACE.parse(record.selected)) if last else None,
        }


def parameters(architecture: str) -> int:
    """Of the CIFAR network with 20 cells and 36 channels, without its auxiliary head."""
    network = SPACE.build(
        SPACE.parse(architecture), SPACE.scales["full"], inputs=(3, 32, 32), classes=10
    )
    return sum(parameter.numel() for parameter in network.parameters())


@app.command
def correlations(*, deep: bool = False, out: Path = Path("untrained-runs")) -> None:
    """Kappa, R and their rank sum on the 725 genotypes, at TE-NAS's depth.

    Args:
        deep: One draw of networks of 8 cells and 3 channels too.
        out: Folder of the store.
    """
    table = pl.read_parquet(data_folder() / "tables" / "nasbench301_725.parquet")
    texts = [str(SPACE.parse(text)) for text in table["architecture"]]
    accuracies = dict(zip(texts, table["cifar10_surrogate_valid"], strict=True))
    baselines = {
        name: dict(zip(texts, table[name], strict=True)) for name in ("params", "flops", "nwot")
    }
    config = RunConfig(
        images="cifar10",
        space="darts",
        searcher="given",
        options={"architectures": " ".join(texts)},
        score_settings=FEW,
        out=out,
    )
    rows = list(ranked(measured(config), accuracies, "2 cells", baselines))
    if deep:
        network: dict[str, Setting] = {"cells": 8, "stages": 3}
        settings = {
            "condition_number": {"count": 14, "channels": 3, **network},
            "linear_regions": network,
        }
        rows += ranked(
            measured(replace(config, score_settings=settings, draws=1)), accuracies, "8 cells", {}
        )
    keep("correlations", rows)


def ranked(
    record: RunRecord,
    accuracies: dict[str, float],
    depth: str,
    baselines: dict[str, dict[str, float]],
) -> Iterator[dict[str, object]]:
    """A row for each score: the mean of its draws, and each draw alone."""
    texts = [trial.architecture for trial in record.trials]
    truth = np.array([accuracies[text] for text in texts])
    columns = {score: record.values(score) for score in record.directions}
    kappa = columns["condition_number"]
    columns["condition_number"] = -np.log(-kappa)
    means = {score: values.mean(1) for score, values in columns.items()}
    means["rank sum"] = sum(rankdata(column, nan_policy="omit") for column in means.values())
    draws = {
        f"{score}, draw {d}": values[:, d]
        for score, values in columns.items()
        for d in range(values.shape[1])
    }
    known = {
        name: np.array([column[text] for text in texts]) for name, column in baselines.items()
    }
    for score, values in (means | draws | known).items():
        yield {"depth": depth, "score": score, **agreement(values, truth).row()}


@app.command
def training(
    *,
    images: int = 4000,
    epochs: int = 12,
    channels: int = 8,
    cells: int = 8,
    out: Path = Path("untrained-runs"),
) -> None:
    """Trains what seed 0 selected and three random genotypes with TE-NAS's recipe, scaled down.

    Args:
        images: Training images, the first of CIFAR-10.
        epochs: Of the recipe; 600 as published.
        channels: Of the network; 36 as published.
        cells: Of the network; 20 as published.
        out: Folder of the store.
    """
    config = RunConfig(images="cifar10", space="darts", score_settings=FEW, out=out)
    selected = measured(config).selected
    assert selected is not None
    few = out / f"cifar10_first_{images}.npz"
    with np.load(data_folder() / "images" / "cifar10.npz") as whole:
        parts = {name: whole[name] for name in whole.files}
    parts |= {name: parts[name][:images] for name in ("x_train", "y_train")}
    np.savez(few, **parts)
    record = measured(
        replace(
            config,
            images=str(few),
            searcher="given",
            options={"architectures": selected},
            scores=("parameters",),
            score_settings={},
            draws=1,
            train=True,
            compare=3,
            channels=channels,
            cells=cells,
            training=TrainingSpec(recipe="te_nas_cifar10", epochs=epochs),
        )
    )
    keep(
        "training",
        [
            {
                "role": trained.role,
                "test_accuracy": trained.test_accuracy,
                "parameters": trained.parameters,
                "epochs": len(trained.epochs),
                "train_loss": trained.epochs[-1].train_loss,
                "seconds": trained.seconds,
                "architecture": trained.architecture,
            }
            for trained in record.trainings
        ],
    )


def measured(config: RunConfig) -> RunRecord:
    """The record of a run, made or resumed."""
    folder = run(config)
    return load_record(folder.store, folder.name)


def keep(name: str, rows: Iterator[dict[str, object]] | list[dict[str, object]]) -> None:
    """Writes the rows and prints them."""
    frame = pl.DataFrame(list(rows))
    frame.write_csv(RESULTS / f"{name}.csv", float_precision=4)
    with pl.Config(tbl_rows=-1, tbl_cols=-1, tbl_width_chars=180, fmt_str_lengths=60):
        print(frame)


if __name__ == "__main__":
    app()
