"""What the measurements of `experiments/nngp.py` say, as tables and pictures.

    python experiments/nngp_tables.py

reads `results/nngp/<case>.csv` and the benchmarks' tables, and writes
`results/nngp/agreement.csv`, `combined.csv`, `partial.csv`, `shrinking.csv` and `seeds.csv`.
"""

from collections.abc import Iterator
from dataclasses import asdict
from functools import cache
from typing import Any

import numpy as np
import polars as pl
import torch
from nngp import CASES, RESULTS, STATISTICS, Case
from scipy.stats import spearmanr
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from untrained.kernels.nngp import nngp_flops
from untrained.spaces import get_space
from untrained.tables import (
    TABLES,
    agreement,
    cross_fitted,
    exceedance,
    partial,
    partial_tau,
    rank_sum,
    search_within,
    shrink,
    z_sum,
)

THRESHOLDS = (0.85, 0.87, 0.89, 0.91, 0.93)
PRIMARY = {
    "nasbench101": "leave-one-out accuracy",
    "nasbench201": "likelihood",
    "mnas": "leave-one-out accuracy",
}
"""The statistic called NNGP below. That of NAS-Bench-101 was chosen by its first 2 DESIGN rows,
that of NAS-Bench-201 by its first DESIGN rows; that of MNAS was not, as none ranks there."""
TRAINED = {"nasbench101": 40_000, "nasbench201": 25_000}
"Images in an epoch of the benchmark's training."


def truth(case: Case) -> str:
    """The column of accuracies that a case is judged by."""
    if case.space == "nasbench201":
        return f"{case.images}_test_200"
    return {"nasbench101": "cifar10_valid_108", "mnas": "imagenet_top1"}[case.space]


def baselines(case: Case) -> dict[str, str]:
    """Other scores of the table: name -> column."""
    if case.space == "nasbench101":
        epochs = {f"{k} epochs": f"cifar10_valid_{k}" for k in (4, 12, 36)}
        sizes = {"multiply-adds": "full_macs", "trainable layers": "layers"}
        return {**epochs, "parameters": "params", **sizes}
    if case.space == "nasbench201":
        data = case.images
        return {
            "12 epochs": f"{data}_valid_12",
            "parameters": f"{data}_params",
            "multiply-adds": f"{data}_mflops",
        }
    return {"parameters": "mparams", "multiply-adds": "mmacs", "seconds": "seconds"}


@cache
def size(space: str, text: str) -> tuple[float, int]:
    """Multiply-adds of the published network for one image, and its trainable layers."""
    found = get_space(space)
    with torch.device("meta"):
        network = found.build(
            found.parse(text), found.scales["full"], inputs=(3, 32, 32), classes=10
        ).eval()
        image = torch.empty(1, 3, 32, 32)
    counter = FlopCounterMode(display=False)
    with counter, torch.no_grad():
        network(image)
    layers = sum(isinstance(m, nn.Conv2d | nn.Linear) for m in network.modules())
    return counter.get_total_flops() / 2, layers


@cache
def joined(name: str) -> pl.DataFrame:
    """The measurements of a case beside the rows of its space's table."""
    case = CASES[name]
    frame = pl.read_csv(RESULTS / f"{name}.csv")
    table = TABLES[case.space]().frame
    clash = [c for c in table.columns if c in frame.columns and c != "architecture"]
    frame = frame.join(table.drop(clash), on="architecture", how="left", maintain_order="left")
    if case.space == "nasbench101":
        sizes = [size(case.space, text) for text in frame["architecture"]]
        names = {"full_macs": pl.Float64, "layers": pl.Int64}
        frame = frame.hstack(pl.DataFrame(sizes, schema=names, orient="row"))
    return frame


COUNTED = {
    "nasbench101": ("c3", "c1", "mp"),
    "nasbench201": ("conv_3x3", "conv_1x1", "pool", "skip", "none"),
}
"What operations are counted by, in an architecture's text."


def composition(frame: pl.DataFrame, case: Case) -> np.ndarray:
    """How often each operation occurs, and on NAS-Bench-101 how many vertices and edges."""
    text = pl.col("architecture")
    counts = [text.str.count_matches(part).alias(part) for part in COUNTED[case.space]]
    more = ["n_vertices", "n_edges"] if case.space == "nasbench101" else []
    return frame.select(*counts, *more).to_numpy().astype(float)


def score_of(frame: pl.DataFrame, statistic: str) -> np.ndarray:
    """A statistic with its sign, NaN where it failed."""
    return STATISTICS[statistic][0] * frame[statistic].cast(float).fill_null(np.nan).to_numpy()


