"""Benches from one call: which architectures, measured once, judged by their table; misuse."""

import json
import random
import sqlite3
import tomllib
from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import ranked
from test_cli import Command, command

from untrained.benching import BenchConfig, Leaderboard, bench, bench_run
from untrained.benching.joined import Measured
from untrained.benching.judged import Judged, find_judged
from untrained.benching.population import draw_sample, rows_of, stratified
from untrained.runs import RunConfig, run
from untrained.runs.record import Cost, RunRecord, seconds_of
from untrained.spaces import get_space
from untrained.spaces.nasbench201 import NASBench201
from untrained.storage import RunFolder, TrialRecord
from untrained.tables import standings

__all__ = ["command"]  # a fixture

SPACE = get_space("nasbench201")


def table_of(path: Path, architectures: list[str]) -> Path:
    """A table of made-up accuracies: the number of convolutions, and noise."""
    rng = np.random.default_rng(0)
    convolutions = np.array([text.count("conv") for text in architectures])
    accuracy = 0.5 + 0.05 * convolutions + rng.normal(0, 0.02, len(architectures))
    pl.DataFrame(
        {
            "architecture": architectures,
            "cifar10_test_200": accuracy,
            "cifar10_valid_12": accuracy + rng.normal(0, 0.05, len(architectures)),
            "cifar10_test_12": accuracy,
            "cifar10_seconds_12": 100.0,
            "cifar100_test_200": -accuracy,
            "cifar10_params": 5,
        }
    ).write_parquet(path)
    return path


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> Path:
    rng = random.Random(1)
    texts = dict.fromkeys(str(SPACE.sample(rng)) for _ in range(60))
    return table_of(tmp_path_factory.mktemp("table") / "some.parquet", [*texts])


@pytest.fixture(scope="module")
def config(table: Path, tmp_path_factory: pytest.TempPathFactory) -> BenchConfig:
    """All tests share its store, and so what was measured."""
    return BenchConfig(
        scores=("ranked:Noisy",),
        table=str(table),
        sample=25,
        draws=2,
        workers=0,
        resamples=100,
        out=tmp_path_factory.mktemp("out"),
    )


def test_a_bench_from_one_call(config: BenchConfig, table: Path) -> None:
    board = bench(config)
    kinds = dict(board.scores.select("score", "kind").iter_rows())
    assert kinds == {
        "ranked:Noisy": "score",
        "parameters": "baseline",
        "macs": "baseline",
        "trainable_layers": "baseline",
        "cifar10_valid_12": "shortened training",
    }
    rows = {row["score"]: row for row in board.scores.iter_rows(named=True)}
    assert rows["ranked:Noisy"]["tau"] < -0.3  # fewer layers are not better, as it says
    assert rows["trainable_layers"]["tau"] > 0.7
    assert rows["cifar10_valid_12"]["seconds"] == 100
    assert 0 < rows["ranked:Noisy"]["seconds"] < 10
    assert rows["ranked:Noisy"]["tau_spread"] > 0
    assert board.population == "25 at random of 60 (all rows of some.parquet)"
    assert board.values.shape[0] == 50
    known = dict(pl.read_parquet(table).select("architecture", "cifar10_test_200").iter_rows())
    for text, accuracy in board.values.select("architecture", "cifar10_test_200").iter_rows():
        assert known[text] == accuracy
    assert board.folder is not None
    asked = tomllib.loads((board.folder / "bench.toml").read_text())
    assert (asked["sample"], asked["scores"]) == (25, ["ranked:Noisy"])


def same(one: Leaderboard, other: Leaderboard) -> bool:
    return one.scores.drop("seconds", "on_front").equals(other.scores.drop("seconds", "on_front"))


def test_nothing_is_measured_twice(config: BenchConfig, monkeypatch: pytest.MonkeyPatch) -> None:
    first = bench(config)
    monkeypatch.setattr(NASBench201, "build", None)  # nothing can be measured any more
    again = bench(config)
    assert again.scores.equals(first.scores)
    assert again.folder == first.folder
    fewer = bench(replace(config, sample=20))
    assert set(fewer.values["architecture"]) < set(first.values["architecture"])
    other = bench(replace(config, dataset="cifar100"))
    assert other.accuracy == "cifar100_test_200"
    assert other.folder != first.folder  # neither leaderboard replaces the other


