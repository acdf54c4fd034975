"""NATS-Bench's files, made as its API writes them, against the numbers that went into them."""

import bz2
import pickle
import statistics
from collections import OrderedDict
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from untrained.importers.natsbench import read_natsbench
from untrained.tables import NASBench201Table

CELLS = (
    "|avg_pool_3x3~0|+|nor_conv_1x1~0|skip_connect~1|+|nor_conv_1x1~0|skip_connect~1|none~2|",
    "|nor_conv_3x3~0|+|nor_conv_3x3~0|avg_pool_3x3~1|+|skip_connect~0|nor_conv_3x3~1|none~2|",
)
SIZES = ("8:8:8:8:8", "8:8:8:8:16")
SPLITS = {
    "cifar10-valid": ("x-valid", "ori-test"),
    "cifar10": ("ori-test",),
    "cifar100": ("x-valid", "x-test", "ori-test"),
    "ImageNet16-120": ("x-valid", "x-test", "ori-test"),
}
SEEDS = {"12": (777,), "200": (999, 777, 888), "90": (777,)}


def trained(arch: int, budgets: tuple[str, ...]) -> dict[str, Any]:
    return {budget: results(arch, budget) for budget in budgets}


def results(arch: int, budget: str) -> dict[str, Any]:
    """The state of an ArchResults, runs as states of ResultsCount."""
    return {
        "arch_index": arch,
        "arch_str": "unused",
        "dataset_seed": {data: list(SEEDS[budget]) for data in SPLITS},
        "all_results": {
            (data, seed): run(arch, data, seed, int(budget))
            for data in SPLITS
            for seed in SEEDS[budget]
        },
        "clear_net_done": True,
    }


def run(arch: int, data: str, seed: int, epochs: int) -> dict[str, Any]:
    times = OrderedDict((epoch, 2.0 + arch) for epoch in range(epochs))
    return {
        "name": "infer.tiny",
        "net_state_dict": None,
        "train_acc1es": {epoch: np.float64(epoch / 10) for epoch in range(epochs)},
        "train_times": None if data == "ImageNet16-120" else times,
        "params": 0.129306 + arch,
        "flop": np.float32(15.5) if data == "cifar10" else 3.5,
        "seed": seed,
        "epochs": epochs,
        "eval_acc1es": {
            f"{split}@{epoch}": percent(arch, data, split, seed, epoch + 1)
            for split in SPLITS[data]
            for epoch in range(epochs)
        },
    }


def percent(arch: int, data: str, split: str, seed: int, epochs: int) -> float:
    """Another number for each."""
    return 10 * arch + len(data) + 2 * len(split) + seed / 100 + epochs / 100


def write(path: Path, value: object) -> None:
    path.write_bytes(bz2.compress(pickle.dumps(value, 4)))


