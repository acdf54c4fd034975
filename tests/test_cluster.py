"""A cluster of three nodes on this machine gives the bits of one process, whatever befalls it.

Its store is on a PostgreSQL server.

`make cluster` runs it, in some minutes; with MOMENTS=5, each mishap at five moments, and with
MOMENTS=0, as CI does, all of them at one run.
"""

import json
import os
import random
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from importlib.metadata import version
from pathlib import Path
from subprocess import Popen
from typing import Any, NamedTuple

import noted
import pytest
from noted import SCORE, calls, steps
from postgres import Server
from repeated import repeated
from sqlalchemy import select
from stored import said
from stress.command import TIMES, Ended, finish, numbers, start
from test_deploy import COMPOSE, command

from untrained.runs import RunConfig, load_record
from untrained.storage.address import Address
from untrained.storage.schema import metadata
from untrained.storage.store import Store

pytestmark = pytest.mark.cluster

EVALUATIONS, EPOCHS = 24, 2
SEARCH = (
    "search", "--searcher", "random", "--options.evaluations", str(EVALUATIONS), "--proposals",
    "12", "--draws", "1", "--scores", "counted:Counted", "parameters", "--train", "--compare",
    "1", "counted:linear", "--training.epochs", str(EPOCHS), "--training.images", "200",
    "--scale", "small",
)  # fmt: skip
SWEEP = (
    "bench", "--train", "4", "--scores", "counted:Counted", "linear_regions", "--draws", "2",
    "--training.epochs", str(EPOCHS), "--training.images", "200", "--scale", "small",
    "--resamples", "100",
)  # fmt: skip
SERIAL = ("--workers", "0")
made = partial(noted.made, seconds=0.2)
NODES = 3
PATIENCE = 1200
"Seconds for a command."


@dataclass
class Three:
    """The cluster, which is made whole again after each test."""

    cluster: Any
    others: list[Any] = field(default_factory=list)
    "Nodes beside the head."

    @property
    def flags(self) -> tuple[str, ...]:
        return ("--engine", "ray", "--ray.address", self.cluster.address)

    def join(self, cores: int = 1, gpus: int = 0, **env: str) -> Any:
        asked = {"num_cpus": cores, "num_gpus": gpus, "object_store_memory": int(1e8)}
        for tries in range(5):
            try:
                node = self.cluster.add_node(**asked, env_vars=env or None)
                break
            except Exception as error:  # a plain one: Ray gives a node half a minute to start
                if "timed out during startup" not in str(error) or tries == 4:
                    raise
        self.others.append(node)
        return node

    def leave(self, node: Any) -> None:
        self.others.remove(node)
        self.cluster.remove_node(node)

    def restore(self) -> None:
        while len(self.others) > NODES - 1:
            self.leave(self.others[-1])
        while len(self.others) < NODES - 1:
            self.join()


@pytest.fixture(scope="module")
def whole() -> Iterator[Three]:
    utilities = pytest.importorskip(
        "ray.cluster_utils", reason="Ray is not installed: pip install 'untrained[ray]'"
    )
    head = {"num_cpus": 1, "object_store_memory": int(1e8), "include_dashboard": False}
    three = Three(utilities.Cluster(initialize_head=True, head_node_args=head))
    try:
        three.restore()
        yield three
    finally:
        three.cluster.shutdown()


@pytest.fixture
def three(whole: Three) -> Iterator[Three]:
    yield whole
    whole.restore()


@pytest.fixture
def rng(request: pytest.FixtureRequest) -> random.Random:
    return random.Random(request.node.name)


def run(folder: Path, *words: str, env: dict[str, str] | None = None) -> Ended:
    """The command from start to end, of which a busy machine may take its time."""
    return finish(start(folder, *words, env=env), PATIENCE)


def well(ended: Ended) -> Ended:
    assert ended.code == 0, ended.err
    assert not ended.traceback
    assert "raylet" not in ended.out + ended.err, "words of Ray's"
    return ended


