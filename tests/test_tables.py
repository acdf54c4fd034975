"""Tables against the published optima, their own files and their spaces."""

import random
from itertools import permutations
from pathlib import Path

import polars as pl
import pytest

from untrained.spaces import get_space
from untrained.spaces.darts_architecture import genotype
from untrained.spaces.nasbench101 import graph_hash
from untrained.tables import (
    OTHER_TABLES,
    TABLES,
    DARTSTrainedTable,
    NASBench101Table,
    NASBench201Table,
    NASBench301Table,
    Table,
    at_hand,
    standings,
)
from untrained.tables.nasbench201 import DATA


@pytest.fixture(scope="module")
def table(data: Path) -> NASBench201Table:
    return NASBench201Table(data / "tables" / "nasbench201.parquet")


@pytest.mark.parametrize(
    ("column", "index", "accuracy"),
    [("cifar10", 6111, 0.943733), ("cifar100", 9930, 0.735133), ("imagenet16_120", 857, 0.473111)],
)
def test_published_optima(
    table: NASBench201Table, column: str, index: int, accuracy: float
) -> None:
    row = table.frame.filter(table.frame["index"] == index)
    assert row[f"{column}_test_200"].item() == pytest.approx(accuracy, abs=5e-7)
    found = {(s.data, s.population): s for s in table.standings(row["architecture"].item())}
    best = found[DATA[column], "all"]
    assert best.rank == 1
    assert best.accuracy == best.best
    assert best.percentile == 100
    assert best.size == 15_625


def test_a_row_without_an_accuracy_is_of_no_population(tmp_path: Path) -> None:
    texts = NASBench201Table().frame["architecture"][:3]
    columns = {column: [0.5, None, 0.7] for column in NASBench201Table.accuracies}
    pl.DataFrame({"architecture": texts, **columns}).write_parquet(tmp_path / "some.parquet")
    table = NASBench201Table(tmp_path / "some.parquet")
    for standing in table.standings(texts[0]):
        assert (standing.rank, standing.best) == (2, 0.7)
    assert {s.size for s in table.standings(texts[0]) if s.population == "all"} == {2}
    assert table.standings(texts[1]) == ()


def test_none_free_population_has_4096_architectures(table: NASBench201Table) -> None:
    cell = "|avg_pool_3x3~0|+|avg_pool_3x3~0|avg_pool_3x3~1|"
    cell += "+|avg_pool_3x3~0|avg_pool_3x3~1|avg_pool_3x3~2|"
    sizes = {s.population: s.size for s in table.standings(cell)}
    assert sizes == {"all": 15_625, "none-free": 4_096}


def test_an_architecture_with_none_stands_among_all_only(table: NASBench201Table) -> None:
    cell = "|none~0|+|none~0|none~1|+|none~0|none~1|none~2|"
    assert {s.population for s in table.standings(cell)} == {"all"}


def test_a_missing_row_raises(table: NASBench201Table) -> None:
    partial = "|nor_conv_1x1,nor_conv_3x3~0|+|none~0|none~1|+|none~0|none~1|none~2|"
    with pytest.raises(KeyError, match="no row"):
        table.row(partial)


@pytest.mark.parametrize("space", TABLES)
def test_a_table_knows_its_file(space: str, data: Path) -> None:
    table = TABLES[space]()
    assert table.space == space
    assert table.path == data / "tables" / table.file
    assert set(table.accuracies) <= set(table.frame.columns)
    assert table.frame[table.key_column].n_unique() == len(table.frame)
    for architecture in table.frame["architecture"].sample(20, seed=0):
        row = table.row(architecture)
        assert row["architecture"] == architecture
        found = {s.data: s for s in reversed(table.standings(architecture))}  # the first of each
        assert list(reversed(found)) == list(table.accuracies.values())
        for column, data_name in table.accuracies.items():
            everyone = table.frame[column].to_list()
            standing = found[data_name]
            assert standing.accuracy == row[column]
            assert standing.best == max(everyone)
            assert standing.rank == 1 + sum(other > row[column] for other in everyone)
            assert standing.population == (
                "all" if space == "nasbench201" else f"the table's {standing.size:,}"
            )
            assert standing.size == len(everyone)


@pytest.mark.parametrize("kind", [*TABLES.values(), *OTHER_TABLES.values()])
def test_another_file(kind: type[Table], tmp_path: Path) -> None:
    path = tmp_path / kind.file
    path.write_text("architecture,accuracy")
    with pytest.raises(ValueError, match=f"expected the table of {kind.space} in .*{kind.file}"):
        _ = kind(path).frame
    if kind._prepared is not Table._prepared:  # otherwise it adds no column
        pl.DataFrame({"accuracy": [0.5]}).write_parquet(path)
        with pytest.raises(ValueError, match="got something else"):
            _ = kind(path).frame