@pytest.fixture(params=["folder", "archive"])
def topology(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    return written(tmp_path, request.param, CELLS, ("12", "200"))


def written(path: Path, form: str, texts: tuple[str, ...], budgets: tuple[str, ...]) -> Path:
    each = {i: trained(i, budgets) for i in range(len(texts))}
    if form == "archive":
        archive = path / "NATS.pickle.pbz2"
        whole = {"meta_archs": list(texts), "arch2infos": each, "evaluated_indexes": [0, 1]}
        write(archive, whole)
        return archive
    folder = path / "NATS-simple"
    folder.mkdir()
    write(folder / "meta.pickle.pbz2", {"meta_archs": list(texts)})
    for i, its in each.items():
        write(folder / f"{i:06d}.pickle.pbz2", its)
    return folder


def test_topology(topology: Path, data: Path) -> None:
    file, frame = read_natsbench(topology)
    assert file == "nasbench201.parquet"
    assert frame["architecture"].to_list() == list(CELLS)
    for arch, row in enumerate(frame.iter_rows(named=True)):
        mean = statistics.mean
        assert row["index"] == arch
        assert row["cifar10_test_12"] == percent(arch, "cifar10", "ori-test", 777, 12) / 100
        assert row["cifar100_valid_200"] == pytest.approx(
            mean(percent(arch, "cifar100", "x-valid", s, 200) / 100 for s in (777, 888, 999))
        )
        assert row["cifar10_valid_200"] == pytest.approx(
            mean(percent(arch, "cifar10-valid", "x-valid", s, 200) / 100 for s in (777, 888, 999))
        )
        for k, seed in enumerate((777, 888, 999)):
            value = percent(arch, "cifar10", "ori-test", seed, 200) / 100
            assert row[f"cifar10_test_200_seed{k}"] == value
        assert row["cifar10_train_200"] == pytest.approx(0.199)
        assert row["cifar10_params"] == 129_306 + 1_000_000 * arch
        assert (row["cifar10_mflops"], row["cifar100_mflops"]) == (15.5, 3.5)
        assert row["cifar100_seconds_200"] == 200 * (2 + arch)
        assert row["imagenet16_120_seconds_12"] is None
    single = {column for column in NASBench201Table().frame.columns if "_single" in column}
    assert {*frame.columns, *single, "none_free"} == set(NASBench201Table().frame.columns)


@pytest.mark.parametrize("form", ["folder", "archive"])
def test_size(form: str, tmp_path: Path) -> None:
    file, frame = read_natsbench(written(tmp_path, form, SIZES, ("90",)))
    assert file == "natsbench_size.parquet"
    assert frame["architecture"].to_list() == list(SIZES)
    expected = [percent(arch, "cifar100", "x-test", 777, 90) / 100 for arch in (0, 1)]
    assert frame["cifar100_test_90"].to_list() == expected


def test_a_folder_that_lacks_an_architecture(tmp_path: Path) -> None:
    folder = written(tmp_path, "folder", CELLS, ("12", "200"))
    (folder / "000001.pickle.pbz2").unlink()
    with pytest.raises(ValueError, match=r"expected 000001\.pickle\.pbz2 in .*; extract the"):
        read_natsbench(folder)
    (folder / "meta.pickle.pbz2").unlink()
    with pytest.raises(ValueError, match=r"expected meta\.pickle\.pbz2 in .*; extract the"):
        read_natsbench(folder)


def test_a_folder_that_is_still_packed(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"got the \.tar; extract it with tar xf"):
        read_natsbench(tmp_path / "NATS-tss-v1_0-3ffb9-simple.tar")


@pytest.mark.parametrize("part", ["meta", "000001"])
@pytest.mark.parametrize("content", [pickle.dumps(Path("a")), b"foreign", b""])
def test_a_damaged_or_malicious_part_of_a_folder(
    part: str, content: bytes, tmp_path: Path
) -> None:
    folder = written(tmp_path, "folder", CELLS, ("12", "200"))
    file = folder / f"{part}.pickle.pbz2"
    for each in (content, bz2.compress(content), file.read_bytes()[:-9]):
        file.write_bytes(each)
        with pytest.raises(ValueError, match=f"in .*{file.name}, got .*; (fetch|use the)") as e:
            read_natsbench(folder)
        assert "\n" not in str(e.value)


def damaged(topic: str) -> Any:
    """An archive with something wrong in it."""
    whole: dict[str, Any] = {"meta_archs": list(CELLS)}
    whole["arch2infos"] = {i: trained(i, ("12", "200")) for i in range(2)}
    its = whole["arch2infos"][1]["200"]["all_results"]["cifar100", 888]
    if topic == "lists":
        return [whole]
    if topic == "unnamed":
        del whole["arch2infos"]
    elif topic == "texts":
        whole["meta_archs"][0] = "resnet18"
    elif topic == "numbers":
        whole["meta_archs"] = [3, 4]
    elif topic == "no text":
        whole["meta_archs"] = []
    elif topic == "infos":
        whole["arch2infos"] = {0: whole["arch2infos"][0], 1: [3]}
    elif topic == "missing":
        del whole["arch2infos"][1]
    elif topic == "budget":
        del whole["arch2infos"][1]["200"]
    elif topic == "run":
        del whole["arch2infos"][1]["200"]["all_results"]["cifar100", 888]
    elif topic == "epochs":
        its["epochs"] = "200"
    elif topic == "accuracy":
        its["eval_acc1es"]["x-valid@199"] = 100.1
    elif topic == "nan":
        its["eval_acc1es"]["x-valid@199"] = float("nan")
    elif topic == "none":
        its["eval_acc1es"] = None
    return whole


@pytest.mark.parametrize(
    ("topic", "message"),
    [
        ("lists", "expected an archive of NATS-Bench with arch2infos and meta_archs .*, got list"),
        ("unnamed", "expected an archive of NATS-Bench .*, got 'meta_archs'; try the folder NATS"),
        ("no text", "expected an archive of NATS-Bench"),
        ("numbers", "expected an archive of NATS-Bench"),
        ("texts", "in .*a.pickle.pbz2, got others: not a NAS-Bench-201 cell: .* got 'resnet18'"),
        *((t, "expected results of NATS-Bench for architecture 1 in .*, got others: .*fetch")
          for t in ("missing", "infos", "budget", "run", "epochs", "none")),
        *((t, "architecture 1 in .*: ValueError expected an accuracy from 0 to 100 %, got ")
          for t in ("accuracy", "nan")),
    ],
)  # fmt: skip
def test_other_pickles_are_told_in_a_line(topic: str, message: str, tmp_path: Path) -> None:
    archive = tmp_path / "a.pickle.pbz2"
    write(archive, damaged(topic))
    with pytest.raises(ValueError, match=message) as error:
        read_natsbench(archive)
    assert "\n" not in str(error.value)
