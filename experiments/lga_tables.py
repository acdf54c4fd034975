"""Tables of what the LGA experiments measured.

python experiments/lga_tables.py

results/lga/agreement.csv        each score after each number of epochs, with trained accuracy
results/lga/differences.csv      how much better one ranks than another, on the same networks
results/lga/draws_agreement.csv  each score with trained accuracy and with itself, draw by draw
results/lga/spending.csv         many networks with one draw, or fewer with three
results/lga/spaces.csv           each score at initialisation, in each space
results/lga/settings.csv         each score after an epoch under other settings
results/lga/movement.csv         how a kernel moves, with trained accuracy
results/lga/searches.csv         what guided searches end with
"""

from collections.abc import Iterator
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from lga import RESULTS, TABLED, VARIANTS
from scipy.stats import kendalltau

from untrained.scores import get_score
from untrained.tables import TABLES, NASBench201Table, agreement
from untrained.tables.agreement import interval_of
from untrained.tables.combining import rank_sum
from untrained.tables.partial import partial_tau

COMBINED = (
    ("label_alignment_normalised@1", "condition_number@0"),
    ("label_alignment_normalised@1", "validation_accuracy@1"),
    ("label_alignment_normalised@1", "condition_number@0", "validation_accuracy@1"),
    ("label_alignment@2", "training_accuracy@2"),
    ("label_alignment_centred@5", "training_accuracy@5"),
)
"Scores whose ranks are summed."
SUMMED = (
    ("label_alignment_normalised@1", "condition_number@0"),
    ("label_alignment_normalised@1", "parameters"),
)
"Scores whose ranks are summed, each the mean of its draws."
SPENT = (
    "label_alignment@1",
    "label_alignment_normalised@1",
    "ntk_mean@1",
    "validation_accuracy@1",
    "condition_number@0",
)
"Scores by which a budget of networks and draws is spent."
COMPARED = (
    ("label_alignment@1", "validation_accuracy@1"),
    ("label_alignment@1", "training_accuracy@1"),
    ("label_alignment_normalised@1", "label_alignment@1"),
    ("label_alignment_normalised@1", "validation_accuracy@1"),
    ("label_alignment@2", "training_accuracy@2"),
    ("label_alignment@5", "validation_accuracy@5"),
    ("label_alignment_centred@5", "validation_accuracy@5"),
)
COMPARED_OVER_DRAWS = (
    ("label_alignment@1", "validation_accuracy@1"),
    ("label_alignment_normalised@1", "label_alignment@1"),
    ("label_alignment_normalised@1", "validation_accuracy@1"),
    ("label_alignment_normalised@1", "condition_number@0"),
    ("label_alignment_normalised@1", "parameters"),
)
DATA = ("cifar10", "cifar100", "imagenet16_120")


def draws_of(frame: pl.DataFrame, column: str) -> np.ndarray:
    """A score, (draws, networks), with higher meaning better, as its authors mean it.

    NaN where it failed; of the condition number the logarithm.
    """
    values = frame[column].cast(pl.Float64).fill_null(np.nan).to_numpy()
    values = values.reshape(frame["draw"].n_unique(), -1)
    name = column.partition("@")[0]
    if name == "condition_number":
        return -np.log(values)
    return values if get_score(name).higher_is_better else -values


def signed(frame: pl.DataFrame, column: str) -> np.ndarray:
    """The mean of its draws."""
    return draws_of(frame, column).mean(0)


def of_networks(frame: pl.DataFrame, column: str) -> np.ndarray:
    """What does not depend on a draw."""
    return frame.filter(draw=0)[column].to_numpy()


def row_of(scores: np.ndarray, truth: np.ndarray, sizes: np.ndarray | None) -> dict[str, Any]:
    """tau and rho with intervals, tau in the better half, and tau given the parameters."""
    found = agreement(scores, truth)
    row: dict[str, Any] = {
        "count": found.count,
        "failed": found.failed,
        "tau": found.tau,
        "tau_low": found.tau_interval[0],
        "tau_high": found.tau_interval[1],
        "rho": found.rho,
        "rho_low": found.rho_interval[0],
        "rho_high": found.rho_interval[1],
        "tau_half": found.tau_half,
        "discovered": 100 * found.discovered,
    }
    if sizes is not None:
        sound = np.isfinite(scores)
        row["tau_given_parameters"] = partial_tau(
            scores[sound], truth[sound], sizes[sound].astype(float)
        )
    return row


