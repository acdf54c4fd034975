"""`untrained data import`: files of three benchmarks, and the command for all."""

import json
import pickle
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from test_cli import Command, command
from test_natsbench import CELLS, written
from test_tfrecord import RECORDS, framed

from untrained.cli.ending import interrupted
from untrained.importers import FORMATS, import_table
from untrained.importers.hwnasbench import METRICS, read_hwnasbench
from untrained.importers.nasbench301 import read_nasbench301
from untrained.importers.suite_zero import read_suite_zero
from untrained.spaces import get_space
from untrained.spaces.darts_architecture import nasbench301
from untrained.spaces.darts_network import EDGES
from untrained.tables import (
    NASBench101Table,
    NASBench201Table,
    NASBench301Table,
    NASBench301TrainedTable,
    known_tables,
)

__all__ = ["command"]  # a fixture

DARTS = get_space("darts")
GENOTYPES = [DARTS.sample(random.Random(seed)) for seed in range(3)]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A data folder that is not there yet."""
    monkeypatch.setenv("UNTRAINED_DATA", str(tmp_path / "data"))
    return tmp_path / "data"


# NAS-Bench-301


def result(genotype: Any, valid: float, epochs: int = 98) -> dict[str, Any]:
    """One training, as BOHB wrote it: each edge that is there by its number."""
    darts = "NetworkSelectorDatasetInfo:darts:"
    config: dict[str, Any] = {f"{darts}init_channels": 32, f"{darts}layers": 8}
    for cell, edges in (("normal", genotype.normal), ("reduce", genotype.reduction)):
        for number, kept in enumerate(edges):
            if kept:
                config[f"{darts}edge_{cell}_{number}"] = kept[0]
        for node in (3, 4, 5):
            inputs = [
                str(i) for (i, j), kept in zip(EDGES, edges, strict=True) if j == node and kept
            ]
            config[f"{darts}inputs_node_{cell}_{node}"] = "_".join(inputs)
    return {
        "optimized_hyperparamater_config": config,
        "budget": epochs,
        "info": [{"val_accuracy": valid, "model_parameters": 1_234_567}],
        "test_accuracy": valid - 1,
        "runtime": 3600,
    }


@pytest.fixture
def results(tmp_path: Path) -> Path:
    """Two runs of the first genotype, one of the second, and a shorter one of the third."""
    runs = [(0, 90.0, 98), (0, 92.0, 98), (1, 94.0, 98), (2, 50.0, 12)]
    for k, (which, valid, epochs) in enumerate(runs):
        file = tmp_path / "nb_301" / f"run_{k}" / "results_fidelity_0" / f"results_{k}.json"
        file.parent.mkdir(parents=True)
        file.write_text(json.dumps(result(GENOTYPES[which], valid, epochs)))
    return tmp_path / "nb_301"


def test_nasbench301_results(
    results: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    name, frame = read_nasbench301(results)
    assert "1 of 4 results left out: not of 98 epochs, 32 channels and 8 layers" in caplog.text
    frame.write_parquet(tmp_path / name)
    table = NASBench301TrainedTable(tmp_path / name)
    assert len(table.frame) == 2
    twice, once = (table.row(str(genotype)) for genotype in GENOTYPES[:2])
    assert (twice["cifar10_valid"], twice["cifar10_test"]) == pytest.approx((0.91, 0.90))
    assert (twice["runs"], once["runs"]) == (2, 1)
    assert (once["epochs"], once["channels"], once["layers"]) == (98, 32, 8)
    assert (once["params"], once["seconds"]) == (1_234_567, 3600)
    with pytest.raises(KeyError, match="no row"):
        table.row(str(GENOTYPES[2]))


def changed(change: Callable[[dict[str, Any]], object]) -> str:
    found = result(GENOTYPES[0], 90.0)
    change(found)
    return json.dumps(found)


EDGE = next(name for name in result(GENOTYPES[0], 90.0)["optimized_hyperparamater_config"]
            if "edge_normal" in name)  # fmt: skip


@pytest.mark.parametrize(
    "content",
    [
        "",
        "[]",
        "{}",
        "3",
        "[" * 100_000,
        json.dumps(result(GENOTYPES[0], 90.0))[:-9],
        changed(lambda r: r.pop("info")),
        changed(lambda r: r["info"].clear()),
        changed(lambda r: r["info"][0].update(val_accuracy=100.5)),
        changed(lambda r: r["info"][0].update(val_accuracy=None)),
        changed(lambda r: r.update(test_accuracy=float("nan"))),
        changed(lambda r: r["optimized_hyperparamater_config"].pop(EDGE)),
        changed(lambda r: r["optimized_hyperparamater_config"].update({EDGE: "none"})),
        changed(lambda r: r["optimized_hyperparamater_config"].update({EDGE: ["a"]})),
        changed(lambda r: r["optimized_hyperparamater_config"].update({EDGE: "a~0|b"})),
        changed(lambda r: r.update(budget="many")),
        changed(lambda r: r.update(budget=float("inf"))),
    ],
)
def test_another_result(content: str, results: Path) -> None:
    file = results / "run_1" / "results_fidelity_0" / "results_1.json"
    file.write_text(content)
    with pytest.raises(ValueError, match=r"a result of NAS-Bench-301 in .*results_1.*fetch") as e:
        read_nasbench301(results)
    assert "\n" not in str(e.value)


def test_a_folder_without_results(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"files results_\*\.json of NAS-Bench-301 .* got none"):
        read_nasbench301(tmp_path)


# NAS-Bench-Suite-Zero


def values(valid: float, score: float | None) -> dict[str, Any]:
    proxies = {name: {"score": score, "time": 0.1} for name in ("synflow", "jacov")}
    return {"val_accuracy": valid} | proxies


def zc(path: Path, whole: object) -> Path:
    path.write_text(json.dumps(whole))
    return path


def test_published_proxies_of_nasbench201(tmp_path: Path) -> None:
    cells = {"(4, 3, 3, 0, 0, 0)": values(81.9, 1.5), "(2, 2, 0, 4, 2, 0)": values(90.39, None)}
    whole = {
        "cifar10": cells,
        "ImageNet16-120": {"(4, 3, 3, 0, 0, 0)": values(25.7, float("inf"))},
    }
    name, frame = read_suite_zero(zc(tmp_path / "zc.json", whole))
    assert name == "nasbench201_published_proxies.parquet"
    assert frame["dataset"].to_list() == ["cifar10", "cifar10", "imagenet16_120"]
    table = NASBench201Table()
    texts = [table.frame["architecture"][index] for index in frame["index"]]
    assert texts == [
        "|avg_pool_3x3~0|+|nor_conv_1x1~0|skip_connect~1|+|nor_conv_1x1~0|skip_connect~1|skip_connect~2|",
        "|nor_conv_3x3~0|+|nor_conv_3x3~0|avg_pool_3x3~1|+|skip_connect~0|nor_conv_3x3~1|skip_connect~2|",
        "|avg_pool_3x3~0|+|nor_conv_1x1~0|skip_connect~1|+|nor_conv_1x1~0|skip_connect~1|skip_connect~2|",
    ]
    assert frame["synflow"].to_list() == [1.5, None, None]
    assert frame["valid_accuracy"].to_list() == pytest.approx([0.819, 0.9039, 0.257])
    known = [table.frame["cifar10_valid_200_single"][index] for index in frame["index"][:2]]
    assert frame["valid_accuracy"][:2].to_list() == pytest.approx(known)


def test_published_proxies_of_nasbench301(tmp_path: Path) -> None:
    genotypes = {nasbench301(a).replace("[", "(").replace("]", ")"): a for a in GENOTYPES}
    cifar = {text: values(90.0 + k, 1.0) for k, text in enumerate(genotypes)}
    whole = {"cifar10": cifar, "svhn": {next(iter(genotypes)): values(50.0, 3.0)}}
    name, frame = read_suite_zero(zc(tmp_path / "zc.json", whole))
    assert name == NASBench301Table.file
    frame.write_parquet(tmp_path / name)
    table = NASBench301Table(tmp_path / name)
    for k, architecture in enumerate(GENOTYPES):
        assert table.row(str(architecture))["cifar10_surrogate_valid"] == (90.0 + k) / 100


def test_published_proxies_of_nasbench101(tmp_path: Path) -> None:
    rows = "0100110001000000010010000010000001000000010000000"
    tuple_ = str((*map(int, rows), 0, 4, 2, 4, 4, 3, 1))
    name, frame = read_suite_zero(zc(tmp_path / "zc.json", {"cifar10": {tuple_: values(93, 2)}}))
    assert name == "nasbench101_published_proxies.parquet"
    assert frame["hash"].to_list() == ["00005c142e6f48ac74fdcf73e3439874"]


@pytest.mark.parametrize(
    "whole",
    [
        [],
        {},
        3,
        {"cifar10": {}},
        {"cifar10": [1]},
        {"cifar10": {"resnet18": values(90, 1)}},
        {"cifar10": {f"({200_000 * '-'}1)": values(90, 1)}},
        {"jigsaw": {"(1, 2, 3, 0, 1, 2)": values(90, 1)}},
        {"cifar10": {"(1, 2, 3, 4, 0, 9)": values(90, 1)}},
        {"cifar10": {"(1, 2)": values(90, 1)}},
        {"cifar10": {"(1, 2, 3, 4, 0, 0)": 3}},
        {"cifar10": {"(1, 2, 3, 4, 0, 0)": {"synflow": {"score": 1}}}},
        {"cifar10": {"(1, 2, 3, 4, 0, 0)": values(101, 1)}},
        {"cifar10": {"(1, 2, 3, 4, 0, 0)": values(90, 1) | {"zen": 3}}},
        {"cifar10": {"(1, 2, 3, 4, 0, 0)": values(90, 1) | {"zen": {"score": 10**400}}}},
        {"cifar10": {"(1, 2, 3, 4, 0, 0)": values(90, 1) | {"zen": {"score": "x"}}}},
    ],
)
def test_another_json(whole: object, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"of NAS-Bench-Suite-Zero in .*, got something") as error:
        read_suite_zero(zc(tmp_path / "zc.json", whole))
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("content", [b"", b"\xff\xfe", b"[" * 100_000, b'{"cifar10": {"(1, 2'])
def test_no_json(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "zc.json").write_bytes(content)
    with pytest.raises(ValueError, match="of NAS-Bench-Suite-Zero in"):
        read_suite_zero(tmp_path / "zc.json")


# HW-NAS-Bench


def devices(path: Path, **other: Any) -> Path:
    """Values of two architectures that tell data set, device and architecture."""
    each = {
        data: {m: [100.0 * d + k, np.float64(100 * d + k + 0.5)] for k, m in enumerate(METRICS)}
        | {"config": [{"arch_str": "unused"}] * 2}
        for d, data in enumerate(("cifar10", "cifar100", "ImageNet16-120"))
    }
    path.write_bytes(pickle.dumps({"nasbench201": each | other, "fbnet": {}}))
    return path


def test_devices(tmp_path: Path, data: Path) -> None:
    name, frame = read_hwnasbench(devices(tmp_path / "HW.pickle"))
    shipped = pl.read_parquet(data / "tables" / name)
    assert frame.schema == shipped.schema
    assert set(frame["dataset"]) == set(shipped["dataset"])
    (row,) = frame.filter(dataset="cifar100", index=1).iter_rows(named=True)
    assert [row[metric] for metric in METRICS] == [100.5 + k for k in range(len(METRICS))]


@pytest.mark.parametrize(
    "other",
    [
        {},
        3,
        {"edgegpu_latency": [1.0]},
        {metric: [1.0] for metric in METRICS} | {"fpga_energy": [1.0, 2.0]},
        {metric: ["x"] for metric in METRICS},
        dict.fromkeys(METRICS, 3),
    ],
)
def test_other_devices(other: object, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"devices of HW-NAS-Bench .*; try HW-NAS") as error:
        read_hwnasbench(devices(tmp_path / "HW.pickle", cifar100=other))
    assert "\n" not in str(error.value)


# The command


def test_every_format_by_command(
    command: Command, folder: Path, results: Path, tmp_path: Path
) -> None:
    record = tmp_path / "nasbench_full.tfrecord"
    record.write_bytes(b"".join(map(framed, RECORDS)))
    suite = zc(tmp_path / "zc.json", {"cifar10": {"(4, 3, 3, 0, 0, 0)": values(81.9, 1.5)}})
    asked = {
        "natsbench": (written(tmp_path, "folder", CELLS, ("12", "200")), "nasbench201.parquet"),
        "nasbench101": (record, "nasbench101.parquet"),
        "nasbench301": (results, "nasbench301.parquet"),
        "suite-zero": (suite, "nasbench201_published_proxies.parquet"),
        "hwnasbench": (devices(tmp_path / "HW.pickle"), "nasbench201_hardware.parquet"),
    }
    assert asked.keys() == FORMATS.keys()
    for format, (path, name) in asked.items():
        code, out, err = command("data", "import", format, str(path))
        assert code == 0, err
        assert out.strip() == f"Table: {folder / 'tables' / name}"
        assert len(pl.read_parquet(folder / "tables" / name)) in (1, 2, 6)
    assert len(NASBench201Table().frame) == 2
    assert len(NASBench101Table().frame) == 2
    found = {holding.name for holding in known_tables() if holding.where == "UNTRAINED_DATA"}
    assert found == {f"tables/{name}" for _, name in asked.values()}


def test_a_table_that_is_there_stays_unless_it_is_to_be_replaced(
    command: Command, folder: Path, results: Path
) -> None:
    there = folder / "tables" / "nasbench301.parquet"
    there.parent.mkdir(parents=True)
    there.write_bytes(b"mine")
    code, _, err = command("data", "import", "nasbench301", str(results))
    assert (code, there.read_bytes()) == (2, b"mine")
    assert f"expected no table at {there} yet, got one" in err
    code, _, err = command("data", "import", "nasbench301", str(results), "--replace")
    assert code == 0, err
    assert len(pl.read_parquet(there)) == 2


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (("natsbnch", "."), 2, "expected a format out of natsbench, nasbench101,"),
        (("natsbench", "nowhere"), 1, "expected files of natsbench at nowhere, got nothing"),
        (("natsbench", "."), 2, "expected meta.pickle.pbz2 in a folder of NATS-Bench"),
        (("nasbench101", "."), 2, "expected a file of nasbench101, got the folder"),
        (("suite-zero", "."), 2, "expected a file of suite-zero, got the folder"),
        (("nasbench301", "."), 2, "got none; try the folder"),
        (("natsbench",), 2, "--path requires an argument"),
    ],
)
def test_wrong_use_is_one_line(
    words: tuple[str, ...], code: int, message: str, command: Command, folder: Path
) -> None:
    found, out, err = command("data", "import", *words)
    assert (found, out) == (code, "")
    assert message in err
    assert err.startswith("untrained: ")
    assert err.count("\n") == 1
    assert not folder.exists()


def test_an_import_that_is_interrupted_says_that_it_starts_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    words = ["untrained", "data", "import", "natsbench", "NATS simple"]
    monkeypatch.setattr("sys.argv", words)
    again = "untrained data import natsbench 'NATS simple'"
    assert interrupted("Ended") == f"Ended; nothing was written. To start again: {again}"


def test_a_format_for_each_importer_is_listed() -> None:
    offered = {h.obtain.split("import ")[1].split()[0] for h in known_tables()
               if "untrained data import" in h.obtain}  # fmt: skip
    assert offered == FORMATS.keys()
    with pytest.raises(ValueError, match="expected a format"):
        import_table("csv", Path())