def same(scores: np.ndarray) -> bool:
    """Whether there is nothing to rank by: one or two values."""
    return len(np.unique(scores[np.isfinite(scores)])) < 3


def flops(frame: pl.DataFrame, case: Case, train: int, draws: int) -> float:
    """FLOPs of one architecture's NNGP statistics, on average."""
    width = {"nasbench101": 4, "nasbench201": 4, "mnas": 40}[case.space]
    return nngp_flops(
        frame.select(pl.col("macs").mean()).item(),
        train=train,
        validation=case.validation,
        draws=draws,
        features=width * int(case.scale.get("channels", 16)),
        classes=case.classes or {"cifar100": 100}.get(case.images, 10),
    )


def shortened(frame: pl.DataFrame, case: Case, epochs: int) -> float:
    """FLOPs of so many epochs of the benchmark's training: forward, and twice that backward."""
    if case.space == "nasbench101":
        macs = frame.select(pl.mean("full_macs")).item()
    else:
        macs = 1e6 * frame.select(pl.mean(f"{case.images}_mflops")).item()
    return 2 * macs * 3 * epochs * TRAINED[case.space]


def compared(scores: np.ndarray, accuracies: np.ndarray, case: Case) -> dict[str, Any]:
    """Every statistic of a ranking, as columns; fewer resamples where a table has many rows."""
    row: dict[str, Any] = agreement(
        scores, accuracies, resamples=1000 if case.count > 100 else 200
    ).row()
    if case.space == "nasbench101":
        values = exceedance(scores, accuracies, THRESHOLDS)
        row |= {f"exceeds {p}": value for p, value in zip(THRESHOLDS, values, strict=True)}
    return row


def agreements() -> Iterator[dict[str, Any]]:
    """A row for each case, n_t, M and statistic; and for each other score."""
    for name in names():
        case, frame = CASES[name], joined(name)
        for train, draws in frame.select("train", "draws").unique(maintain_order=True).rows():
            group = frame.filter(train=train, draws=draws)
            accuracies = group[truth(case)].to_numpy()
            cost = {
                "seconds": group["seconds"].mean(),
                "flops": flops(group, case, train, draws),
            }
            for statistic in STATISTICS:
                scores = score_of(group, statistic)
                if same(scores):
                    continue
                labels = {"case": name, "train": train, "draws": draws, "score": statistic}
                yield labels | compared(scores, accuracies, case) | cost
        group = one(name)
        accuracies = group[truth(case)].to_numpy()
        for other, column in baselines(case).items():
            scores = group[column].cast(float).to_numpy()
            labels = {"case": name, "score": other}
            cost = {}
            if other.endswith("epochs"):
                cost["flops"] = shortened(group, case, int(other.split()[0]))
            yield labels | compared(scores, accuracies, case) | cost


def names() -> list[str]:
    """The scores that were measured."""
    return [name for name in CASES if (RESULTS / f"{name}.csv").exists()]


MAIN = (
    "nasbench201_eight",
    "nasbench101",
    "nasbench201",
    "nasbench201_batch",
    "nasbench201_cifar100",
    "mnas",
    "mnas_he",
)


def one(name: str) -> pl.DataFrame:
    """A case at its largest n_t and M, a row an architecture."""
    frame = joined(name)
    return frame.filter(train=frame["train"].max(), draws=frame["draws"].max())


def combined() -> Iterator[dict[str, Any]]:
    """The NNGP's statistic with shortened training, parameters, or both."""
    for name in [n for n in MAIN if n in names()]:
        case, group = CASES[name], one(name)
        accuracies = group[truth(case)].to_numpy()
        ours = score_of(group, PRIMARY[case.space])
        others = {k: group[c].cast(float).to_numpy() for k, c in baselines(case).items()}
        ways = [(k,) for k in others] + (
            [("4 epochs", "parameters")] if case.space == "nasbench101" else []
        )
        for way in ways:
            known = [others[k] for k in way]
            for with_ours in (False, True):
                chosen = [ours, *known] if with_ours else known
                label = " + ".join((["NNGP"] if with_ours else []) + list(way))
                rows = (
                    {"alone": known[0]}
                    if len(chosen) == 1
                    else {
                        "rank sum": rank_sum(*chosen),
                        "z sum": z_sum(*chosen),
                        "fitted on the other half": cross_fitted(np.stack(chosen, 1), accuracies),
                    }
                )
                for how, scores in rows.items():
                    yield {"case": name, "scores": label, "how": how} | compared(
                        scores, accuracies, case
                    )


