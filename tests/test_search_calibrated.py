"""Searches that first ask which score ranks here."""

import json
import sqlite3
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.stats import kendalltau
from stopped import stopped_at
from test_cli import Command, command

from untrained.locations import Location
from untrained.pages import report_run
from untrained.pages.calibrated import calibrated_in_words, verdict_on
from untrained.runs import RunConfig, calibrating, run
from untrained.runs.config import BASELINES
from untrained.runs.presets import CANDIDATES, resolve
from untrained.runs.record import Calibrated, record_of
from untrained.spaces import Architecture, get_space
from untrained.storage import RunFolder
from untrained.tables import joint_test, p_value, small_sample_interval
from untrained.training import TrainingSpec

__all__ = ["command"]  # a fixture

SPACE = get_space("nasbench201")
BRIEF = TrainingSpec(epochs=1, images=60, batch=30)


def asked(out: Location, **changes: Any) -> RunConfig:
    """Two scores are compared: fewer convolutions are better, but for noise; and a size."""
    settings: dict[str, Any] = {
        "searcher": "random", "options": {"evaluations": 10}, "scores": ("ranked:Noisy", "macs"),
        "calibrate": 8, "calibration": BRIEF, "scale": "thin", "draws": 2, "workers": 0,
        "out": out, **changes,
    }  # fmt: skip
    return RunConfig(**settings)


def found_by(folder: RunFolder) -> Calibrated:
    found = record_of(folder).calibrated
    assert found is not None
    return found


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> RunFolder:
    """Really trained; most tests share its store, and so its measurements and trainings."""
    return run(asked(tmp_path_factory.mktemp("out")))


@pytest.fixture
def trained(monkeypatch: pytest.MonkeyPatch) -> dict[str, float | None]:
    """Accuracies that networks are said to have; those that are not named have their number."""
    known: dict[str, float | None] = {}

    def accuracies(_: Any, networks: Sequence[Architecture]) -> Mapping[str, float | None]:
        return {str(a): known.get(str(a), 0.1 + 0.01 * k) for k, a in enumerate(networks)}

    monkeypatch.setattr(calibrating, "_trained", accuracies)
    return known


def values_of(folder: RunFolder, texts: Sequence[str], score: str) -> list[float]:
    """Mean values over two draws, from a run of their own."""
    beside = RunConfig(
        searcher="given", options={"architectures": " ".join(texts)}, scores=(score,), draws=2,
        workers=0, out=folder.out / "beside",
    )  # fmt: skip
    trials = {trial.architecture: trial for trial in record_of(run(beside)).trials}
    return [float(np.mean([r.value for r in trials[t].readings[score]])) for t in texts]


def test_scores_are_judged_by_validation_accuracies_of_trained_networks(
    folder: RunFolder,
) -> None:
    found = found_by(folder)
    assert len({SPACE.canonical(SPACE.parse(text)) for text in found.accuracies}) == 8
    with sqlite3.connect(folder.store) as store:
        rows = store.execute(
            "select trained.architecture, max(validation_accuracy), test_accuracy from trained"
            " join epochs using (training) join trainings on trainings.key = training group by 1"
        ).fetchall()
    assert dict(found.accuracies) == {text: accuracy for text, accuracy, _ in rows}
    assert any(accuracy != test for _, accuracy, test in rows)
    texts, y = [*found.accuracies], np.array([*found.accuracies.values()], dtype=float)
    x = {
        "ranked:Noisy": -np.array(values_of(folder, texts, "ranked:Noisy")),
        "macs": np.array(values_of(folder, texts, "macs")),
    }
    joint = dict(zip(x, joint_test([*x.values()], y).p, strict=True))
    for score in found.scores:
        if score.score in x:
            each = x[score.score]
            assert score.tau == pytest.approx(kendalltau(each, y).statistic)
            assert (score.low, score.high) == small_sample_interval(each, y)
            assert score.p == p_value(each, y)
            assert score.corrected == joint[score.score]
            assert not score.size
        else:
            assert score.size
            assert score.corrected is None
    assert {score.score for score in found.scores} == {*x, *BASELINES}
    assert (found.epochs, found.images) == (1, 285)


