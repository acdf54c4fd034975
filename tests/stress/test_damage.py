"""Files that were damaged: each command names the file in one line, and keeps what is intact."""

import os
import random
import shutil
import sqlite3
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from stress.command import run
from stress.server import HUNG, Server
from stress.tally import Tally

CELL = "|nor_conv_3x3~0|+|none~0|none~1|+|skip_connect~0|nor_conv_1x1~1|none~2|"
SEARCH = ("search", "--searcher", "random", "--options.evaluations", "3", "--draws", "1",
          "--scores", "parameters", "linear_regions",
          "--score-settings.linear_regions.count", "20", "--train", "--compare", "1",
          "--training.epochs", "1", "--scale", "small",
          "--workers", "0", "--out", "runs")  # fmt: skip
TRACK = ("track", CELL, "--scale", "small", "--training.epochs", "1",
         "--training.images", "100", "--support", "16",
         "--held-out", "16", "--probe", "16", "--out", "runs")  # fmt: skip


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a finished search and a finished tracking."""
    folder = tmp_path_factory.mktemp("whole")
    for command in (SEARCH, TRACK):
        ended = run(folder, *command)
        assert ended.code == 0, ended.err
    return folder


def emptied(content: bytes, rng: random.Random) -> bytes:
    return b""


def cut(content: bytes, rng: random.Random) -> bytes:
    return content[: rng.randrange(max(1, len(content)))]


def flipped(content: bytes, rng: random.Random) -> bytes:
    changed = bytearray(content)
    for _ in range(rng.randrange(1, 20)):
        if changed:
            changed[rng.randrange(len(changed))] ^= 1 << rng.randrange(8)
    return bytes(changed)


def overwritten(content: bytes, rng: random.Random) -> bytes:
    first = rng.randrange(max(1, len(content)))
    return content[:first] + rng.randbytes(min(512, len(content))) + content[first + 512 :]


def garbage(content: bytes, rng: random.Random) -> bytes:
    return rng.randbytes(1000)


def zeros(content: bytes, rng: random.Random) -> bytes:
    return bytes(len(content))


MUTATIONS = (emptied, cut, flipped, overwritten, garbage, zeros)


def commands(folder: Path) -> list[tuple[str, ...]]:
    """Each command that reads what a run or a tracking left."""
    names = [path.name for path in (folder / "runs").iterdir() if path.is_dir()]
    kept = [name for name in names if name != "trainings"]
    return [SEARCH, TRACK, *(("report", f"runs/{name}") for name in kept)]


def damaged(folder: Path, rng: random.Random) -> str:
    """Damages one file at random, and says how."""
    files = sorted(p for p in folder.rglob("*") if p.is_file() and p.suffix != ".lock")
    path = rng.choice([p for p in files if p.name != "lock"])
    kind = rng.randrange(10)
    name = str(path.relative_to(folder))
    if kind == 0:
        path.unlink()
        return f"{name} removed"
    if kind == 1:
        path.unlink()
        path.mkdir()
        return f"{name} made a folder"
    mutate = rng.choice(MUTATIONS)
    path.write_bytes(mutate(path.read_bytes(), rng))
    return f"{name} {mutate.__name__}"


def spoiled(folder: Path, rng: random.Random) -> str:
    """Puts a value of another type into one cell of the store, and says which."""
    with sqlite3.connect(folder / "runs" / "store.db") as connection:
        tables = [t for (t,) in connection.execute("SELECT name FROM sqlite_master "
                                                   "WHERE type = 'table'")]  # fmt: skip
        table = rng.choice(sorted(tables))
        columns = [row[1] for row in connection.execute(f"PRAGMA table_info({table})")]
        column = rng.choice(columns)
        value = rng.choice(
            [None, "", "words", -1, 1e300, b"\xff\x00", "{", "[]", "null", '{"a": 1}']
        )
        try:
            connection.execute(f"UPDATE {table} SET {column} = ?", (value,))
        except sqlite3.IntegrityError as error:
            return f"{table}.{column} = {value!r} refused: {error}"
    connection.close()
    return f"{table}.{column} = {value!r}"


def attempt(
    server: Server,
    folder: Path,
    asked: Sequence[tuple[str, ...]],
    what: str,
    tally: Tally,
    kind: str,
) -> list[Any]:
    """Gives each command in turn; what went wrong."""
    wrong = []
    for command in asked:
        ended = server(folder, *command, seconds=120)
        told = ended.code in (0, 1, 2) and (ended.code == 0 or ended.message != "")
        lost = not told or ended.code == HUNG
        tally.add(kind, tried=1, lost=lost, tracebacks=ended.traceback)
        if lost or ended.traceback:
            wrong.append((what, command[:2], ended.code, ended.err[-400:]))
    return wrong


@pytest.mark.parametrize("spoil", [damaged, spoiled])
def test_damaged_files(
    spoil: Callable[[Path, random.Random], str],
    whole: Path,
    server: Server,
    tmp_path: Path,
    rng: random.Random,
    share: Callable[[Sequence[Any]], list[Any]],
    tally: Tally,
) -> None:
    wrong = []
    for seed in share([rng.random() for _ in range(60)]):
        folder = tmp_path / "copy"
        shutil.copytree(whole, folder)
        asked = rng.sample(commands(folder), 2)
        what = spoil(folder, random.Random(seed))
        wrong += attempt(server, folder, asked, what, tally, f"{spoil.__name__} files")
        shutil.rmtree(folder)
    assert not wrong, "\n".join(map(str, wrong))


def test_a_pickle_never_runs(
    whole: Path,
    server: Server,
    tmp_path: Path,
    share: Callable[[Sequence[Any]], list[Any]],
    tally: Tally,
) -> None:
    """Each file in turn is a pickle that would make a file."""
    import pickle

    class Bomb:
        def __reduce__(self) -> Any:
            return os.system, (f"touch {tmp_path}/exploded",)

    for path in share(sorted(p for p in whole.rglob("*") if p.is_file())):
        folder = tmp_path / "copy"
        shutil.copytree(whole, folder)
        asked = commands(folder)
        (folder / path.relative_to(whole)).write_bytes(pickle.dumps(Bomb()))
        wrong = attempt(server, folder, asked, f"{path.name} a pickle", tally, "pickles")
        assert not (tmp_path / "exploded").exists(), path
        assert not wrong, "\n".join(map(str, wrong))
        shutil.rmtree(folder)