@pytest.fixture(scope="module")
def truth(whole: Three, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where one process has searched and trained."""
    folder = made(tmp_path_factory.mktemp("truth") / "runs")
    well(run(folder, *SEARCH, *SERIAL, "--out", "out"))
    return folder


def kept(folder: Path, store: Address) -> dict[str, Any]:
    """As `numbers`, of a store anywhere."""
    found = {name: found for name, found in numbers(folder / "out").items() if "/" in name}
    with Store.reading(store) as opened, opened.engine.begin() as connection:
        for name in ("measurements", "trials", "trainings", "epochs", "trained"):
            rows = connection.execute(select(metadata.tables[name])).mappings().all()
            found[name] = sorted(
                repr([(k, row[k]) for k in row if k not in TIMES]) for row in rows
            )
    return found


class Vain(NamedTuple):
    """What may be done in vain."""

    measurements: int
    epochs: int
    "Of the network that notes its steps."


NOTHING = Vain(0, 0)


def assert_same(
    folder: Path, truth: Path, store: Address | None = None, vain: Vain = NOTHING
) -> None:
    """The numbers of one process, and no more work than that but what was in progress.

    Args:
        folder: where the command ran, with its files in `out`.
        truth: where one process did.
        store: the command's; None is the file in `out`.
        vain: what may have been done twice.
    """
    files = [where / "out" / "store.db" for where in (folder, truth)]
    assert kept(folder, store or files[0]) == kept(truth, files[1])
    assert not calls(truth) - calls(folder)
    assert (calls(folder) - calls(truth)).total() <= vain.measurements
    epoch = steps(truth) // EPOCHS
    assert 0 <= steps(folder) - steps(truth) <= epoch * vain.epochs


# Mishaps: what is done to a run under way, and what may be done in vain for it


class Scene(NamedTuple):
    """Where a mishap happens."""

    three: Three
    server: Server
    "Of the store."
    driver: Popen[bytes]
    rng: random.Random


def worker_killed(scene: Scene) -> None:
    """Known by the architecture that it is at."""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and scene.driver.poll() is None:
        for program in Path("/proc").glob("[0-9]*/cmdline"):
            with suppress(OSError):  # it has ended
                if program.read_bytes().startswith(b"ray::|"):
                    os.kill(int(program.parent.name), signal.SIGKILL)
                    return
        time.sleep(0.01)


def node_removed(scene: Scene) -> None:
    scene.three.leave(scene.rng.choice(scene.three.others))


def node_added(scene: Scene) -> None:
    scene.three.join()


def driver_killed(scene: Scene) -> None:
    scene.driver.kill()


def server_restarted(scene: Scene) -> None:
    """As a crash, or in good order; and away for a while."""
    scene.server.stop(scene.rng.choice(("immediate", "fast")))
    time.sleep(scene.rng.uniform(0, 3))
    scene.server.start()


Mishap = Callable[[Scene], None]
MISHAPS: dict[Mishap, Vain] = {
    worker_killed: Vain(1, 1),
    node_removed: Vain(1, 1),
    node_added: Vain(0, 0),
    driver_killed: Vain(2 * NODES, 1),  # under way, and half a second's results not yet stored
    server_restarted: Vain(0, 0),
}


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """All mishaps at one run, and then each by itself at so many moments, and none."""
    if "mishaps" in metafunc.fixturenames:
        moments = metafunc.config.getoption("--moments")
        cases = {"all": (*MISHAPS,)} | ({"none": ()} if moments else {})
        for k in range(moments):
            cases |= {f"{mishap.__name__}-{k}": (mishap,) for mishap in MISHAPS}
        metafunc.parametrize("mishaps", cases.values(), ids=cases)


def test_the_numbers_are_those_of_one_process(
    mishaps: tuple[Mishap, ...],
    three: Three,
    postgres: Server,
    truth: Path,
    tmp_path: Path,
    rng: random.Random,
) -> None:
    folder, store = made(tmp_path / "runs"), postgres.url()
    asked = (*SEARCH, *three.flags, "--store", store, "--out", "out")
    driver = start(folder, *asked)
    moments = sorted(rng.randrange(EVALUATIONS + EVALUATIONS // 2) for _ in mishaps)
    for moment, mishap in zip(moments, rng.sample(mishaps, len(mishaps)), strict=True):
        while calls(folder).total() < min(moment, EVALUATIONS) and driver.poll() is None:
            time.sleep(0.01)
        time.sleep(rng.uniform(0, 4 if moment >= EVALUATIONS else 0.2))  # while it trains
        mishap(Scene(three, postgres, driver, rng))
        if mishap is driver_killed:
            finish(driver, PATIENCE)
            driver = start(folder, *asked)
    well(finish(driver, PATIENCE))
    vain = [MISHAPS[mishap] for mishap in mishaps]
    assert_same(folder, truth, store, Vain(*map(sum, zip(NOTHING, *vain, strict=True))))
    assert not said(store, "SELECT * FROM claims")


def test_an_asynchronous_search_can_be_repeated_from_what_is_stored(
    three: Three, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of which the driver was killed."""
    folder = made(tmp_path / "runs")
    words = ("search", "--asynchronous", "--searcher", "evolution", "--options.evaluations", "24",
             "--options.population", "6", "--proposals", "6", "--draws", "1", "--scores",
             "counted:Counted", "linear_regions", "--out", "out")  # fmt: skip
    driver = start(folder, *words, *three.flags)
    while calls(folder).total() < 12 and driver.poll() is None:
        time.sleep(0.01)
    driver.kill()
    finish(driver, PATIENCE)
    ended = well(run(folder, *words, *three.flags, "--json"))
    record = load_record(folder / "out" / "store.db", json.loads(ended.out)["run"])
    assert sorted(trial.batch for trial in record.trials) == list(range(24))
    monkeypatch.syspath_prepend(folder)
    asked = RunConfig(
        searcher="evolution", options={"evaluations": 24, "population": 6}, draws=1,
        scores=("counted:Counted", "linear_regions"),
    )  # fmt: skip
    by_proposal = sorted(record.trials, key=lambda trial: trial.batch)
    assert [str(p and p.architecture) for p in repeated(record, asked)] == [
        trial.architecture for trial in by_proposal
    ]
    assert calls(folder).total() <= 24 + 2 * NODES


def test_a_sweep_on_the_cluster_that_this_machine_belongs_to(
    three: Three, postgres: Server, tmp_path: Path
) -> None:
    """A bench with trainings of its own, whose driver is killed."""
    truth, folder, store = made(tmp_path / "serial"), made(tmp_path / "ray"), postgres.url()
    well(run(truth, *SWEEP, *SERIAL, "--out", "out"))
    auto = ("--engine", "ray", "--ray.address", "auto", "--store", store, "--out", "out")
    env = {"RAY_ADDRESS": three.cluster.address}
    driver = start(folder, *SWEEP, *auto, env=env)
    while calls(folder).total() < 6 and driver.poll() is None:
        time.sleep(0.01)
    driver.kill()
    finish(driver, PATIENCE)
    well(run(folder, *SWEEP, *auto, env=env))
    assert_same(folder, truth, store, MISHAPS[driver_killed])


def test_a_run_waits_for_a_node_that_can_do_its_tasks(
    three: Three, truth: Path, tmp_path: Path
) -> None:
    folder = made(tmp_path / "runs")
    driver = start(folder, *SEARCH, *three.flags, "--ray.cores", "2", "--out", "out")
    while not (folder / "out" / "store.db").exists() and driver.poll() is None:
        time.sleep(0.1)
    time.sleep(3)
    assert not calls(folder)
    three.join(2, NODE=" joined")
    ended = well(finish(driver, PATIENCE))
    assert "no node of the cluster has 2 CPU for a task: waiting for one" in ended.err
    assert calls(folder).pop("joined") == EVALUATIONS
    assert numbers(folder / "out") == numbers(truth / "out")


def test_a_network_that_crashes_fails_alone(three: Three, tmp_path: Path) -> None:
    """Its Ray worker lives on, and nothing is sent again."""
    some = "if hash(value) % 2:\n            os.abort()\n        return"
    crashing = SCORE.replace("Counted", "Crashing").replace("return", some)
    (tmp_path / "crashing.py").write_text(crashing)
    asked = ("search", "--searcher", "random", "--options.evaluations", "4", "--draws", "1",
             "--scores", "crashing:Crashing")  # fmt: skip
    well(run(tmp_path, *asked, *three.flags, "--out", "ray"))
    well(run(tmp_path, *asked, "--workers", "1", "--out", "local"))
    assert numbers(tmp_path / "ray") == numbers(tmp_path / "local")
    measurements = numbers(tmp_path / "ray")["measurements"]
    assert 0 < sum("SIGABRT" in row for row in measurements) < len(measurements)


SHARING = """
import json, sys
from untrained.images import load_images
from untrained.runs.engines import start_engine
from untrained.runs.ray_config import RayConfig
from untrained.runs.setup import make_setup
from untrained.runs.tasks import ScoreTask
from untrained.spaces import get_space

setup = make_setup("visible:Visible", get_space("nasbench201"), {})
cell = "|nor_conv_3x3~0|+|none~0|none~1|+|skip_connect~0|nor_conv_1x1~1|none~2|"
tasks = [ScoreTask("nasbench201", cell, (setup,), (draw,), "cpu") for draw in range(12)]
half = RayConfig(sys.argv[1], gpus=0.5)
with start_engine(1, load_images("digits"), None, "cuda", half) as engine:
    print(json.dumps([found[0][0].reading.value for _, found in engine(tasks)]))
"""


def test_tasks_share_the_gpus_that_ray_gives_them(three: Three, tmp_path: Path) -> None:
    """With GPUs that are not there: Ray counts what it is told, and says which a task may see."""
    visible = SCORE.replace("Counted", "Visible")
    returned = "return Reading(float(os.environ['CUDA_VISIBLE_DEVICES']))"
    (tmp_path / "visible.py").write_text(visible.partition("return")[0] + returned)
    three.join(3, gpus=2)
    asked = [sys.executable, "-c", SHARING, three.cluster.address]
    done = subprocess.run(asked, cwd=tmp_path, capture_output=True, text=True, timeout=PATIENCE)
    assert done.returncode == 0, done.stderr
    assert set(json.loads(done.stdout)) == {0.0, 1.0}


def test_another_version_on_a_node_ends_the_run_in_a_line(three: Three, tmp_path: Path) -> None:
    """And nothing of it is stored."""
    folder = made(tmp_path / "runs")
    metadata = tmp_path / "other" / "untrained-9.9.dist-info"
    metadata.mkdir(parents=True)
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: untrained\nVersion: 9.9\n")
    path = os.pathsep.join((str(metadata.parent), os.environ.get("PYTHONPATH", "")))
    three.join(2, PYTHONPATH=path)
    ended = run(folder, *SEARCH, *three.flags, "--ray.cores", "2", "--out", "out")
    assert ended.code == 2
    assert f"of the cluster: expected untrained {version('untrained')}, as on" in ended.message
    assert "got 9.9" in ended.message
    assert not said(folder / "out" / "store.db", "SELECT * FROM measurements")


def test_what_the_compose_file_says_to_ray_is_understood() -> None:
    ray = pytest.importorskip("ray.scripts.scripts").cli
    [health] = re.findall(r'test: (\["CMD", "ray".*\])', COMPOSE)
    asked = [command("head"), command("worker"), json.loads(health)[1:]]
    for program, name, *words in asked:
        assert program == "ray"
        ray.commands[name].make_context(name, words)


def test_a_cluster_that_the_command_starts_ends_with_it(truth: Path, tmp_path: Path) -> None:
    folder = made(tmp_path / "runs")
    ended = well(
        run(folder, *SEARCH, "--engine", "ray", "--workers", "2", "--out", "out", "--json")
    )
    assert ended.out.startswith("{")
    assert_same(folder, truth)