def test_the_search_ranks_by_what_holds_and_by_nothing_else(
    folder: RunFolder, trained: dict[str, float | None]
) -> None:
    """Accuracies fall with the number of multiply-adds, then rise with it."""
    texts = [*found_by(folder).accuracies]
    macs = values_of(folder, texts, "macs")
    trained |= {text: 1e-9 * value for text, value in zip(texts, macs, strict=True)}
    own = run(asked(folder.out, options={"evaluations": 11}))
    record, found = record_of(own), found_by(own)
    assert found.used == ("macs",)
    assert found.best is not None
    assert found.best.score == "macs"
    assert [*record.directions] == ["macs"]
    assert all([*trial.readings] == ["macs"] for trial in record.trials)
    most = max(record.trials, key=lambda trial: trial.readings["macs"][0].value or 0)
    assert record.selected == most.architecture
    said = calibrated_in_words(found)
    assert "Calibration: macs ranks 8 random networks by their accuracy after 1 epoch with" in said
    assert "tau 1.00 (95 % interval" in said
    assert "corrected for 2 scores). The search ranked by it." in said
    trained |= {text: -1e-9 * value for text, value in zip(texts, macs, strict=True)}
    found = found_by(run(asked(folder.out, options={"evaluations": 12}, scores=("macs",))))
    assert found.used == ("macs",)  # as without, since nothing holds
    assert found.best is None
    assert "of 1 score none is shown to rank 8 random networks" in calibrated_in_words(found)
    assert "The wrong way round: macs." in calibrated_in_words(found)
    [macs_again] = [score for score in found.scores if score.score == "macs"]
    assert verdict_on(macs_again, found) == "wrong way round, used"


def test_where_nothing_is_told_the_search_is_as_without(
    folder: RunFolder, trained: dict[str, float | None]
) -> None:
    texts = [*found_by(folder).accuracies]
    trained |= {text: 0.5 for text in texts[1:]} | {texts[0]: 0.6}
    own = run(asked(folder.out, options={"evaluations": 9}))
    found, plain = record_of(own), record_of(
        run(asked(folder.out, options={"evaluations": 9}, calibrate=None,
                  calibration=TrainingSpec()))
    )  # fmt: skip
    assert found.calibrated is not None
    assert found.calibrated.used == ("ranked:Noisy", "macs")
    assert (found.trials, found.selected) == (plain.trials, plain.selected)
    assert found.directions == plain.directions
    assert "The search ranked by ranked:Noisy and macs, as without --calibrate." in (
        calibrated_in_words(found.calibrated)
    )
    trained |= dict.fromkeys(texts, None)
    found = record_of(run(asked(folder.out, options={"evaluations": 8})))
    assert found.calibrated is not None
    assert "(8 more could not be trained)" in calibrated_in_words(found.calibrated)
    assert "cannot tell any tau" in calibrated_in_words(found.calibrated)
    assert {score.reason for score in found.calibrated.scores} == {"0 networks could be trained"}


def test_where_a_score_fails_it_ranks_a_network_below_all_others(
    folder: RunFolder, trained: dict[str, float | None]
) -> None:
    """It fails on small networks, which are the best: on the others alone it would be perfect."""
    texts = [*found_by(folder).accuracies]
    score = "ranked:Few"
    few = {t.architecture: t for t in record_of(run(asked(
        folder.out / "few", calibrate=None, calibration=TrainingSpec(), scores=(score,), draws=1,
        searcher="given", options={"architectures": " ".join(texts)})
    )).trials}  # fmt: skip
    values = [few[text].readings[score][0].value for text in texts]
    assert None in values
    trained |= {t: 0.9 if v is None else -v / 100 for t, v in zip(texts, values, strict=True)}
    found = found_by(run(asked(folder.out / "few", scores=(score,), draws=1)))
    expected = kendalltau([-99 if v is None else -v for v in values], [*trained.values()])
    [row] = [each for each in found.scores if each.score == score]
    assert row.tau == pytest.approx(expected.statistic)
    assert row.failed == values.count(None)
    assert verdict_on(row, found).endswith(f"used, failed on {row.failed}")


