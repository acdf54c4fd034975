"""How much of the stress suite runs, and what it counts.

Everything: `make stress`. A share of it, spread evenly: `make stress SHARE=0.1`.
"""

import random
from collections.abc import Callable, Iterator, Sequence
from typing import Any, TypeVar

import pytest
from stress.server import Server, started
from stress.tally import COUNTS, Tally

T = TypeVar("T")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--share", type=float, default=1.0, help="share of the cases, in (0, 1]")
    parser.addoption("--seed", type=int, default=0, help="of every random choice")


SESSION = pytest.StashKey[Tally]()


def pytest_configure(config: pytest.Config) -> None:
    config.stash[SESSION] = Tally()


def pytest_sessionfinish(session: pytest.Session) -> None:
    if hasattr(session.config, "workeroutput"):  # a process of pytest-xdist
        session.config.workeroutput["tally"] = session.config.stash[SESSION].counts


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any) -> None:
    for kind, row in getattr(node, "workeroutput", {}).get("tally", {}).items():
        node.config.stash[SESSION].add(kind, **row)


def pytest_terminal_summary(terminalreporter: Any, config: pytest.Config) -> None:
    counts = config.stash[SESSION].counts
    total = {name: sum(row[name] for row in counts.values()) for name in COUNTS}
    terminalreporter.section("stress")
    lines = [("", *COUNTS), *((k, *map(str, counts[k].values())) for k in sorted(counts))]
    lines.append(("all", *map(str, total.values())))
    for name, *cells in lines:
        terminalreporter.write_line(f"{name:<28}" + "".join(f"{cell:>12}" for cell in cells))


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """The command, in forks of a process that has imported it."""
    with started(tmp_path_factory.mktemp("server")) as found:
        yield found


@pytest.fixture
def tally(request: pytest.FixtureRequest) -> Tally:
    return request.config.stash[SESSION]


@pytest.fixture
def rng(request: pytest.FixtureRequest) -> random.Random:
    """Random numbers that stand for the test's name and `--seed`."""
    return random.Random(f"{request.config.getoption('--seed')}/{request.node.name}")


@pytest.fixture
def share(request: pytest.FixtureRequest) -> Callable[[Sequence[T]], list[T]]:
    """So many of a test's cases as are asked for, at least one, spread evenly."""
    part: float = request.config.getoption("--share")

    def some(cases: Sequence[T]) -> list[T]:
        count = max(1, round(part * len(cases)))
        return [cases[i * len(cases) // count] for i in range(count)]

    return some
