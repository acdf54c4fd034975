"""Bad values for every flag and every key of a file, generated from the flags themselves."""

import random
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from bad_values import TEXTS, VALUES, Key, every_key, is_of, means
from parsing import Parse
from stress.server import HUNG, Server
from stress.tally import Tally


def tries(rng: random.Random, each: int) -> list[tuple[Key, Any, bool]]:
    """Every key, so often with a text after its flag, and with a value in a file."""
    found = []
    for key in every_key():
        found += [(key, text, False) for text in rng.sample(TEXTS, each)]
        found += [(key, value, True) for value in rng.sample(VALUES, each)]
    return found


def words(key: Key, written: Any, in_file: bool, folder: Path) -> list[str]:
    """The command line, and the file if it needs one."""
    if not in_file:
        return key.as_flag(written)
    (folder / "run.toml").write_text(key.as_file(written))
    return [*key.command, *key.beside, "--config", "run.toml"]


def is_told(key: Key, code: int, error: str) -> bool:
    """Whether it was refused in one line that names the key."""
    lines = [line for line in error.splitlines() if line.strip()]
    return code == 2 and len(lines) == 1 and any(name in lines[0] for name in key.names())


def test_values_are_taken_as_written_or_refused(
    parse: Parse, rng: random.Random, share: Callable[[Sequence[Any]], list[Any]], tally: Tally
) -> None:
    """In process, up to the images."""
    wrong = []
    for key, written, in_file in share(tries(rng, 5)):
        code, error, config = parse(*words(key, written, in_file, Path.cwd()))
        if code == 0:
            value = key.of(config)
            right = is_of(key.hint, value) and means(value, written)
        else:
            right = is_told(key, code, error)
        traceback = "Traceback" in error
        tally.add("values, parsed", tried=1, different=not right, tracebacks=traceback)
        if not right or traceback:
            wrong.append((key.flag, written, in_file, code, error[-300:]))
    assert not wrong, "\n".join(map(str, wrong))


def test_values_refused_by_the_command(
    server: Server,
    tmp_path: Path,
    rng: random.Random,
    share: Callable[[Sequence[Any]], list[Any]],
    tally: Tally,
) -> None:
    """By the whole command: no value ends in a traceback, whatever it is good for."""
    wrong = []
    cases = rng.sample(tries(rng, 1), 400)
    for key, written, in_file in share(cases):
        if key.path[-1] == "workers":
            continue  # a million of them would be started
        asked = words(key, written, in_file, tmp_path)
        ended = server(tmp_path, *(w.replace("\0", "\\0") for w in asked), "--workers=0",
                       *small(key), seconds=20)  # fmt: skip
        told = ended.code in (0, 1, 2, HUNG) and (ended.code in (0, HUNG) or ended.message != "")
        tally.add("values, carried out", tried=1, lost=not told, tracebacks=ended.traceback)
        if not told or ended.traceback:
            wrong.append((key.flag, str(written)[:80], ended.code, ended.err[-400:]))
    assert not wrong, "\n".join(map(str, wrong))


def small(key: Key) -> list[str]:
    """Flags that make the command quick, where it does not ask for others itself."""
    if key.command[0] == "track":
        quick = {"training.epochs": "1", "training.images": "64", "probe": "8", "support": "8",
                 "held-out": "8"}  # fmt: skip
        return given(quick, key)
    quick = {"draws": "1"}
    if "--searcher" not in key.beside and key.path[0] not in ("searcher", "options", "preset"):
        quick |= {"searcher": "random", "options.evaluations": "1"}
    return given(quick, key)


def given(quick: dict[str, str], key: Key) -> list[str]:
    """These flags, but for the key's own."""
    own = key.flag.replace("_", "-")
    return [f"--{name}={value}" for name, value in quick.items() if f"--{name}" != own]