def test_stopped_and_given_again_it_ends_with_the_same_and_nothing_is_done_twice(
    folder: RunFolder,
) -> None:
    stopped = asked(folder.out / "stopped")
    for at, done in (("scores of 8", 20), ("calibration: training 8", 3), ("batch 2", 1)):
        with pytest.raises(KeyboardInterrupt):
            run(stopped, stopped_at(at, done))
    again = run(stopped)
    found, expected = record_of(again), record_of(folder)
    assert found.calibrated == expected.calibrated
    assert (found.trials, found.selected) == (expected.trials, expected.selected)
    with sqlite3.connect(again.store) as store:
        [(times, count)] = store.execute("select sum(times), count(*) from measurements")
        [(epochs,)] = store.execute("select count(*) from epochs")
    assert times == count
    assert epochs == 8
    costs = {cost.step: cost.count for cost in found.costs}
    assert costs["calibration epochs"] == 8
    assert {"calibration", "search"} <= {*found.wall_seconds}


def test_what_was_found_once_stays(folder: RunFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(calibrating, "train_sample", None)
    monkeypatch.setattr(calibrating, "draw_distinct", lambda *_, **__: [])
    config = asked(folder.out)
    assert run(config) == folder
    trains = replace(config, train=True, compare=0, training=BRIEF)
    assert found_by(run(trains)) == found_by(folder)  # the same search, another run


def largest(found: Calibrated) -> int:
    """Parameters of the largest network that was trained."""
    thin = SPACE.scales["thin"]
    networks = [
        SPACE.build(SPACE.canonical(SPACE.parse(text)), thin, inputs=(1, 8, 8), classes=10)
        for text in found.accuracies
    ]
    return max(sum(p.numel() for p in network.parameters()) for network in networks)


@pytest.mark.parametrize(
    "changes",
    [
        {"space": "function_spaces:family", "calibrate": 6, "scale": "full"},
        {"limit": ("parameters=40",), "calibrate": 5},
        {"searcher": "pruning", "options": {}, "space": "function_spaces:operations",
         "calibrate": 5, "scale": "full", "scores": ("parameters", "macs")},
        {"shrink": "parameters=.5", "calibrate": 5},
    ],
)  # fmt: skip
def test_every_space(folder: RunFolder, changes: dict[str, Any]) -> None:
    asks = {"scores": ("naswot", "macs"), "draws": 1, **changes}
    found = record_of(run(asked(folder.out / "spaces", **asks)))
    assert found.calibrated is not None
    assert len(found.calibrated.accuracies) == asks["calibrate"]
    assert None not in found.calibrated.accuracies.values()
    assert found.selected is not None
    if "limit" in changes:
        within, others = map(largest, (found.calibrated, found_by(folder)))
        assert within <= 40 < others


def test_what_is_compared_where_nothing_is_named() -> None:
    plain = resolve(RunConfig(calibrate=8))
    assert plain.scores == ("condition_number", "linear_regions")
    assert plain.calibrate_scores == (*plain.scores, *CANDIDATES)
    assert plain.every_score == (*plain.scores, *CANDIDATES, *BASELINES)
    assert plain.calibration.epochs == 5
    assert resolve(plain) == plain  # as a run's config.toml has it
    named = resolve(RunConfig(calibrate=8, scores=("naswot",)))
    assert named.calibrate_scores == ("naswot",)
    both = resolve(RunConfig(calibrate=8, scores=("naswot",), calibrate_scores=("macs",)))
    assert (both.scores, both.calibrate_scores) == (("naswot",), ("macs",))
    assert resolve(RunConfig(calibrate=8, preset="nngp")).calibrate_scores == (
        "nngp_squared_error",
        *CANDIDATES,
    )


def test_a_search_without_it_is_named_as_ever() -> None:
    plain, asks = resolve(RunConfig()), resolve(RunConfig(calibrate=8))
    assert plain.identity("f", "code") != asks.identity("f", "code")
    assert asks.identity("f", "code") != replace(asks, scale="thin").identity("f", "code")
    assert plain.identity("f", "code") == replace(plain, scale="thin").identity("f", "code")


def test_it_is_shown(folder: RunFolder, command: Command) -> None:
    page = report_run(folder).read_text("utf-8")
    found = found_by(folder)
    said = calibrated_in_words(found)
    assert "<h2>Which score ranks here</h2>" in page
    assert said in page.replace("&lt;", "<")
    assert next(iter(found.accuracies)) in page
    words = (
        "search", "--searcher", "random", "--options.evaluations", "10", "--scores",
        "ranked:Noisy", "macs", "--calibrate", "8", "--calibration.epochs", "1",
        "--calibration.images", "60", "--calibration.batch", "30", "--scale", "thin",
        "--draws", "2", "--workers", "0", "--out", str(folder.out),
    )  # fmt: skip
    code, out, _ = command(*words)
    assert code == 0
    assert said in " ".join(out.split())
    assert "corrected: the same where the best of all scores is looked for" in out
    code, out, _ = command(*words, "--json")
    plain = json.loads(out)["calibrated"]
    assert plain["used"] == [*found.used]
    assert [row["tau"] for row in plain["scores"]] == [score.tau for score in found.scores]
    code, out, _ = command(*words, "--dry-run")
    assert "calibrate = 8" in out


# Wrong use


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"calibrate": 1}, "calibrate: expected 5 networks or more, as fewer cannot tell.*got 1"),
        ({"calibrate": 10, "space": "ranked:FOUR"}, "calibrate: expected at most 9, as the space "
         "ranked:FOUR seems to have no more architectures, got 10"),
        ({"searcher": "nsga2"}, "calibrate: expected a searcher that ranks by what a score says"),
        ({"searcher": "given", "options": {"architectures": "x"}}, "calibrate: expected a search"),
        ({"select": "knee"}, "calibrate: expected no --select"),
        ({"searcher": "halving", "options": {}, "scores": ("label_alignment", "naswot")},
         "calibrate_scores: expected scores taken after training.*got naswot"),
        ({"calibrate": None}, "calibration: expected nothing without --calibrate, got {'epochs"),
        ({"calibrate": None, "calibration": TrainingSpec(), "calibrate_scores": ("macs",)},
         "calibrate_scores: expected nothing without --calibrate"),
        ({"calibrate_scores": ()}, "calibrate_scores: expected at least one, got none"),
        ({"calibrate_scores": ("macs", "macs")}, "calibrate_scores: expected each once, got"),
        ({"calibrate_scores": ("naswut",)}, "unknown score 'naswut'"),
        ({"calibration": TrainingSpec(recipe="brie")}, "calibration.recipe: unknown recipe"),
        ({"calibration": TrainingSpec(epochs=0)}, "epochs: expected"),
        ({"scale": "huge"}, "unknown scale 'huge'"),
    ],
)  # fmt: skip
def test_what_makes_no_sense_is_told_in_a_line_before_anything_is_loaded(
    tmp_path: Path, change: dict[str, Any], said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("untrained.runs.driver.load_images", None)
    with pytest.raises(ValueError, match=said) as raised:
        run(asked(tmp_path, **change))
    assert "\n" not in str(raised.value)
