"""Damaged files, by mutation with a fixed seed: named in one line, and what is whole is used."""

import json
import os
import pickle
import random
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from spared import spare_graphs
from torch import nn

from untrained.images import Images
from untrained.locations import Location
from untrained.pages.stored import report_run, report_track
from untrained.runs import RunConfig, RunRecord, load_record, run
from untrained.storage import RunFolder, TrialRecord
from untrained.storage.store import LOST, Store
from untrained.tracking.config import TrackConfig, Tracking
from untrained.tracking.track import Track, load_track, track
from untrained.tracking.track_one import track_one
from untrained.training import Recipe, TrainingSpec
from untrained.training.checkpoint import load_checkpoint


def mutations(content: bytes, rng: random.Random) -> Iterator[bytes]:
    """Empty, cut short, bits flipped, bytes overwritten, garbage, and something in front."""
    yield b""
    yield from (content[: rng.randrange(1, len(content))] for _ in range(4))
    for _ in range(6):
        flipped = bytearray(content)
        for _ in range(rng.choice((1, 3, 50))):
            flipped[rng.randrange(len(content))] ^= 1 << rng.randrange(8)
        yield bytes(flipped)
    for _ in range(3):
        start = rng.randrange(len(content))
        yield content[:start] + rng.randbytes(16) + content[start + 16 :]
    yield rng.randbytes(len(content))
    yield b"\x00" * len(content)
    yield rng.randbytes(8) + content


def keep(found: list[Track], call: Callable[[], Track]) -> None:
    found.append(call())


def told(call: Callable[[], object], *names: str) -> bool:
    """Whether it goes well; a fault must be one line that names one of these."""
    fault = None
    try:
        call()
    except (ValueError, OSError) as error:  # what the command prints in one line
        fault = str(error)
    assert fault is None or "\n" not in fault, fault
    assert fault is None or any(name in fault for name in names), fault
    return fault is None


@pytest.fixture(autouse=True, scope="module")
def no_graphs() -> Iterator[None]:
    """They take seconds, and are not what is damaged here."""
    with pytest.MonkeyPatch.context() as patch:
        spare_graphs(patch)
        yield


# The store


@pytest.fixture(scope="module")
def searched(tmp_path_factory: pytest.TempPathFactory) -> RunFolder:
    out = tmp_path_factory.mktemp("searched")
    run(quick(out, train=False))
    return run(quick(out))


def quick(out: Location, *, train: bool = True) -> RunConfig:
    return RunConfig(
        searcher="random", options={"evaluations": 3}, scores=("parameters",), draws=1,
        train=train, compare=0, scale="small", workers=0, out=out,
        training=TrainingSpec(epochs=1, images=200),
    )  # fmt: skip


def copy_of(folder: RunFolder, where: Path) -> RunFolder:
    shutil.copytree(folder.out, where / "runs")
    return RunFolder(where / "runs", folder.name)


@pytest.mark.parametrize("seed", range(4))
def test_a_damaged_store_is_named_and_left_alone(
    searched: RunFolder, tmp_path: Path, seed: int
) -> None:
    folder = copy_of(searched, tmp_path)
    whole = folder.store.read_bytes()
    for content in mutations(whole, random.Random(seed)):
        folder.store.write_bytes(content)
        told(lambda: load_record(folder.store, folder.name), str(folder.store), folder.name)
        assert folder.store.read_bytes() == content
        assert not folder.store.with_name("store.db-wal").exists()


@pytest.mark.parametrize("where", ["in place", "to be copied"])
def test_a_store_is_read_without_being_written(
    searched: RunFolder, tmp_path: Path, where: str
) -> None:
    """In place, or with an older schema, of which a copy is brought up to date."""
    folder = copy_of(searched, tmp_path)
    if where == "to be copied":
        with sqlite3.connect(folder.store) as connection:
            connection.execute("alter table runs drop column search")
            connection.execute("update schema set version = 2")
        connection.close()
    before = {p: p.read_bytes() for p in Path(folder.out).rglob("*") if p.is_file()}
    (tmp_path / "elsewhere").mkdir()
    text = report_run(folder, tmp_path / "elsewhere" / "page.html").read_text(encoding="utf-8")
    assert f"../runs/{folder.name}/network/network.py" in text
    assert {p: p.read_bytes() for p in Path(folder.out).rglob("*") if p.is_file()} == before
    record = load_record(folder.store, folder.name)
    assert len(record.trainings) == 1


def test_a_journal_beside_the_store_is_read_too(searched: RunFolder, tmp_path: Path) -> None:
    """What a driver that was killed has written last lies there."""
    folder = copy_of(searched, tmp_path)
    with Store.open(folder.store) as opened:
        opened.add_cost("nobody", "late", 1.0)
        shutil.copytree(folder.out, tmp_path / "killed")
    killed = tmp_path / "killed" / "store.db"
    (tmp_path / "killed" / "store.db-shm").unlink()
    with Store.reading(killed) as kept:
        assert kept.costs("nobody", wall=False) == [("late", 1, 1.0)]


