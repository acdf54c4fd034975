"""Successive halving against its rungs written out, and networks that go on where they were."""

import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from measured import readings

from untrained.images import Images
from untrained.runs import RunConfig, load_record, run
from untrained.runs.presets import resolve
from untrained.runs.setup import make_setups
from untrained.runs.tasks import ScoreTask, measure
from untrained.searchers import Goal, Trial
from untrained.searchers.halving import SuccessiveHalving
from untrained.spaces import Architecture, get_space
from untrained.training import TrainingSpec
from untrained.training.checkpoint import load_short

SPACE = get_space("nasbench201")
GOALS = (Goal("worth", True),)
Value = Callable[[Architecture, int], float | None]


def worth(architecture: Architecture, epochs: int) -> float:
    """Noise of which more epochs leave less."""
    return str(architecture).count("conv") + random.Random(str(architecture)).gauss() / epochs


def searched(searcher: SuccessiveHalving, value: Value, count: int = 4) -> list[Trial]:
    history: list[Trial] = []
    while batch := searcher.propose(history, count, random.Random(len(history))):
        for p in batch:
            assert p.epochs is not None
            values = {"worth": (value(p.architecture, p.epochs),) * len(p.draws)}
            history.append(Trial(**vars(p), values=values))
    return history


@pytest.mark.parametrize("count", [1, 4, 100])
def test_rungs_are_the_best_of_the_rung_before(count: int) -> None:
    searcher = SuccessiveHalving(SPACE, GOALS, 1, evaluations=20, factor=3, epochs=2)
    history = searched(searcher, worth, count)
    rungs = {e: [t.architecture for t in history if t.epochs == e] for e in (2, 6, 18)}
    assert [len(rung) for rung in rungs.values()] == [20, 7, 3]  # ceil(20 / 3), ceil(7 / 3)
    assert len(history) == 30
    assert len(set(rungs[2])) == 20
    for before, after in ((2, 6), (6, 18)):
        order = sorted(rungs[before], key=lambda a: -worth(a, before))
        assert rungs[after] == order[: len(rungs[after])]
    assert searcher.select(history) == max(rungs[18], key=lambda a: worth(a, 18))


def test_a_failure_does_not_go_on() -> None:
    def some(architecture: Architecture, epochs: int) -> float | None:
        return None if "none" in str(architecture) else worth(architecture, epochs)

    searcher = SuccessiveHalving(SPACE, GOALS, 1, evaluations=20, factor=2)
    history = searched(searcher, some)
    sound = [t for t in history if t.epochs == 1 and "none" not in str(t.architecture)]
    assert sum(t.epochs == 2 for t in history) == min(10, len(sound))
    assert not any("none" in str(t.architecture) for t in history if (t.epochs or 0) > 1)
    nothing = searched(searcher, lambda architecture, epochs: None)
    assert len(nothing) == 20
    assert searcher.select(nothing) is None


SMALL: dict[str, Any] = {"channels": 4, "count": 40}


def config(out: Path, **asked: Any) -> RunConfig:
    named: dict[str, Any] = {
        "searcher": "halving",
        "options": {"evaluations": 4, "factor": 2},
        "scores": ("label_alignment", "parameters"),
        "score_settings": {"label_alignment": SMALL},
        "short_training": TrainingSpec(images=100, batch=25),
    }
    return RunConfig(draws=1, workers=0, out=out, **{**named, **asked})


def test_networks_are_trained_on_from_rung_to_rung(tmp_path: Path, digits: Images) -> None:
    asked = config(tmp_path)
    folder = run(asked)
    record = load_record(folder.store, folder.name)
    assert [t.epochs for t in record.trials] == [1, 1, 1, 1, 2, 2]
    kept = [load_short(path).epochs for path in (tmp_path / "trainings").glob("*-0.pt")]
    assert sorted(kept) == [1, 1, 2, 2]
    alignment, _ = make_setups(SPACE, resolve(asked))
    for trial in record.trials:
        text = str(SPACE.canonical(SPACE.parse(trial.architecture)))
        alone = ScoreTask("nasbench201", text, (alignment.after(trial.epochs),), (0,), "cpu")
        (found,) = measure(alone, digits)
        assert trial.readings["label_alignment"] == readings(found)
    costs = {cost.step: cost.count for cost in record.costs}
    assert costs["training before scores"] == 6


def test_another_run_finds_every_rung(tmp_path: Path) -> None:
    first, again = run(config(tmp_path)), run(config(tmp_path, proposals=3))
    records = [load_record(folder.store, folder.name) for folder in (first, again)]
    rungs = [{(t.architecture, t.epochs): t.readings for t in record.trials} for record in records]
    shared = rungs[0].keys() & rungs[1].keys()
    assert all(rungs[0][key] == rungs[1][key] for key in shared)


def test_a_damaged_or_longer_training_is_begun_again(tmp_path: Path, digits: Images) -> None:
    alignment, _ = make_setups(SPACE, resolve(config(tmp_path)))
    text = "|nor_conv_3x3~0|+|none~0|nor_conv_1x1~1|+|skip_connect~0|none~1|nor_conv_3x3~2|"
    (tmp_path / "it-0.pt").write_bytes(b"nothing")
    kept = ScoreTask("nasbench201", text, (alignment,), (0,), "cpu", tmp_path / "it")
    alone = ScoreTask("nasbench201", text, (alignment,), (0,), "cpu")
    assert readings(measure(kept, digits)[0]) == readings(measure(alone, digits)[0])
    assert load_short(tmp_path / "it-0.pt").epochs == 1
    longer = ScoreTask("nasbench201", text, (alignment.after(3),), (0,), "cpu", tmp_path / "it")
    measure(longer, digits)
    assert readings(measure(kept, digits)[0]) == readings(measure(alone, digits)[0])
    assert load_short(tmp_path / "it-0.pt").epochs == 3  # the longer one stays


def test_a_search_by_rungs_needs_a_score_that_trains(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="expected a score taken after training, got param"):
        run(
            config(
                tmp_path, scores=("parameters",), score_settings={}, short_training=TrainingSpec()
            )
        )
    with pytest.raises(ValueError, match="factor: expected a number of at least 2"):
        run(config(tmp_path, options={"factor": 1}))
