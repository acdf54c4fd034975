"""What every space keeps, from a text form to a searched, trained and reported network."""

import random
from pathlib import Path

import pytest
import torch

from untrained.pages.stored import report_run
from untrained.runs import RunConfig, load_record, run
from untrained.settings import Setting
from untrained.spaces import SPACES
from untrained.training import TrainingSpec


@pytest.mark.parametrize("name", SPACES)
def test_texts_hold_no_space_and_come_back(name: str) -> None:
    space, rng = SPACES[name], random.Random(0)
    for _ in range(20):
        architecture = space.sample(rng)
        assert " " not in str(architecture)
        assert space.parse(str(architecture)) == architecture
        assert not architecture.partial
        assert space.canonical(space.canonical(architecture)) == space.canonical(architecture)
        assert space.mutate(architecture, rng) != architecture
        assert all(graph.edges for graph in space.graphs(architecture))


@pytest.mark.parametrize("name", SPACES)
@pytest.mark.parametrize("scale", ["narrow", "small"])
def test_networks_of_every_scale_give_logits(name: str, scale: str) -> None:
    space = SPACES[name]
    network = space.build(
        space.sample(random.Random(1)), space.scales[scale], inputs=(3, 32, 32), classes=5
    ).eval()
    with torch.no_grad():
        assert network(torch.randn(2, 3, 16, 16)).shape == (2, 5)


@pytest.mark.parametrize(
    ("name", "channels"), [("nasbench101", 6), ("mnas", 4), ("natsbench_size", 8)]
)
@pytest.mark.usefixtures("without_graphs")
def test_spaces_without_supernets_are_searched_and_trained(
    name: str, channels: int, tmp_path: Path
) -> None:
    few: dict[str, Setting] = {"count": 40, "ensemble": 1, "channels": channels}
    config = RunConfig(
        space=name,
        searcher="evolution",
        options={"evaluations": 4, "population": 2, "sample": 2},
        scores=("nngp_leave_one_out", "parameters"),
        score_settings={"nngp_leave_one_out": few, "parameters": {"channels": channels}},
        draws=1,
        proposals=2,
        train=True,
        compare=1,
        scale="small",
        channels=channels,
        training=TrainingSpec(epochs=1, batch=128, images=256),
        workers=0,
        out=tmp_path,
    )
    folder = run(config)
    record = load_record(folder.store, folder.name)
    assert len(record.trials) == 4
    assert {training.role for training in record.trainings} == {"selected", "random"}
    assert all(training.test_accuracy is not None for training in record.trainings)
    assert folder.network.exists()
    page = report_run(folder).read_text()
    assert "nngp_leave_one_out" in page


def test_cells_of_a_space_that_has_none_are_refused(tmp_path: Path) -> None:
    config = RunConfig(space="mnas", searcher="random", cells=2, out=tmp_path, workers=0)
    with pytest.raises(ValueError, match="whose networks have no cells"):
        run(config)
