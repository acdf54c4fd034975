"""Fixtures shared by many tests.

What takes seconds to import is imported in them: this file is also read by the process that hands
the tests out, for which the others wait.
"""

import os
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING

import checked  # noqa: F401  (before `untrained`, whose types it checks)
import pytest

if TYPE_CHECKING:
    from parsing import Parse
    from postgres import Server

    from untrained.images import Images

collect_ignore = ["away.py"]  # importing it, as for doctests, changes torch for the whole process

SLOW = frozenset(
    {
        "test_asynchronous", "test_az_nas", "test_benching", "test_calibrating",
        "test_forward_scores", "test_claimed_trainings", "test_claims", "test_cli",
        "test_every_command", "test_outlook", "test_run_commands",
        "test_closed_forms", "test_code", "test_conformance", "test_counting",
        "test_damage",
        "test_darts", "test_devices", "test_docs", "test_ending", "test_export", "test_features",
        "test_gradient_contract", "test_gradient_scores", "test_independence", "test_inspection",
        "test_isolation",
        "test_kernel_scores",
        "test_search_calibrated", "test_stored_ntk", "test_time_budget",
        "test_migration", "test_mnas", "test_nasbench101", "test_neural_tangents", "test_nngp",
        "test_out_by_url", "test_urls",
        "test_ntk", "test_ntk_inputs", "test_ntk_methods", "test_ntk_scores", "test_planning",
        "test_provenance", "test_ray_engine", "test_recent", "test_recipes", "test_recomputing",
        "test_reparametrised", "test_report_tracked", "test_rounding", "test_runs",
        "test_scores", "test_serve", "test_serve_browser", "test_server",
        "test_shared_devices", "test_short_training", "test_shown",
        "test_shrinking", "test_slices", "test_spaces", "test_store", "test_sweeps",
        "test_survey", "test_comparing", "test_pretrained", "test_tracking", "test_training",
        "test_training_extras", "test_training_recipe",
        "test_unsurveyed", "test_unwrapping", "test_uses", "test_verification",
    }
)  # fmt: skip
"Files that `make check` leaves out."


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--moments", type=int, default=1, help="of each mishap, in test_cluster.py")


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """`make check` does not even import slow ones, and `make cluster` alone takes its own."""
    asked = config.option.markexpr
    if collection_path.stem in ("test_cluster", "test_two_drivers", "test_serve_browser"):
        return None if asked == "cluster" else True
    return True if asked == "not slow" and collection_path.stem in SLOW else None


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    import_module("torch").set_num_threads(1)  # the suite runs one process a core
    if config.option.markexpr != "cluster":
        left = [item for item in items if item.get_closest_marker("cluster")]
        config.hook.pytest_deselected(items=left)
        items[:] = [item for item in items if item not in left]
    for item in items:
        if item.path.stem in SLOW:
            item.add_marker(pytest.mark.slow)


@pytest.fixture(scope="session", autouse=True)
def kept_pictures_apart(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Pictures that tests decode are not kept among the user's."""
    os.environ["UNTRAINED_CACHE"] = str(tmp_path_factory.mktemp("cache"))


@pytest.fixture(scope="session")
def digits() -> "Images":
    from untrained.images import load_images

    return load_images("digits")


@pytest.fixture(scope="session")
def data() -> Path:
    """The folder of benchmark tables and images; tests that need it are skipped without."""
    from untrained.data import data_folder

    if not data_folder().exists():
        pytest.skip("no data folder: set UNTRAINED_DATA")
    return data_folder()


@pytest.fixture(scope="session")
def postgres() -> "Iterator[Server]":
    """A server of PostgreSQL; tests that need it are skipped where it is not installed."""
    from postgres import server, why_none

    if reason := why_none():
        pytest.skip(reason)
    with server() as found:
        yield found


@pytest.fixture(autouse=True)
def doctests_apart(request: pytest.FixtureRequest) -> None:
    """Doctests write their runs into a folder of their own."""
    if isinstance(request.node, pytest.DoctestItem):
        folder = request.getfixturevalue("tmp_path")
        request.getfixturevalue("monkeypatch").chdir(folder)


@pytest.fixture(params=["sqlite", "postgresql"])
def address(request: pytest.FixtureRequest, tmp_path: Path) -> Path | str:
    """Of a store that is yet to be made, in a file and on a server."""
    if request.param == "sqlite":
        return tmp_path / "store.db"
    server: Server = request.getfixturevalue("postgres")
    return server.url()


@pytest.fixture
def without_graphs(monkeypatch: pytest.MonkeyPatch) -> None:
    """Exports without ONNX and `torch.export`: tracing a network takes seconds."""
    from spared import spare_graphs

    spare_graphs(monkeypatch)


@pytest.fixture
def parse(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> "Parse":
    """Commands in an empty folder, up to where they would read images."""
    from parsing import until_images

    monkeypatch.chdir(tmp_path)
    return until_images(monkeypatch, capsys)
