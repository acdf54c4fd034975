"""The engine of a Ray cluster, with a stand-in for Ray: what is sent, how much, and how often."""

import pickle
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from untrained.benching.bench import _flags
from untrained.benching.config import BenchConfig
from untrained.images import Images
from untrained.kernels.question import Asked
from untrained.kernels.tiles import TiledNTK
from untrained.networks.called import Call
from untrained.runs import RunConfig, flights, node, ray_config, ray_engine
from untrained.runs.cluster import check_reachable, connected
from untrained.runs.failures import Failure, too_large
from untrained.runs.node import check_code, check_folder, code_of, loaded, perform_on_node
from untrained.runs.presets import resolve
from untrained.runs.ray_config import RayConfig
from untrained.runs.ray_engine import MOST_CRASHES, QUEUED, RayEngine
from untrained.runs.readings import Measurement
from untrained.runs.sent import entry, name_of, pickled, versions
from untrained.runs.setup import make_setup
from untrained.runs.tasks import ScoreTask, Task, TileTask, TrainTask, perform
from untrained.runs.workers import Answer, Lost, Raised
from untrained.scores import Reading
from untrained.spaces import get_space
from untrained.training import Recipe

SPACE = get_space("nasbench201")
CELL = "|nor_conv_3x3~0|+|none~0|none~1|+|skip_connect~0|nor_conv_1x1~1|none~2|"
SETUP = make_setup("parameters", SPACE, {})
ONE_CORE = RayConfig()
TASK = ScoreTask("nasbench201", CELL, (SETUP,), (0,), "cpu")


class RayError(Exception):
    pass


class WorkerCrashedError(RayError):
    pass


class NodeDiedError(RayError):
    pass


class OutOfMemoryError(RayError):
    pass


class StubRay:
    """Ray in this process. A task is done when its reference is waited for.

    Args:
        does: what a task comes to, by its draw and how often it was sent before; an error is
            raised by `get`, as Ray's.
        cores: of each living node.
    """

    exceptions = SimpleNamespace(
        RayError=RayError, WorkerCrashedError=WorkerCrashedError, NodeDiedError=NodeDiedError,
        LocalRayletDiedError=NodeDiedError, ObjectLostError=NodeDiedError,
        OutOfMemoryError=OutOfMemoryError,
    )  # fmt: skip

    def __init__(self, does: Callable[[int, int], object], *cores: float):
        self.does, self.cores = does, cores
        self.sent: list[tuple[ScoreTask, dict[str, Any]]] = []
        self.flying, self.most = set[int](), 0
        self.cancelled: list[int] = []

    def put(self, value: object) -> object:
        return value

    def nodes(self) -> list[dict[str, Any]]:
        dead = {"Alive": False, "Resources": {"CPU": 64}}
        return [dead, *({"Alive": True, "Resources": {"CPU": c, "GPU": c}} for c in self.cores)]

    def remote(self, function: object) -> Any:
        return SimpleNamespace(options=lambda **how: SimpleNamespace(remote=self._sending(how)))

    def _sending(self, how: dict[str, Any]) -> Callable[..., int]:
        def send(shared: object, sent: bytes, code: str) -> int:
            self.sent.append((pickle.loads(sent), how))
            self.flying.add(len(self.sent) - 1)
            self.most = max(self.most, len(self.flying))
            return len(self.sent) - 1

        return send

    def wait(self, references: Sequence[int], num_returns: int, timeout: float) -> Any:
        return list(references[:1]), list(references[1:])

    def get(self, reference: int) -> object:
        self.flying.remove(reference)
        [draw] = self.sent[reference][0].draws
        found = self.does(draw, sum(task.draws == (draw,) for task, _ in self.sent[:reference]))
        if isinstance(found, Exception):
            raise found
        return found

    def cancel(self, reference: int, force: bool) -> None:
        self.cancelled.append(reference)


def scored(value: float | None, reason: str = "", bound: Any = None) -> Answer:
    return [[Measurement(Reading(value, reason, bound), 0.0)]]


@pytest.fixture(autouse=True)
def sizes_asked_often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ray_engine, "PATIENCE", 0.0)


def engine(stub: StubRay, config: RayConfig = ONE_CORE, device: str = "cpu") -> RayEngine:
    shared: node.Shared = {
        "versions": {}, "folder": "", "images": [], "fingerprint": "", "time_limit": None,
    }  # fmt: skip
    return RayEngine(stub, config, shared, device)