def test_stopped_and_given_again_it_ends_with_the_same(config: BenchConfig) -> None:
    def stop(progress: object) -> None:
        seen.append(progress)
        if len(seen) == 30:
            raise KeyboardInterrupt

    seen: list[object] = []
    stopped = replace(config, out=config.out / "stopped")
    with pytest.raises(KeyboardInterrupt):
        bench(stopped, stop)
    assert same(bench(stopped), bench(config))


def test_the_cost_of_a_score_has_building_the_network_in_it(config: BenchConfig) -> None:
    slow = replace(config, space="ranked:SPACE", sample=20, draws=1)
    cost = dict(bench(slow).scores.select("score", "seconds").iter_rows())
    assert cost["ranked:Noisy"] > ranked.SLOW


def test_seconds_are_those_of_the_store_whichever_run_spent_them(config: BenchConfig) -> None:
    whole = bench(config)
    again = bench(replace(config, sample=24))  # finds all of it measured
    texts = again.values["architecture"].unique()
    forms = {str(SPACE.canonical(SPACE.parse(text))) for text in texts}
    query = "select question, seconds from measurements where score = 'ranked:Noisy'"
    with sqlite3.connect(config.out / "store.db") as store:
        rows = [(json.loads(question), seconds) for question, seconds in store.execute(query)]
    spent = sum(
        seconds
        for asked, seconds in rows
        if asked["architecture"] in forms and asked["space"] == "nasbench201"
    )
    cost = dict(again.scores.select("score", "seconds").iter_rows())
    assert cost["ranked:Noisy"] == pytest.approx(spent / len(forms))
    assert cost["parameters"] == cost["macs"]  # to the bit: neither is cheaper
    assert len(whole.values) == len(again.values) + 2


def test_measurements_that_are_lost_do_not_make_a_score_cheap(config: BenchConfig) -> None:
    found = bench(replace(config, out=config.out / "lost")).folder
    assert found is not None
    folder = RunFolder(config.out / "lost", found.parent.name)
    query = "select key, seconds, question from measurements where score = 'ranked:Noisy'"
    with sqlite3.connect(folder.store) as store:
        rows = [(*row, json.loads(asked)["architecture"]) for *row, asked in store.execute(query)]
        lost, _, gone = rows[0]
        store.execute("delete from measurements where key = ?", (lost,))
    others = [(seconds, text) for _, seconds, text in rows if text != gone]
    mean = sum(seconds for seconds, _ in others) / len({text for _, text in others})
    assert seconds_of(folder.store, folder.name)["ranked:Noisy"] == pytest.approx(mean)
    with sqlite3.connect(folder.store) as store:
        store.execute("delete from measurements where score = 'ranked:Noisy'")
    assert Measured.of(folder).cost("ranked:Noisy") is None


def test_training_before_scores_is_in_their_cost_or_the_cost_is_not_known() -> None:
    trial = TrialRecord(0, 0, "a", "", {})
    record = RunRecord(
        name="",
        space="nasbench201",
        searcher="given",
        config={"score_settings": {"ntk_trace": {"epochs": 1}}},
        versions={},
        images={},
        directions={"ntk_trace": 1, "label_alignment@2": 1, "ntk_norm@0": 1},
        trials=(trial, replace(trial, number=1, architecture="b")),
        selected=None,
        trainings=(),
        costs=(Cost("training before scores", 4, 60.0),),
        wall_seconds={},
    )
    seconds = {"ntk_trace": 1.0, "label_alignment@2": 2.0, "ntk_norm@0": 3.0}
    measured = Measured(RunFolder(Path(), ""), record, seconds)
    # 60 seconds of two architectures, for two scores
    assert [measured.cost(name) for name in seconds] == [1 + 15, 2 + 15, 3]
    elsewhere = Measured(measured.folder, replace(record, costs=()), seconds)
    assert [elsewhere.cost(name) for name in seconds] == [None, None, 3]