@pytest.mark.parametrize("what", ["empty", "folder", "journal alone", "other program's"])
def test_what_is_no_store_is_not_made_one(tmp_path: Path, what: str) -> None:
    path = tmp_path / "store.db"
    if what == "empty":
        path.touch()
    elif what == "folder":
        path.mkdir()
    elif what == "journal alone":
        path.with_name("store.db-wal").write_bytes(b"journal")
    else:
        with sqlite3.connect(path) as connection:
            connection.execute("create table photos (id integer)")
        connection.close()
    before = sorted(p.name for p in tmp_path.iterdir() if not p.name.endswith(".lock"))
    with pytest.raises(ValueError, match=r"store\.db.*expected"):
        Store.open(path)
    assert sorted(p.name for p in tmp_path.iterdir() if not p.name.endswith(".lock")) == before


WRONG = [
    "",
    "x",
    "[1",
    "{}",
    "[]",
    "null",
    '{"a": 1}',
    '"text"',
    "1e999",
    b"\xff\xfe",
    7,
    -1.5,
    None,
]


@pytest.mark.parametrize("table", ["runs", "trials", "measurements", "trainings", "trained",
                                   "epochs", "costs"])  # fmt: skip
def test_wrong_values_are_named_and_made_anew(
    searched: RunFolder, tmp_path: Path, table: str
) -> None:
    """Each column in turn holds a wrong value: the report says so, and the command repairs it."""
    rng = random.Random(table)
    train = table in ("trainings", "trained", "epochs")
    [other] = load_record(searched.store, searched.name).beside
    folder = copy_of(searched if train else replace(searched, name=other), tmp_path)
    whole = folder.store.read_bytes()
    expected = load_record(folder.store, folder.name)
    columns = columns_of(folder.store, table)
    for name, required in rng.sample(columns, 2) if train else columns:
        folder.store.write_bytes(whole)
        value = rng.choice([value for value in WRONG if value is not None or not required])
        connection = sqlite3.connect(folder.store)
        with suppress(sqlite3.IntegrityError):  # where SQLite itself refuses it
            connection.execute(f"update {table} set {name} = ? where rowid = 1", (value,))
        connection.commit()
        connection.close()
        told(lambda: load_record(folder.store, folder.name), str(folder.store), folder.name)
        if told(lambda: run(quick(folder.out, train=train)), str(folder.store)):
            found = load_record(folder.store, folder.name)
            assert found.selected == expected.selected, (name, value)
            assert readable(found) == readable(expected), (name, value)


def readable(record: RunRecord) -> list[TrialRecord]:
    """Trials without the columns that may hold any text, which cannot be told from another."""
    return [replace(trial, note="", role=None) for trial in record.trials]


def columns_of(store: Path, table: str) -> list[tuple[str, bool]]:
    connection = sqlite3.connect(store)
    rows = connection.execute(f"pragma table_info({table})").fetchall()
    connection.close()
    return [(row[1], bool(row[3] or row[5])) for row in rows]


def test_lost_measurements_are_measured_again(searched: RunFolder, tmp_path: Path) -> None:
    folder = copy_of(searched, tmp_path)
    expected = load_record(folder.store, folder.name)
    with sqlite3.connect(folder.store) as connection:
        connection.execute("delete from measurements where rowid = 2")
        connection.execute("update measurements set value = 'many' where rowid = 1")
    connection.close()
    found = [r for t in load_record(folder.store, folder.name).trials for r in t.readings.values()]
    assert [column == (LOST,) for column in found] == [True, True, False]
    run(quick(folder.out, train=False))
    assert load_record(folder.store, folder.name).trials == expected.trials


# Checkpoints


class Evil:
    """Runs code when it is unpickled."""

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, ("evil",)


def test_a_checkpoint_never_runs_code_and_says_what_is_wrong(
    searched: RunFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "training.pt"
    original = next(Path(searched.trainings).glob("*.pt")).read_bytes()
    path.write_bytes(original)
    kept = torch.load(path, weights_only=True)
    asked = kept["asked"]
    wrong: list[dict[str, Any]] = [
        {**kept, "epochs": 3}, {**kept, "epochs": [{"number": 1}]}, {**kept, "network": None},
        {**kept, "surplus": 1}, {**kept, "asked": 7}, {"asked": asked}, {**kept, "reason": None},
        {**kept, "epochs": [{**kept["epochs"][0], "number": "one"}]},
        {**kept, "epochs": kept["epochs"] * 2},
    ]  # fmt: skip
    for values in wrong:
        torch.save(values, path)
        with pytest.raises(ValueError, match=r"training\.pt"):
            load_checkpoint(path, asked)
    torch.save({**kept, "reason": Evil()}, path)
    with pytest.raises(ValueError, match=r"training\.pt"):
        load_checkpoint(path, asked)
    path.write_bytes(pickle.dumps(Evil()))
    with pytest.raises(ValueError, match=r"training\.pt"):
        load_checkpoint(path, asked)
    assert not Path("evil").exists()
    for seed in range(6):
        for content in mutations(original, random.Random(seed)):
            path.write_bytes(content)
            told(lambda: load_checkpoint(path, asked), str(path))


# Trackings


def make_network() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Flatten(), nn.Linear(64, 10))


