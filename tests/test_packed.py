"""The bundled accuracies: the published optima, and the table that they were made from."""

from pathlib import Path

import polars as pl
import pytest

from untrained.tables import NASBench201Table, at_hand, standings
from untrained.tables.packed import packed, unpacked
from untrained.tables.table import BUNDLED

BEST = {
    "CIFAR-10": ("cifar10_test_200", 6111, 0.943733),
    "CIFAR-100": ("cifar100_test_200", 9930, 0.735133),
    "ImageNet16-120": ("imagenet16_120_test_200", 857, 0.473111),
}


@pytest.fixture
def nowhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A data folder with nothing in it, as on a fresh machine."""
    monkeypatch.setenv("UNTRAINED_DATA", str(tmp_path))
    return tmp_path


@pytest.mark.parametrize("data_name", BEST)
def test_published_optima_on_a_fresh_machine(data_name: str, nowhere: Path) -> None:
    column, index, accuracy = BEST[data_name]
    table = NASBench201Table()
    row = table.frame.row(index, named=True)
    assert (row["index"], row[column]) == (index, accuracy)
    best = {(s.data, s.population): s for s in standings("nasbench201", row["architecture"])}
    assert (best[data_name, "all"].rank, best[data_name, "all"].size) == (1, 15_625)


def test_a_table_of_the_data_folder_comes_first(nowhere: Path) -> None:
    assert at_hand("nasbench201.parquet") == BUNDLED / "nasbench201.parquet"
    own = nowhere / "tables" / "nasbench201.parquet"
    own.parent.mkdir()
    rows = NASBench201Table().frame.select("index", "architecture", "cifar10_test_200").tail(3)
    rows.with_columns(cifar10_test_200=0.5).write_parquet(own)
    table = NASBench201Table()
    assert table.path == own
    assert table.frame["cifar10_test_200"].to_list() == [0.5] * 3
    bundled = NASBench201Table(BUNDLED / own.name).frame.tail(3)
    for column in ("architecture", "cifar10_valid_200_single", "cifar100_test_200"):
        assert table.frame[column].to_list() == bundled[column].to_list()


def test_nothing_is_lost_but_the_seventh_digit(data: Path) -> None:
    full = pl.read_parquet(data / "tables" / "nasbench201.parquet")
    bundled = unpacked(pl.read_parquet(BUNDLED / "nasbench201.parquet"))
    assert packed(full).equals(pl.read_parquet(BUNDLED / "nasbench201.parquet"))
    assert packed(bundled).equals(packed(full))
    for column in ("index", "architecture"):
        assert bundled[column].to_list() == full[column].to_list()
    assert len(bundled.columns) == 2 + 15
    for column in bundled.columns[2:]:
        assert (bundled[column] - full[column]).abs().to_numpy().max() < 3.4e-7
        if "single" not in column:  # whose last digits are those of float32
            assert bundled[column].rank("min").equals(full[column].rank("min"))


def test_the_file_is_small() -> None:
    assert (BUNDLED / "nasbench201.parquet").stat().st_size < 600_000
