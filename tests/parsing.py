"""Commands carried out up to where they would read images: all of their checks, and no work."""

from collections.abc import Callable
from typing import Any, NoReturn

import pytest

from untrained.cli import actions, main
from untrained.front import searching
from untrained.runs import driver
from untrained.tracking import track_one

Parse = Callable[..., tuple[int, str, Any]]


class Reached(Exception):
    """The images: all that comes before them is in order."""


def until_images(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Parse:
    """Of the words of a command: exit code, what it said if not 0, and the configuration."""
    monkeypatch.setenv("COLUMNS", "200")
    found: list[Any] = []

    def reached(*_: object, **__: object) -> NoReturn:
        raise Reached

    def keep(run: Callable[..., Any]) -> Callable[..., Any]:
        def kept(config: Any, *others: Any) -> Any:
            found.append(config)
            return run(config, *others)

        return kept

    for module, run, caller in ((driver, "run", searching), (track_one, "track_one", actions)):
        monkeypatch.setattr(module, "load_images", reached)
        monkeypatch.setattr(caller, run, keep(getattr(module, run)))

    def call(*words: str) -> tuple[int, str, Any]:
        found.clear()
        monkeypatch.setattr("sys.argv", ["untrained", *words])
        code = 0
        try:
            main()
        except Reached:
            pass
        except SystemExit as end:
            code = int(end.code or 0)
        error = capsys.readouterr().err  # of a command that went on, its progress
        return code, error if code else "", found[0] if found else None

    return call