def done(stub: StubRay, count: int, **how: Any) -> dict[int, Any]:
    """What tasks of the draws 0, 1, 2 ... come to; each comes once."""
    tasks = [replace(TASK, draws=(draw,)) for draw in range(count)]
    found = [(index, outcome) for index, outcome in engine(stub, **how)(tasks)]
    assert sorted(index for index, _ in found) == list(range(count))
    return {index: outcome[0][0].reading for index, outcome in found}  # type: ignore[index]


def test_no_more_is_sent_than_keeps_the_workers_at_work() -> None:
    stub = StubRay(lambda draw, _: scored(draw), 2, 1)
    assert done(stub, 500) == {draw: Reading(float(draw)) for draw in range(500)}
    assert stub.most == QUEUED * 3


def test_nodes_that_join_are_given_tasks_at_once() -> None:
    def joins(draw: int, _: int) -> Answer:
        stub.cores = (1,) if draw < 50 else (1, 8)
        return scored(draw)

    stub = StubRay(joins, 1)
    done(stub, 100)
    assert stub.most == QUEUED * 9


def test_tasks_may_be_added_between_outcomes() -> None:
    """After some that are done again alone, too."""
    lacking = scored(None, *too_large("x", "cpu"))
    stub = StubRay(
        lambda draw, before: lacking if draw % 5 == 1 and not before else scored(draw), 2
    )
    tasks = [replace(TASK, draws=(draw,)) for draw in range(3)]
    found = []
    for index, outcome in engine(stub)(tasks):
        found.append((index, outcome[0][0].reading.value))  # type: ignore[index]
        if len(tasks) < 40:
            tasks.append(replace(TASK, draws=(len(tasks),)))
    assert sorted(found) == [(draw, float(draw)) for draw in range(40)]


def test_cores_and_gpus_bound_what_is_sent() -> None:
    stub = StubRay(lambda draw, _: scored(draw), 4, 1)
    done(stub, 50, config=RayConfig(cores=2.0, gpus=0.25), device="cuda")
    assert stub.most == QUEUED * 2
    assert {(how["num_cpus"], how["num_gpus"]) for _, how in stub.sent} == {(2, 0.25)}
    stub = StubRay(lambda draw, _: scored(draw), 0.3)
    done(stub, 50, config=RayConfig(cores=0.1))
    assert stub.most == QUEUED * 3
    assert stub.sent[0][1]["num_gpus"] == 0


def test_ray_is_told_the_architecture_and_retries_nothing_itself() -> None:
    stub = StubRay(lambda draw, _: scored(draw), 1)
    done(stub, 1)
    [(_, how)] = stub.sent
    assert how["name"] == f"{CELL} parameters"
    assert how["max_retries"] == 0


def test_what_a_lost_worker_or_node_was_at_is_sent_again_and_a_failure_is_not() -> None:
    def mishap(draw: int, before: int) -> object:
        if draw == 3 and before == 0:
            return WorkerCrashedError("The worker died. Check its log.")
        if draw == 4 and before < 3 * MOST_CRASHES:
            return NodeDiedError("gone")
        return scored(None, "a failure of its own") if draw == 5 else scored(draw)

    stub = StubRay(mishap, 2)
    found = done(stub, 8)
    assert [found[k].value for k in range(8)] == [0, 1, 2, 3, 4, None, 6, 7]
    times = [sum(task.draws == (draw,) for task, _ in stub.sent) for draw in range(8)]
    assert times == [1, 1, 1, 2, 3 * MOST_CRASHES + 1, 1, 1, 1]


def test_a_task_that_no_ray_worker_survives_ends_the_run_and_is_no_result() -> None:
    stub = StubRay(lambda *_: WorkerCrashedError("The worker died. Check its log."), 4)
    with pytest.raises(OSError, match=r"Ray worker of \|nor.*crashed 5 times.*The worker died;"):
        done(stub, 1)


@pytest.mark.parametrize(
    "lacking", [OutOfMemoryError("killed"), scored(None, *too_large("x", "cpu")),
                Raised(MemoryError, ("x",))],
)  # fmt: skip
def test_what_lacked_memory_is_done_again_one_a_node(lacking: object) -> None:
    stub = StubRay(lambda draw, before: scored(draw) if before else lacking, 4, 4)
    assert done(stub, 10) == {draw: Reading(float(draw)) for draw in range(10)}
    strategies = [how["scheduling_strategy"] for _, how in stub.sent]
    assert strategies == ["DEFAULT"] * 10 + ["SPREAD"] * 10