def row_of_draws(each: np.ndarray, truth: np.ndarray, sizes: np.ndarray | None) -> dict[str, Any]:
    """What the mean over draws, rows of `each`, ranks like; tau of each draw, and between two."""
    known = np.isfinite(each).all(0)
    taus = {
        f"tau of draw {draw}": kendalltau(scores[known], truth[known]).statistic
        for draw, scores in enumerate(each)
    }
    pairs = combinations(each[:, known], 2)
    between = float(np.mean([kendalltau(*pair).statistic for pair in pairs]))
    return row_of(each.mean(0), truth, sizes) | taus | {"tau between draws": between}


def measured(name: str) -> Iterator[tuple[str, list[str], pl.DataFrame]]:
    """Each image set, the scores, and their values beside the benchmark's columns."""
    table = NASBench201Table().frame
    for images in ("cifar10", "cifar100"):
        path = RESULTS / f"{name}_{images}.csv"
        if path.exists():
            frame = pl.read_csv(path, infer_schema_length=None)
            beside = frame.join(table, on="architecture", maintain_order="left")
            yield images, frame.columns[2:], beside


def agreements() -> Iterator[dict[str, Any]]:
    """A row for each image set, score and number of epochs."""
    for images, scores, frame in measured("epochs"):
        truth = of_networks(frame, f"{images}_test_200")
        sizes = of_networks(frame, "parameters")
        for column in scores:
            score, _, epochs = column.partition("@")
            asked = {"images": images, "score": score, "epochs": int(epochs or 0)}
            given = None if score == "parameters" else sizes
            yield asked | row_of(signed(frame, column), truth, given)
            if score.startswith("label") and epochs != "0":
                gain = signed(frame, column) - signed(frame, f"{score}@0")
                yield asked | {"score": f"{score} gained"} | row_of(gain, truth, given)
        for parts in COMBINED:
            last = max(int(part.partition("@")[2]) for part in parts)
            asked = {"images": images, "score": " + ".join(parts), "epochs": last}
            both = rank_sum(*(signed(frame, part) for part in parts))
            yield asked | row_of(both, truth, sizes)
        asked = {"images": images, "score": "published validation accuracy", "epochs": 12}
        yield asked | row_of(of_networks(frame, f"{images}_valid_12"), truth, sizes)


def differences() -> Iterator[dict[str, Any]]:
    """tau of a score less that of another, with a bootstrap of the networks that both have."""
    for name, pairs in (("epochs", COMPARED), ("draws", COMPARED_OVER_DRAWS)):
        for images, _, frame in measured(name):
            truth, draws = of_networks(frame, f"{images}_test_200"), frame["draw"].n_unique()
            for first, second in pairs:
                asked = {"images": images, "draws": draws, "score": first, "less": second}
                yield asked | difference(signed(frame, first), signed(frame, second), truth)


def difference(first: np.ndarray, second: np.ndarray, truth: np.ndarray) -> dict[str, float]:
    """tau of the first less that of the second, with an interval."""
    sound = np.isfinite(first) & np.isfinite(second)
    columns = first[sound], second[sound], truth[sound]
    low, high = interval_of(tau_less_tau, columns, 500, vectorized=False)
    return {"tau": tau_less_tau(*columns), "tau_low": float(low), "tau_high": float(high)}


def tau_less_tau(a: np.ndarray, b: np.ndarray, y: np.ndarray) -> float:
    """tau of a with y, less that of b."""
    return float(kendalltau(a, y).statistic - kendalltau(b, y).statistic)


def draws() -> Iterator[dict[str, Any]]:
    """A row for each image set and score."""
    for images, scores, frame in measured("draws"):
        truth = of_networks(frame, f"{images}_test_200")
        sizes = of_networks(frame, "parameters")
        for column in scores:
            given = None if column == "parameters" else sizes
            row = row_of_draws(draws_of(frame, column), truth, given)
            yield {"images": images, "score": column, **row}
        for parts in SUMMED:
            both = rank_sum(*(signed(frame, part) for part in parts))
            asked = {"images": images, "score": " + ".join(parts)}
            yield asked | row_of(both, truth, sizes)


def spending() -> Iterator[dict[str, Any]]:
    """Accuracy of the best of some random networks by a score, over 4,000 samples of them."""
    rng = np.random.default_rng(0)
    for images, _, frame in measured("draws"):
        truth = 100 * of_networks(frame, f"{images}_test_200")
        for column in SPENT:
            each = np.nan_to_num(draws_of(frame, column), nan=-np.inf)
            for networks, draws in ((10, 3), (30, 1), (30, 3), (100, 1)):
                selected = []
                for _ in range(4000):
                    some = rng.choice(len(truth), networks, replace=False)
                    drawn = rng.choice(len(each), draws, replace=False)
                    selected.append(truth[some[each[drawn][:, some].mean(0).argmax()]])
                yield {
                    "images": images,
                    "score": column,
                    "networks": networks,
                    "draws": draws,
                    "accuracy": np.mean(selected),
                    "std": np.std(selected),
                }


