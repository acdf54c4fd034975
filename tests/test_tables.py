"""The table against the published optima."""

from pathlib import Path

import pytest

from untrained.tables import NASBench201Table, standings
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


def test_no_table_is_no_standing(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("UNTRAINED_DATA", str(tmp_path))
    assert standings("nasbench201", "|none~0|+|none~0|none~1|+|none~0|none~1|none~2|") == ()
    with pytest.raises(FileNotFoundError, match="UNTRAINED_DATA"):
        NASBench201Table()