def partials() -> Iterator[dict[str, Any]]:
    """What the NNGP knows beyond other scores, and they beyond it."""
    for name in [n for n in MAIN if n in names()]:
        case, group = CASES[name], one(name)
        accuracies = group[truth(case)].to_numpy()
        others = {k: group[c].cast(float).to_numpy() for k, c in baselines(case).items()}
        sizes = [k for k in ("parameters", "multiply-adds") if k in others]
        sets = [[k] for k in others] + [sizes]
        first = next((k for k in others if k.endswith("epochs")), None)
        sets += [[first, *sizes]] if first else [[*sizes, "seconds"]]
        for statistic in STATISTICS:
            ours = score_of(group, statistic)
            if same(ours):
                continue
            for given in sets:
                found = partial(ours, accuracies, np.stack([others[k] for k in given], 1))
                yield {
                    "case": name,
                    "score": f"NNGP {statistic}",
                    "given": " + ".join(given),
                    "rho": found.rho,
                    "rho_low": found.interval[0],
                    "rho_high": found.interval[1],
                    "tau": partial_tau(ours, accuracies, others[given[0]])
                    if len(given) == 1
                    else None,
                }
            if case.space in COUNTED:
                size = np.stack([others[k] for k in sizes], 1)
                found = partial(
                    ours, accuracies, np.concatenate([composition(group, case), size], 1)
                )
                yield {
                    "case": name,
                    "score": f"NNGP {statistic}",
                    "given": "operations counted + " + " + ".join(sizes),
                    "rho": found.rho,
                    "rho_low": found.interval[0],
                    "rho_high": found.interval[1],
                }
        ours = score_of(group, PRIMARY[case.space])
        for other, scores in others.items():
            found = partial(scores, accuracies, ours[:, None])
            yield {
                "case": name,
                "score": other,
                "given": f"NNGP {PRIMARY[case.space]}",
                "rho": found.rho,
                "rho_low": found.interval[0],
                "rho_high": found.interval[1],
                "tau": partial_tau(scores, accuracies, ours),
            }


def shrunk() -> Iterator[dict[str, Any]]:
    """What is left after keeping the best by a cheap score, and what a search finds in it."""
    for name in [n for n in MAIN if n in names() and CASES[n].count >= 250]:
        case, group = CASES[name], one(name)
        accuracies = group[truth(case)].to_numpy()
        others = {k: group[c].cast(float).to_numpy() for k, c in baselines(case).items()}
        costly = {"nasbench101": ("12 epochs", "36 epochs"), "nasbench201": ("12 epochs",)}
        cheap = {
            "NNGP": score_of(group, PRIMARY[case.space]),
            "parameters": others["parameters"],
            "at random": np.random.default_rng(0).permutation(len(group)).astype(float),
        }
        cheap["NNGP + parameters"] = rank_sum(cheap["NNGP"], cheap["parameters"])
        if "4 epochs" in others:
            cheap["4 epochs"] = others["4 epochs"]
        for share in (1.0, 0.5, 0.25, 0.1):
            for by, values in cheap.items():
                row: dict[str, Any] = {"case": name, "kept by": by, "share": share}
                row |= asdict(shrink(values, accuracies, share))
                for expensive in costly.get(case.space, ()):
                    found = search_within(values, others[expensive], accuracies, share, budget=20)
                    row |= {f"found by {expensive}": found.mean, "deviation": found.deviation}
                yield row


SEEDS = ("nasbench101", "nasbench101_seed_1", "nasbench101_seed_2")
"Cases that differ in weights and images alone."


def over_seeds() -> Iterator[dict[str, Any]]:
    """rho on the cells that the cases share, for each choice of weights and images."""
    shared = CASES[SEEDS[-1]].count
    for draws in (1, 2):
        for statistic in STATISTICS:
            row: dict[str, Any] = {"draws": draws, "score": statistic}
            for name in SEEDS:
                group = joined(name).filter(train=1000, draws=draws).head(shared)
                accuracies = group[truth(CASES[name])].to_numpy()
                row[name] = spearmanr(score_of(group, statistic), accuracies).statistic
            yield row


def main() -> None:
    """Writes every table."""
    for kind, rows in (
        ("seeds", over_seeds()),
        ("agreement", agreements()),
        ("combined", combined()),
        ("partial", partials()),
        ("shrinking", shrunk()),
    ):
        frame = pl.DataFrame(list(rows), infer_schema_length=None)
        frame.write_csv(RESULTS / f"{kind}.csv", float_precision=4)
        print(f"results/nngp/{kind}.csv: {len(frame)} rows")


if __name__ == "__main__":
    main()