def spaces() -> Iterator[dict[str, Any]]:
    """A row for each space and score at initialisation."""
    for name, (space, images, _) in TABLED.items():
        path = RESULTS / f"initialisation_{name}.csv"
        if not path.exists():
            continue
        table = TABLES[space]()
        frame = pl.read_csv(path, infer_schema_length=None)
        accuracy = next(iter(table.accuracies))
        texts, sizes = of_networks(frame, "architecture"), of_networks(frame, "parameters")
        truth = np.array([table.row(text)[accuracy] for text in texts])
        for column in frame.columns[2:]:
            score = column.partition("@")[0]
            given = None if score == "parameters" else sizes
            asked = {"space": space, "images": images, "score": score}
            yield asked | row_of_draws(draws_of(frame, column), truth, given)


def settings() -> Iterator[dict[str, Any]]:
    """A row for each setting and score."""
    table = NASBench201Table().frame
    rows = pl.read_csv(RESULTS / "settings_rows.csv", infer_schema_length=None)
    scores = [column for column in rows.columns[2:] if column not in ("setting", "seconds")]
    for name in VARIANTS:
        frame = rows.filter(setting=name)
        frame = frame.join(table, on="architecture", maintain_order="left")
        truth = frame["cifar10_test_200"].to_numpy()
        for column in scores:
            asked = {"setting": name, "score": column.partition("@")[0]}
            cost = {"seconds": frame["seconds"][0]}
            yield asked | row_of(signed(frame, column), truth, None) | cost


def movement() -> Iterator[dict[str, Any]]:
    """Kendall's tau, over networks, of what was tracked after some epochs with the accuracy."""
    table = NASBench201Table().frame.select("architecture", "cifar10_test_200")
    frame = pl.read_csv(RESULTS / "tracks.csv", infer_schema_length=None)
    frame = frame.join(table, on="architecture")
    start = frame.filter(epoch=0).rename({"alignment": "start"}).select("architecture", "start")
    frame = frame.join(start, on="architecture").with_columns(
        alignment_gained=pl.col("alignment") - pl.col("start")
    )
    known = ("architecture", "epoch", "seconds", "start", "cifar10_test_200")
    for quantity in (column for column in frame.columns if column not in known):
        row: dict[str, Any] = {"quantity": quantity}
        for epoch in (0, 1, 2, 5, 10, 20):
            pairs = frame.filter(epoch=epoch).select(quantity, "cifar10_test_200").drop_nulls()
            differ = pairs[quantity].n_unique() > 1
            row[f"epoch {epoch}"] = kendalltau(*pairs).statistic if differ else None
        yield row


def searches() -> pl.DataFrame:
    """Mean and standard deviation over seeds of what the searches end with."""
    table = NASBench201Table().frame
    last = pl.read_csv(RESULTS / "guided.csv", infer_schema_length=None)
    order = table["cifar10_test_200"].sort().to_numpy()
    beaten = np.searchsorted(order, last["cifar10"].to_numpy() / 100) / (len(order) - 1)
    last = last.with_columns(beats=pl.Series(100 * beaten))
    return last.group_by("searcher", "guide", maintain_order=True).agg(
        pl.len().alias("seeds"),
        *(
            part
            for data in DATA
            for part in (pl.col(data).mean(), pl.col(data).std().alias(f"{data}_std"))
        ),
        pl.col("beats").mean(),
        pl.col("seconds").mean(),
    )


def main() -> None:
    """All tables of what is there."""
    tables = {
        "agreement": lambda: pl.DataFrame(list(agreements()), infer_schema_length=None),
        "differences": lambda: pl.DataFrame(list(differences()), infer_schema_length=None),
        "draws_agreement": lambda: pl.DataFrame(list(draws()), infer_schema_length=None),
        "spending": lambda: pl.DataFrame(list(spending())),
        "spaces": lambda: pl.DataFrame(list(spaces()), infer_schema_length=None),
        "settings": lambda: pl.DataFrame(list(settings()), infer_schema_length=None),
        "movement": lambda: pl.DataFrame(list(movement()), infer_schema_length=None),
        "searches": searches,
    }
    with pl.Config(tbl_rows=-1, tbl_cols=-1, tbl_width_chars=180, float_precision=3):
        for name, make in tables.items():
            try:
                frame = make()
            except FileNotFoundError as error:
                print(f"{name}: {Path(str(error)).name} is not there yet")
                continue
            frame.write_csv(RESULTS / f"{name}.csv", float_precision=4)
            print(name, frame)


if __name__ == "__main__":
    main()