@pytest.mark.parametrize("first_answers", [False, True])
def test_the_last_of_a_batch_are_sent_twice_where_they_take_long(
    first_answers: bool, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(flights, "LATE", 0.0)
    monkeypatch.setattr(flights, "LATER", 0)
    stub = StubRay(lambda draw, _: scored(draw), 4)
    slow: list[int] = []

    def wait(references: Sequence[int], num_returns: int, timeout: float) -> Any:
        """The first that is sent hangs until it is sent again."""
        slow[:] = [r for r in references if stub.sent[r][0].draws == (0,)]
        back = slow[:1] if first_answers else slow[1:]
        ready = [r for r in references if r not in slow] + (back if len(slow) == 2 else [])
        return ready[:1], []

    monkeypatch.setattr(stub, "wait", wait)
    assert done(stub, 6) == {draw: Reading(float(draw)) for draw in range(6)}
    draws = [task.draws for task, _ in stub.sent]
    assert draws.count((0,)) == 2
    assert slow[1 if first_answers else 0] in stub.cancelled
    kept = replace(TASK, warm=tmp_path / "kept")
    under_way = flights.Flights()
    under_way.longest = 0.0
    for index in range(2):
        under_way.begin(index, index)
    assert engine(stub).stragglers([TASK, kept], under_way) == []  # its size is not known yet
    sized = engine(stub)
    sized.room(alone=False)
    assert sized.stragglers([TASK, kept], under_way) == [0]


def test_what_lacks_memory_on_a_node_by_itself_is_too_large() -> None:
    reading = done(StubRay(lambda *_: OutOfMemoryError("killed"), 1), 1)[0]
    assert reading.reason.startswith("too large for this machine: Ray killed its worker")
    assert reading.bound.kind == "memory"


def test_errors_end_the_run_and_what_is_under_way() -> None:
    for answer, kind, words in (
        (Raised(OSError, (28, "No space left on device")), OSError, "No space left"),
        ("node 10.0.0.3: expected torch 2.13.0", ValueError, "node 10.0.0.3: expected torch"),
        (
            RayError("The store is full. Do this."),
            OSError,
            "could not do a task: The store is full",
        ),
    ):
        stub = StubRay(lambda draw, _, a=answer: a if draw == 2 else scored(draw), 4)  # type: ignore[misc]
        with pytest.raises(kind, match=words):
            done(stub, 8)
        assert sorted(stub.cancelled) == sorted(stub.flying)


def test_a_cluster_without_what_a_task_needs_is_told(caplog: pytest.LogCaptureFixture) -> None:
    stub = StubRay(lambda draw, _: scored(draw), 0.5)
    done(stub, 5)
    assert caplog.messages == ["no node of the cluster has 1 CPU for a task: waiting for one"]
    assert stub.most == 1


def test_a_score_inside_a_function_cannot_be_sent() -> None:
    class Inside(type(SETUP.score)):  # type: ignore[misc]
        pass

    task = replace(TASK, setups=(replace(SETUP, score=Inside()),))
    with pytest.raises(ValueError, match="expected what can be sent to a node"):
        list(engine(StubRay(lambda draw, _: scored(draw), 1))([task]))


# What a node does


def test_a_node_of_another_version_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    util = SimpleNamespace(get_node_ip_address=lambda: "10.0.0.3")
    monkeypatch.setitem(sys.modules, "ray", SimpleNamespace(util=util))
    for name, other in (("Python", "3.10.1"), ("untrained", "9.9"), ("missing", "1")):
        said = entry()({"versions": versions() | {name: other}, "folder": "/x"}, b"", "")
        assert said.startswith(f"node 10.0.0.3 of the cluster: expected {name} {other}, as on")


def trained(tmp_path: Path) -> Task:
    scale, kept = SPACE.scales["small"], tmp_path / "trainings" / "t.pt"
    return TrainTask("nasbench201", CELL, scale, Recipe(epochs=1), None, 0, 1, kept, "cpu")


def test_a_node_refuses_other_code_modules_it_lacks_and_a_folder_it_does_not_see(
    tmp_path: Path,
) -> None:
    check_code(TASK, code_of(TASK))
    with pytest.raises(ValueError, match="expected the code of the driver's machine for"):
        check_code(TASK, code_of(trained(tmp_path)))
    with pytest.raises(ValueError, match=r"cannot load a task \(ModuleNotFoundError: .*no_such"):
        loaded(b"cno_such_module\nname\n.")
    check_folder(TASK)
    with pytest.raises(ValueError, match="put --out on storage that all of them share"):
        check_folder(trained(tmp_path))


def test_a_node_gives_what_this_process_does(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, digits: Images
) -> None:
    torch.save(digits, tmp_path / "images")
    monkeypatch.setattr(node, "images_file", lambda shared: tmp_path / "images")
    task = replace(TASK, setups=(make_setup("linear_regions", SPACE, {}),), draws=(0, 1))
    shared: node.Shared = {
        "versions": {}, "folder": str(Path.cwd()), "images": [], "fingerprint": "x",
        "time_limit": None,
    }  # fmt: skip
    try:
        found = perform_on_node(shared, pickle.dumps(task), code_of(task))
    finally:
        node.release()
    truth = perform(task, digits)
    assert isinstance(found, list)
    assert isinstance(truth, list)
    assert [[m.reading for m in d] for d in found] == [[m.reading for m in d] for d in truth]


def test_a_node_gives_the_tile_that_this_process_does(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    net, x = torch.nn.Linear(3, 2), torch.randn(9, 3)
    asked = Asked("sum", "all", "running", "auto", None, "auto")
    kernel = TiledNTK(net, x, None, asked, Call(), "float32")
    torch.save(kernel, tmp_path / "kernel")
    monkeypatch.setattr(node, "images_file", lambda shared: tmp_path / "kernel")
    task = TileTask(1, range(4, 9), range(4), "cpu")
    shared: node.Shared = {
        "versions": {}, "folder": str(Path.cwd()), "images": [],
        "fingerprint": kernel.fingerprint, "time_limit": None,
    }  # fmt: skip
    check_folder(task)
    try:
        found = perform_on_node(shared, pickled(task), code_of(task))
    finally:
        node.release()
    np.testing.assert_array_equal(found, kernel.tile(range(4, 9), range(4)))
    assert name_of(task) == "tile 1"
    with pytest.raises(MemoryError, match="tile 1: too large for this machine: x; all others"):
        ray_engine.settled(task, Lost(too_large("x", "cpu"), 0.0))
    with pytest.raises(OSError, match="tile 1: it crashed; all others"):
        ray_engine.settled(task, Lost(Failure("it crashed"), 0.0))


def test_the_command_that_repeats_a_bench_names_the_cluster() -> None:
    asked = BenchConfig(workers=3, engine="ray", ray=RayConfig("auto", gpus=0.5))
    words = ["--workers", "3", "--engine", "ray", "--ray.address", "auto", "--ray.gpus", "0.5"]
    assert list(_flags(asked)) == words


# Misuse


def asked(**changes: Any) -> RunConfig:
    return replace(RunConfig(engine="ray", workers=1), **changes)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"workers": 0}, "workers: expected 1 or more with --engine ray, got 0"),
        ({"ray": RayConfig("10.0.0.1")}, "ray.address: expected auto or host:port"),
        ({"ray": RayConfig("ray://a:10001")}, "ray.address: expected auto or host:port"),
        ({"ray": RayConfig(cores=0.0)}, "ray.cores: expected more than 0, got 0.0"),
        ({"ray": RayConfig(gpus=1.5)}, "ray.gpus: expected a share of one GPU or a whole number"),
        ({"engine": "processes", "ray": RayConfig("auto")}, "add --engine ray"),
    ],
)
def test_wrong_use_is_told(
    changes: dict[str, Any], words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ray_config, "find_spec", lambda name: SimpleNamespace(origin="ray"))
    with pytest.raises(ValueError, match=words):
        resolve(asked(**changes))


