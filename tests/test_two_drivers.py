"""Two drivers on one store of a server, as from two machines: what they share is done once."""

from pathlib import Path
from typing import Any

import pytest
from noted import calls, made, steps
from postgres import Server
from stored import said
from stress.command import finish, start

from untrained.runs import RunConfig, load_record, run
from untrained.runs.record import RunRecord
from untrained.training import TrainingSpec

pytestmark = pytest.mark.cluster

TRAINED = TrainingSpec(recipe="default", epochs=2, images=60, batch=30)
SEARCHES: dict[str, dict[str, Any]] = {
    "random": {"evaluations": 16},
    "evolution": {"evaluations": 16, "population": 8},
}


def words(searcher: str) -> list[str]:
    """The command of a search, with trainings."""
    options = [w for k, v in SEARCHES[searcher].items() for w in (f"--options.{k}", str(v))]
    return [
        *("search", "--searcher", searcher, *options, "--proposals", "8", "--draws", "1"),
        *("--scores", "counted:Counted", "--workers", "0", "--scale", "thin", "--train"),
        *("--compare", "1", "counted:linear", "--training.recipe", "default"),
        *("--training.epochs", "2", "--training.images", "60", "--training.batch", "30"),
        *("--out", searcher),
    ]  # fmt: skip


def alone(searcher: str, out: Path) -> RunRecord:
    """The same search with a store of its own."""
    folder = run(
        RunConfig(
            searcher=searcher, options=SEARCHES[searcher], proposals=8, draws=1, workers=0,
            scores=("counted:Counted",), scale="thin", train=True, compare=(1, "counted:linear"),
            training=TRAINED, out=out,
        )
    )  # fmt: skip
    return load_record(folder.address, folder.name)


def told(record: RunRecord) -> list[Any]:
    """All that does not differ from run to run."""
    trials = [(t.architecture, t.note, t.readings) for t in record.trials]
    epochs = [[(e.train_loss, e.validation_loss) for e in t.epochs] for t in record.trainings]
    accuracies = [(t.architecture, t.role, t.test_accuracy) for t in record.trainings]
    return [record.selected, trials, epochs, accuracies]


@pytest.mark.usefixtures("without_graphs")
def test_two_drivers_do_what_they_share_once(
    postgres: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Measurements and trainings, each counted where it is made."""
    address = postgres.url()
    made(tmp_path, drivers=len(SEARCHES))
    both = [start(tmp_path, *words(s), "--store", address) for s in SEARCHES]
    for ended in [finish(driver) for driver in both]:
        assert ended.code == 0, ended.err
    measured = calls(tmp_path)
    records = [load_record(address, name) for [name] in said(address, "select name from runs")]
    proposed = [{t.architecture for t in record.trials} for record in records]
    assert len(proposed[0] & proposed[1]) >= 8
    assert set(measured.values()) == {1}
    [(rows, times)] = said(address, "select count(*), max(times) from measurements")
    assert (rows, times) == (len(measured), 1)
    assert steps(tmp_path) == 2 * 2  # of 30 images each, in two epochs
    monkeypatch.chdir(made(tmp_path))
    monkeypatch.syspath_prepend(tmp_path)
    for record in records:
        assert told(record) == told(alone(record.searcher, tmp_path / "alone"))
