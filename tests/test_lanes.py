"""How much an engine does at a time, as plans for a time budget take it."""

import pytest
from test_ray_engine import StubRay, engine, scored

from untrained.images import Images
from untrained.runs.engines import start_engine
from untrained.runs.ray_config import RayConfig


@pytest.mark.parametrize(("workers", "lanes"), [(0, 1), (1, 1), (3, 3)])
def test_on_this_machine_as_many_as_workers(digits: Images, workers: int, lanes: int) -> None:
    with start_engine(workers, digits) as found:
        assert found.lanes == lanes


@pytest.mark.parametrize(
    ("nodes", "config", "device", "lanes"),
    [
        ((4, 2), RayConfig(), "cpu", 6),
        ((4, 3), RayConfig(cores=2.0), "cpu", 3),
        ((2,), RayConfig(gpus=0.25, cores=0.25), "cuda", 8),
        ((2,), RayConfig(gpus=0.4, cores=0.1), "cuda", 4),  # two on each GPU
        ((1,), RayConfig(cores=8.0), "cpu", 1),  # it waits for a node
        ((), RayConfig(), "cpu", 1),
    ],
)
def test_on_a_cluster_as_many_as_its_nodes_can_do_now(
    nodes: tuple[float, ...], config: RayConfig, device: str, lanes: int
) -> None:
    """Whatever `workers` says."""
    stub = StubRay(lambda draw, _: scored(draw), *nodes)
    found = engine(stub, config, device)
    assert found.lanes == lanes
    stub.cores = (*nodes, 64)
    assert found.lanes > lanes