def test_a_gpu_by_its_number_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ray_config, "find_spec", lambda name: SimpleNamespace(origin="ray"))
    with pytest.raises(ValueError, match="which gives each task its own GPU, got 'cuda:1'"):
        RayConfig().check(workers=1, device="cuda:1")


def test_without_ray_a_line_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ray_config, "find_spec", lambda name: None)
    with pytest.raises(ValueError, match=r"engine: expected Ray.*pip install 'untrained\[ray\]'"):
        resolve(asked())


def test_an_address_where_nothing_listens_is_told_at_once() -> None:
    with pytest.raises(OSError, match=r"no Ray cluster at 127\.0\.0\.1:1: .*refused"):
        check_reachable("127.0.0.1:1")


@pytest.mark.parametrize(
    ("error", "kind", "words"),
    [
        (ConnectionError("Could not find any\nrunning Ray"), OSError, "at auto: Could not find"),
        (Exception("A start\ntimed out"), OSError, "no Ray cluster at auto: A start timed out"),
        (RuntimeError("Version mismatch:\n Ray: 2.40"), ValueError, "mismatch: Ray: 2.40"),
    ],
)
def test_ray_is_not_there_or_of_another_version(
    error: Exception, kind: type[Exception], words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def init(**_: Any) -> None:
        raise error

    stub = SimpleNamespace(is_initialized=lambda: False, init=init, exceptions=StubRay.exceptions)
    monkeypatch.setitem(sys.modules, "ray", stub)
    with pytest.raises(kind, match=words), connected(RayConfig("auto"), 1, 0):
        pass