def test_failures_of_some_and_of_all(config: BenchConfig) -> None:
    board = bench(replace(config, scores=("ranked:Failing", "ranked:Picky"), draws=1))
    rows = {row["score"]: row for row in board.scores.iter_rows(named=True)}
    assert rows["ranked:Failing"]["reason"].startswith(
        "failed on 25 of 25 architectures: ArithmeticError: no such thing"
    )
    picky = rows["ranked:Picky"]
    assert picky["count"] + picky["failed"] == 25
    assert board.values["ranked:Picky"].null_count() == picky["failed"] > 0
    assert board.judged is (picky["tau"] is not None) is (picky["count"] >= 20)
    assert any("its population is another one" in note for note in board.notes)


def test_a_run_that_is_there(config: BenchConfig, table: Path, command: Command) -> None:
    asked = RunConfig(
        searcher="random",
        options={"evaluations": 40},
        scores=("ranked:Noisy",),
        draws=2,
        workers=0,
        out=config.out,
    )
    every = table_of(table.with_name("every.parquet"), [str(a) for a in SPACE.enumerate()])
    folder = run(asked)
    judged = BenchConfig(table=str(every), resamples=100, workers=0)
    board = bench_run(folder, judged)
    assert set(board.scores["score"]) > {"ranked:Noisy", "parameters", "macs", "trainable_layers"}
    assert board.population == "40 architectures that random search proposed, no random sample"
    assert board.scores["failed"].sum() == 0
    assert board.folder == folder.path / "cifar10_test_200"
    for said in (f"--table {every}", "--dataset cifar10_test_200", "--resamples 100"):
        assert said in board.command
    words = ("--table", str(every), "--resamples", "100", "--workers", "0")
    code, out, _ = command("bench", str(folder.path), *words)
    assert code == 0
    assert f"By cifar10_test_200: {board.population}" in out
    with pytest.raises(ValueError, match=r"20 architectures .* in some.parquet, got \d+ of 40"):
        bench_run(folder, replace(judged, table=str(table)))
    own = bench(config).folder
    assert own is not None
    with pytest.raises(ValueError, match=r"got that of a bench.* --config .*bench.toml --dataset"):
        bench_run(RunFolder(config.out, own.parent.name), judged)
    with pytest.raises(ValueError, match=r"beside a run's folder, got sample, draws: that is as"):
        bench_run(folder, replace(judged, sample=30, draws=1))