def tracked(images: Images, folder: Path) -> Track:
    return track(make_network(), images, Recipe(epochs=2, batch=256),
                 Tracking(probe=8, support=0, held_out=8), folder=folder)  # fmt: skip


@pytest.mark.parametrize("file", ["snapshots.jsonl", "about.json", "question.json", "training.pt",
                                  "kernels/00000.npy", "kernels/00001.npy",
                                  "probe.png"])  # fmt: skip
def test_a_damaged_tracking_is_named_and_what_is_whole_is_used(
    digits: Images, tmp_path: Path, file: str
) -> None:
    small = replace(digits, train=digits.train.some(300, torch.Generator().manual_seed(0)))
    folder = tmp_path / "whole"
    whole = tracked(small, folder)
    expected = {snapshot.epoch: (replace(snapshot, seconds=0.0), kernel) for snapshot, kernel in
                zip(whole.snapshots, whole.kernels, strict=True)}  # fmt: skip
    original = (folder / file).read_bytes()
    rng = random.Random(file)
    for content in [*mutations(original, rng), None]:
        damaged = tmp_path / "damaged"
        shutil.copytree(folder, damaged)
        if content is None:
            (damaged / file).unlink()
        else:
            (damaged / file).write_bytes(content)
        for call in (partial(load_track, damaged), partial(tracked, small, damaged)):
            found: list[Track] = []
            if told(partial(keep, found, call), str(damaged)):
                for snapshot, kernel in zip(found[0].snapshots, found[0].kernels, strict=True):
                    assert replace(snapshot, seconds=0.0) == expected[snapshot.epoch][0]
                    assert torch.equal(kernel, expected[snapshot.epoch][1])
        shutil.rmtree(damaged)


def test_half_a_line_leaves_the_snapshots_before_it(digits: Images, tmp_path: Path) -> None:
    whole = tracked(digits, tmp_path)
    path = tmp_path / "snapshots.jsonl"
    path.write_bytes(path.read_bytes()[:-100])
    assert [snapshot.epoch for snapshot in load_track(tmp_path).snapshots] == [0, 1]
    again = tracked(digits, tmp_path)  # the last is seen again, from the checkpoint
    assert torch.equal(again.kernels, whole.kernels)
    assert torch.equal(load_track(tmp_path).kernels, whole.kernels)


def test_a_lost_snapshot_comes_back_with_a_new_training(digits: Images, tmp_path: Path) -> None:
    whole = tracked(digits, tmp_path)
    np.save(tmp_path / "kernels" / "00001.npy", np.zeros((3, 3)))
    assert [snapshot.epoch for snapshot in tracked(digits, tmp_path).snapshots] == [0, 2]
    (tmp_path / "training.pt").unlink()
    assert torch.equal(tracked(digits, tmp_path).kernels, whole.kernels)


def test_a_tracking_of_the_command_says_which_file_is_damaged(tmp_path: Path) -> None:
    config = TrackConfig(
        training=TrainingSpec(epochs=1, images=64), probe=8, support=0, scale="small", out=tmp_path
    )
    cell = "|nor_conv_3x3~0|+|none~0|none~1|+|skip_connect~0|none~1|none~2|"
    folder, _ = track_one(config, cell)
    path = folder.path / "asked.json"
    original = path.read_bytes()
    asked = json.loads(original)
    wrong = [[], [1, 2, 3], ["x", {}], [3, asked[1]], [asked[0], {**asked[1], "seed": "one"}],
             [asked[0], {**asked[1], "surplus": 1}], [asked[0], {**asked[1], "output": "none"}],
             [asked[0], None]]  # fmt: skip
    contents = [json.dumps(each).encode() for each in wrong]
    for content in [*contents, *mutations(original, random.Random(0))]:
        path.write_bytes(content)
        told(lambda: report_track(folder), str(path))
    for content in contents:
        path.write_bytes(content)
        with pytest.raises(ValueError, match=r"asked\.json"):
            report_track(folder)


def test_a_store_is_made_whole_or_not_at_all_where_there_is_no_room(tmp_path: Path) -> None:
    """Files may be so many bytes long: as on a disk that is full at any point."""
    tried = """
import resource, signal, sqlite3, sys
from pathlib import Path
from untrained.storage.opening import make_file
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
made = 0
for size in (*range(0, 100_000, 4096), resource.RLIM_INFINITY):
    path = Path(sys.argv[1]) / f"{size}.db"
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))
    try:
        make_file(path)
    except (ValueError, OSError):
        assert not path.exists(), size
        continue
    assert sqlite3.connect(path).execute("pragma integrity_check").fetchall() == [("ok",)], size
    made += 1
assert 0 < made < 25, made
"""
    subprocess.run([sys.executable, "-c", tried, str(tmp_path)], check=True, timeout=60)