def test_trained_genotypes_in_our_own_text_form(data: Path) -> None:
    table, space = DARTSTrainedTable(), get_space("darts")
    published = pl.read_parquet(table.path)
    assert table.frame["architecture"].n_unique() == len(published) == 600
    for text, ours, accuracy in zip(
        published["genotype"],
        table.frame["architecture"],
        table.frame["cifar10_valid_200"],
        strict=True,
    ):
        assert str(space.parse(text)) == ours
        assert table.row(text)["cifar10_valid_200"] == accuracy
    (best,) = table.standings(published.sort("cifar10_valid_200")["genotype"][-1])
    assert (best.rank, best.population) == (1, "the table's 600")


def test_nasbench101_finds_isomorphic_cells(data: Path) -> None:
    """Inner vertices renumbered in any order that leaves edges pointing forward."""
    table, space = NASBench101Table(), get_space("nasbench101")
    for row in table.frame.sample(5, seed=1).iter_rows(named=True):
        n, cell = row["n_vertices"], space.parse(row["architecture"])
        edges = [divmod(i, n) for i, bit in enumerate(row["adjacency"]) if bit == "1"]
        assert len(edges) == row["n_edges"]
        for order in permutations(range(1, n - 1)):
            new = {0: 0, n - 1: n - 1} | {v: place + 1 for place, v in enumerate(order)}
            if all(new[i] < new[j] for i, j in edges):
                ops = sorted(zip(map(new.get, range(n)), row["ops"].split("-"), strict=True))
                there = ",".join(f"{new[i]}-{new[j]}" for i, j in edges)
                text = f"{'-'.join(op for _, op in ops)}:{there}"
                assert table.row(text)["hash"] == row["hash"]
        assert table.row(str(cell))["hash"] == row["hash"]


def test_nasbench101_standing_of_the_best(data: Path) -> None:
    table = NASBench101Table()
    best = table.frame.sort("cifar10_valid_108").row(-1, named=True)
    (standing,) = standings("nasbench101", best["architecture"])
    assert (standing.data, standing.population) == ("CIFAR-10 validation", "the table's 20,000")
    assert (standing.rank, standing.percentile) == (1, 100)
    assert table.title == "108 epochs, one run"


def test_nasbench101_without_the_row(data: Path) -> None:
    """Twenty samples of 423,624 cells; one in 21 has a row."""
    table, space = NASBench101Table(), get_space("nasbench101")
    missing = 0
    for seed in range(20):
        text = str(space.sample(random.Random(seed)))
        if graph_hash(space.parse(text)) not in table.frame["hash"]:
            missing += 1
            assert standings("nasbench101", text) == ()
            with pytest.raises(KeyError, match=r"no row for i-.*: expected one of its 20,000"):
                table.row(text)
        else:
            assert len(standings("nasbench101", text)) == 1
    assert missing > 10


def test_nasbench301_reads_every_form_of_a_genotype(data: Path) -> None:
    table, space = NASBench301Table(), get_space("darts")
    published = pl.read_parquet(table.path)
    for i in (0, 300, 724):
        text = published["architecture"][i]
        architecture = space.parse(text)
        for form in (text, str(architecture), genotype(architecture)):
            assert table.row(form)["params"] == published["params"][i]
        (standing,) = standings("darts", text)
        assert standing.accuracy == published["cifar10_surrogate_valid"][i]
        assert standing.data == "CIFAR-10, surrogate"
    assert standings("darts", str(space.sample(random.Random(0)))) == ()


def test_mnas_standing(data: Path) -> None:
    text = "e6k3l1se0_e4k5l2se0_e6k3l3se0_e6k5l3se0_e6k5l2se0_e1k3l2se0_e1k3l2se0"
    (standing,) = standings("mnas", text)
    assert (standing.data, standing.accuracy) == ("ImageNet top-1", 0.59368)
    assert (standing.population, standing.size) == ("the table's 2,600", 2600)


def test_a_space_without_a_table() -> None:
    assert standings("mine:space", "anything") == ()


def test_no_table_is_no_standing(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("UNTRAINED_DATA", str(tmp_path))
    cell = get_space("nasbench101").sample(random.Random(0))
    assert standings("nasbench101", str(cell)) == ()
    assert at_hand(NASBench101Table.file) is None
    with pytest.raises(FileNotFoundError, match=r"`untrained data` says how .* UNTRAINED_DATA"):
        NASBench101Table()