def test_a_run_that_trains_some_architectures_longer_is_refused(
    config: BenchConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its values are not of one population."""
    own = bench(config).folder
    assert own is not None
    measured = Measured.of(RunFolder(config.out, own.parent.name))
    first, *others = measured.record.trials
    record = replace(measured.record, trials=(replace(first, epochs=2), *others))
    monkeypatch.setattr(Measured, "of", lambda _: replace(measured, record=record))
    with pytest.raises(ValueError, match="expected scores after equally many epochs"):
        bench_run(RunFolder(config.out, "elsewhere"), BenchConfig(table=config.table))


# Populations and samples


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Judged:
    path = tmp_path_factory.mktemp("whole") / "whole.parquet"
    return find_judged(
        "nasbench201", str(table_of(path, [str(a) for a in SPACE.enumerate()])), None, "digits"
    )


def test_populations_of_nasbench201_have_the_sizes_that_are_known(whole: Judged) -> None:
    sizes = {
        name: len(rows_of(name, SPACE, whole))
        for name in ("all", "canonical", "reachable", "none-free")
    }
    assert sizes == {"all": 15_625, "canonical": 6_466, "reachable": 9_445, "none-free": 4_096}
    forms = [SPACE.parse(text) for text, _ in rows_of("canonical", SPACE, whole)]
    assert all(SPACE.canonical(form) == form for form in forms)


def test_samples_grow_and_depend_on_the_seed(whole: Judged) -> None:
    small, large, other = (
        draw_sample(BenchConfig(sample=n, seed=seed), SPACE, whole).architectures
        for n, seed in ((30, 0), (50, 0), (50, 1))
    )
    assert large[:30] == small
    assert len(set(large)) == len(set(other)) == 50
    assert set(large) != set(other)


def test_a_stratified_sample_has_one_of_each_part() -> None:
    rows = [(f"a{i}", float(i)) for i in random.Random(0).sample(range(103), 103)]
    chosen = sorted(int(text[1:]) for text in stratified(rows, 20, random.Random(0)))
    parts = [103 * k // 20 for k in range(21)]
    assert all(a <= i < b for i, a, b in zip(chosen, parts, parts[1:], strict=False))


def test_all_is_all(whole: Judged) -> None:
    found = draw_sample(BenchConfig(sample="all", population="none-free"), SPACE, whole)
    assert len(set(found.architectures)) == 4_096
    assert found.declared == "all 4,096 (rows of whole.parquet without none)"


# Tables and data sets


@pytest.mark.parametrize(
    ("dataset", "images", "column", "shortened"),
    [
        (None, "digits", "cifar10_test_200", {"cifar10_valid_12": "cifar10_seconds_12"}),
        (None, "cifar100", "cifar100_test_200", {}),
        ("cifar10_valid_12", "digits", "cifar10_valid_12", {}),
    ],
)
def test_the_column_that_judges(
    table: Path, dataset: str | None, images: str, column: str, shortened: dict[str, str]
) -> None:
    found = find_judged("nasbench201", str(table), dataset, images)
    assert (found.column, found.shortened) == (column, shortened)


def test_columns_of_the_tables_at_hand(data: Path) -> None:
    found = {
        space: find_judged(space, None, None, "digits")
        for space in ("nasbench201", "nasbench101", "darts", "mnas", "natsbench_size")
    }
    assert {space: judged.column for space, judged in found.items()} == {
        "nasbench201": "cifar10_test_200",
        "nasbench101": "cifar10_valid_108",
        "darts": "cifar10_surrogate_valid",
        "mnas": "imagenet_top1",
        "natsbench_size": "cifar10_test_90",
    }
    assert [*found["nasbench101"].shortened] == [f"cifar10_valid_{e}" for e in (4, 12, 36)]
    rows = found["nasbench101"].table.found(["i-c3-o:010001000", "no cell"][:1])
    assert len(rows) <= 1
    cell = SPACE.parse("|avg_pool_3x3~0|+|none~0|none~1|+|none~0|none~1|none~2|")
    ours = found["nasbench201"].table.found([str(cell)])
    assert ours["cifar10_test_200"].item() == standings("nasbench201", str(cell))[0].accuracy


def test_a_space_has_more_tables_by_name_and_by_file(data: Path) -> None:
    path = data / "tables" / "darts_trained_600.parquet"
    named, given = (
        find_judged("darts", table, None, "cifar10") for table in ("darts_trained_600", str(path))
    )
    assert named.column == given.column == "cifar10_valid_200"
    assert type(named.table) is type(given.table)
    sample = draw_sample(BenchConfig(sample=600), get_space("darts"), named)
    assert sample.declared == "600 at random of 600 (all rows of darts_trained_600.parquet)"
    assert len(named.table.found(sample.architectures)) == len(set(sample.architectures)) == 600
    with pytest.raises(ValueError, match="one of the space 'mnas', got 'darts_trained_600'"):
        find_judged("mnas", "darts_trained_600", None, "cifar10")


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"sample": 61}, r"sample: expected at most 60 \(all rows of some.parquet\).*got 61"),
        ({"population": "none-free"}, r"population: expected 20 architectures .*, got \d+ \("),
        ({"sample": 19}, "sample: expected 20 architectures or more, stratified:N or all, got 19"),
        ({"sample": "some"}, "sample: expected 20 .* got 'some'"),
        ({"sample": "stratified:5"}, "sample: expected 20 .* got 'stratified:5'"),
        ({"dataset": "svhn"}, "dataset: expected cifar10 or cifar100, or a column .* got 'svhn'"),
        ({"table": "nb201"}, "table: expected nasbench201 or .*, or a Parquet file, got 'nb201'"),
        ({"table": "mnas"}, "table: expected one of the space 'nasbench201', got 'mnas'"),
        ({"space": "mnas"}, "some.parquet, got others"),
        ({"space": "nasbench101"}, "table of nasbench101 in .*some.parquet, got something else"),
        ({"space": "ranked:SPACE", "table": None}, "space: expected one with a table"),
        ({"scores": ()}, "scores: expected at least one, got none"),
        ({"scores": ("naswut",)}, "unknown score 'naswut'"),
        ({"resamples": 1}, "resamples: expected a number of at least 100, got 1"),
        ({"draws": 0}, "draws: expected a number of at least 1, got 0"),
    ],
)
def test_what_makes_no_sense_is_told_in_a_line(
    config: BenchConfig, change: dict[str, object], said: str
) -> None:
    with pytest.raises(ValueError, match=said) as raised:
        bench(replace(config, **change))  # type: ignore[arg-type]
    assert "\n" not in str(raised.value)


def test_accuracies_that_are_text_are_none(table: Path) -> None:
    texts = pl.read_parquet(table).with_columns(pl.col("cifar10_test_200").cast(pl.String))
    path = table.with_name("texts.parquet")
    texts.write_parquet(path)
    assert find_judged("nasbench201", str(path), None, "digits").column != "cifar10_test_200"
    with pytest.raises(ValueError, match="which are numbers, got 'cifar10_test_200'"):
        find_judged("nasbench201", str(path), "cifar10_test_200", "digits")


@pytest.mark.parametrize("content", [b"", b"PAR1 and nothing more", bytes(range(256))])
def test_a_damaged_table_is_told_in_a_line(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "damaged.parquet"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=r"table of nasbench201 in .*, got something") as raised:
        find_judged("nasbench201", str(path), None, "digits")
    assert "\n" not in str(raised.value)


# The command


def test_the_command_ends_with_a_table_and_the_files(
    command: Command, table: Path, tmp_path: Path
) -> None:
    words = ("bench", "--scores", "ranked:Noisy", "--table", str(table), "--sample", "20",
             "--draws", "1", "--workers", "0", "--resamples", "100")  # fmt: skip
    code, out, _ = command(*words)
    assert code == 0
    assert "20 at random of 60" in out
    assert "draws" not in out[: out.index("tau:")]  # a column without a value: there is one draw
    for name in ("leaderboard.csv", "leaderboard.parquet", "values.parquet"):
        path = next(line for line in out.splitlines() if line.endswith(name))
        assert Path(path).exists()
    code, out, _ = command(*words, "--json")
    found = json.loads(out)
    assert {row["score"] for row in found["scores"]} >= {"ranked:Noisy", "parameters"}
    assert all(type(row["higher_is_better"]) is bool for row in found["scores"])
    code, out, _ = command(*words, "--dry-run")
    assert out.startswith("# measures ranked:Noisy, parameters, macs, trainable_layers on 20")
    assert tomllib.loads(out)["sample"] == 20


def test_scores_that_all_fail_are_told_and_the_exit_code_is_1(
    command: Command, table: Path
) -> None:
    code, out, _ = command(
        "bench", "--scores", "ranked:Failing", "--table", str(table), "--sample", "20",
        "--draws", "1", "--workers", "0", "--resamples", "100",
    )  # fmt: skip
    assert code == 1
    assert "ranked:Failing: failed on 20 of 20 architectures: ArithmeticError" in out


def test_wrong_flags(command: Command) -> None:
    code, _, said = command("bench", "--population", "some")
    assert code == 2
    assert "--population: expected 'all' or 'canonical' or" in said
    code, _, said = command("bench", "nowhere/run")
    assert code == 2
    assert "no store at" in said
