"""The report: its figures as data, and its page."""

import math
import random
import re
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from untrained.estimate import Estimate
from untrained.pages import canvas, score_drawings, write_report
from untrained.pages.cell import draw_cell, operations
from untrained.pages.headline import caution, headline, image_facts, verdict
from untrained.pages.ledger import ledger
from untrained.pages.measured import (
    FailedReadings,
    best_so_far,
    estimated,
    failures,
    score_cloud,
    spans_decades,
    trajectory,
)
from untrained.pages.pruned import parents, prunings
from untrained.pages.score_drawings import draw_cloud, draw_curve
from untrained.pages.trained import accuracy_by_size, confusion, training_curves
from untrained.runs.record import Cost, RunRecord, TrainingRecord
from untrained.scores.score import Reading
from untrained.spaces import CellGraph, get_space, prunable
from untrained.spaces.darts import DARTS
from untrained.storage import TrialRecord
from untrained.tables.table import Standing
from untrained.training.epoch import Epoch

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")


def readings(*values: float | None) -> tuple[Reading, ...]:
    return tuple(Reading(v, "" if v is not None else "not resolved") for v in values)


def trial(
    number: int, batch: int = 0, note: str = "random", **scores: Sequence[float | None]
) -> TrialRecord:
    measured = {name: readings(*values) for name, values in scores.items()}
    return TrialRecord(number, batch, f"cell {number}", note, measured)


def training(
    architecture: str = "cell 0",
    role: str = "selected",
    accuracy: float | None = 0.9,
    parameters: int = 1000,
    epochs: int = 0,
    **changes: Any,
) -> TrainingRecord:
    record = TrainingRecord(
        architecture, role, parameters, 2000, _epochs(epochs, 0.1), epochs or None, accuracy,
        confusion=None, reason="", seconds=1.0,
    )  # fmt: skip
    return replace(record, **changes)


def _epochs(count: int, floor: float, rng: random.Random | None = None) -> tuple[Epoch, ...]:
    rng = rng or random.Random(0)
    epochs = []
    for e in range(1, count + 1):
        loss = floor + 2.0 * math.exp(-e / 4) + 0.03 * rng.random()
        validation = loss + 0.06 + 0.08 * rng.random()
        epochs.append(
            Epoch(e, 0.1, loss, math.exp(-loss / 2), validation, math.exp(-validation / 2), 1.5)
        )
    return tuple(epochs)


EMPTY = RunRecord(
    name="run",
    space="nasbench201",
    searcher="random",
    config={},
    versions={},
    images={},
    directions={},
    trials=(),
    selected=None,
    trainings=(),
    costs=(),
    wall_seconds={},
)


def realistic_run(seed: int = 0) -> RunRecord:
    """A pruning search as it might be: 54 candidates in 3 rounds, 3 draws, 6 trainings."""
    rng = random.Random(seed)
    space = prunable(get_space("nasbench201"))
    parent, trials = space.supernet(), list[TrialRecord]()
    for batch in range(3):
        trials.append(_measured(rng, len(trials), batch, str(parent), "parent"))
        for choice in space.choices(parent):
            note = f"without {space.describe(choice)}"
            child = str(space.without(parent, choice))
            trials.append(_measured(rng, len(trials), batch, child, note))
        edges = sorted({choice.edge for choice in space.choices(parent)})
        worst = [rng.choice([c for c in space.choices(parent) if c.edge == e]) for e in edges]
        parent = space.without(parent, *worst)
    trials.append(_measured(rng, len(trials), 3, str(parent), "selected"))
    randoms = [str(space.sample(rng)) for _ in range(5)]
    return RunRecord(
        name="digits-te-nas",
        space="nasbench201",
        searcher="prune",
        config={
            "images": "digits",
            "space": "nasbench201",
            "searcher": "prune",
            "scores": ["condition_number", "linear_regions"],
            "draws": 3,
            "seed": 0,
            "workers": 8,
            "recipe": {"epochs": 20, "batch": 64, "learning_rate": 0.1, "flip": None},
        },
        versions={
            "untrained": "0.1.0",
            "torch": "2.9.1",
            "python": "3.12.4",
            "machine": "Linux x86_64, 16 processors",
        },
        images={
            "name": "digits",
            "classes": [str(digit) for digit in range(10)],
            "train": 1257,
            "validation": 180,
            "test": 360,
            "shape": [1, 8, 8],
            "notes": ["2 files left out: scan_014.png and scan_201.png cannot be read"],
        },
        directions={"condition_number": -1, "linear_regions": 1},
        trials=tuple(trials),
        selected=str(parent),
        trainings=(
            _trained(rng, str(parent), "selected", 0.9806, 1_073_466),
            *(
                _trained(rng, cell, "random", accuracy, parameters)
                for cell, accuracy, parameters in zip(
                    randoms,
                    (0.9722, 0.9639, 0.9833, 0.9139, 0.9556),
                    (871_000, 587_482, 1_290_106, 101_306, 344_346),
                    strict=True,
                )
            ),
        ),
        costs=(
            Cost("condition_number", 171, 412.71),
            Cost("linear_regions", 171, 38.52),
            Cost("training", 6, 611.4),
            Cost("propose", 4, 0.031),
            Cost("load images", 1, 0.42),
        ),
        wall_seconds={"search": 63.2, "training": 142.9},
    )


def _measured(
    rng: random.Random, number: int, batch: int, architecture: str, note: str
) -> TrialRecord:
    level = 5.2 - 0.9 * batch + rng.gauss(0, 0.55)
    regions = 2900 - 260 * batch + rng.gauss(0, 90)
    kappas = [math.exp(level + rng.gauss(0, 0.18)) for _ in range(3)]
    counts = [round(regions + rng.gauss(0, 35)) for _ in range(3)]
    failed: list[float | None] = [*kappas[:2], None] if number % 19 == 7 else [*kappas]
    scores = {"condition_number": readings(*failed), "linear_regions": readings(*counts)}
    return TrialRecord(number, batch, architecture, note, scores)


def _trained(
    rng: random.Random, cell: str, role: str, accuracy: float, parameters: int
) -> TrainingRecord:
    counts = [[0] * 10 for _ in range(10)]
    for image in range(360):
        true = image % 10
        right = rng.random() < accuracy
        counts[true][true if right else rng.choice((1, 3, 8, 9))] += 1
    epochs = _epochs(20, 0.4 * (1 - accuracy) + 0.02, rng)
    return TrainingRecord(
        cell, role, parameters, 143 * parameters, epochs, 17, accuracy,
        confusion=tuple(tuple(row) for row in counts) if role == "selected" else None,
        reason="", seconds=101.9,
    )  # fmt: skip


STANDINGS = (
    Standing("CIFAR-10", 0.9393, 0.9437, 187, "all", 15_625),
    Standing("CIFAR-10", 0.9393, 0.9437, 102, "none-free", 4_096),
    Standing("CIFAR-100", 0.7124, 0.7351, 420, "all", 15_625),
    Standing("ImageNet16-120", 0.4244, 0.4731, 1_933, "all", 15_625),
)


def realistic_report(run: RunRecord, path: Path) -> None:
    space = prunable(get_space("nasbench201"))
    write_report(
        run,
        path,
        graphs=space.graphs(space.parse(run.selected)) if run.selected else (),
        standings=STANDINGS,
        exported={"weights": "selected/weights.safetensors", "ONNX": "selected/network.onnx"},
        command="untrained report digits-te-nas",
    )


def test_estimate_is_mean_and_standard_error_over_resolved_draws() -> None:
    found = estimated(readings(1.0, 2.0, None, 6.0))
    assert found is not None
    assert found.mean == 3.0
    assert found.standard_error == pytest.approx(math.sqrt(7.0) / math.sqrt(3))
    assert found.draws == 3


def test_a_single_draw_has_no_error_and_none_no_estimate() -> None:
    assert estimated(readings(5.0)) == Estimate(5.0, None, 1)
    for none in (readings(None, None), ()):
        found = estimated(none)
        assert (found.mean, found.draws, len(found.failures)) == (None, 0, len(none))
        with pytest.raises(ValueError, match="expected a draw with a number"):
            _ = found.value


def test_cloud_leaves_out_what_failed_and_counts_it() -> None:
    trials = (
        trial(0, kappa=(10.0, 14.0), regions=(5.0, 7.0)),
        trial(1, kappa=(None, None), regions=(5.0, 5.0)),
        trial(2, kappa=(None, 3.0), regions=(9.0, 9.0)),
    )
    directions = {"kappa": -1, "regions": 1, "third": 1}
    cloud = score_cloud(replace(EMPTY, trials=trials, directions=directions, selected="cell 2"))
    assert cloud.scores == ("kappa", "regions")
    assert cloud.directions == (-1, 1)
    assert [(p.trial.number, p.is_selected) for p in cloud.points] == [(0, False), (2, True)]
    assert cloud.points[0].estimates == (Estimate(12.0, 2.0, 2), Estimate(6.0, 1.0, 2))
    assert (cloud.missing, cloud.readings) == (1, 12)


def test_failures_are_of_all_scores_the_most_frequent_reason_first() -> None:
    trials = (
        trial(0, kappa=(10.0, None), regions=(5.0, 7.0), third=(None,)),
        trial(1, kappa=(None, None), regions=(5.0, 5.0), third=(None,)),
    )
    assert failures(replace(EMPTY, trials=trials)) == (
        FailedReadings("kappa", "not resolved", 3, ("cell 0", "cell 1")),
        FailedReadings("third", "not resolved", 2, ("cell 0", "cell 1")),
    )
    assert failures(EMPTY) == ()


def test_of_very_many_points_some_are_drawn_and_the_best(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(canvas, "MOST_POINTS", 10)
    monkeypatch.setattr(score_drawings, "ALWAYS", 2)
    trials = tuple(trial(k, a=(float(k * 37 % 100),), b=(float(k),)) for k in range(100))
    run = replace(EMPTY, trials=trials, directions={"a": 1, "b": -1}, selected="cell 55")
    curve = trajectory(run, NB201)[0]
    drawn, best = draw_curve(curve).data
    rising = {k for k in range(100) if all(j * 37 % 100 < k * 37 % 100 for j in range(k))}
    assert {*drawn.x} == {*range(0, 100, 10)} | rising | {55}
    assert list(best.y) == [max(j * 37 % 100 for j in range(k + 1)) for k in best.x]
    points = [p for trace in draw_cloud(score_cloud(run), "batch").data for p in trace.y]
    top = {k for k in range(100) if k * 37 % 100 >= 98}
    assert sorted(points) == sorted({*range(0, 100, 10)} | top | {0, 1, 55})


@pytest.mark.parametrize(("direction", "order"), [(1, [1, 2, 0]), (-1, [0, 2, 1])])
def test_one_score_is_sorted_best_first(direction: int, order: list[int]) -> None:
    trials = (trial(0, synflow=(1.0,)), trial(1, synflow=(3.0,)), trial(2, synflow=(2.0,)))
    cloud = score_cloud(replace(EMPTY, trials=trials, directions={"synflow": direction}))
    assert [point.trial.number for point in cloud.points] == order


NB201 = prunable(get_space("nasbench201"))


def pruning_search(*, draws: int = 1, note: str = "") -> RunRecord:
    """From two operations on two edges to one on each; every parent is measured twice."""
    start = NB201.parse(
        "|nor_conv_1x1,nor_conv_3x3~0|+|skip_connect,nor_conv_1x1~0|none~1|+|none~0|none~1|none~2|"
    )
    selected = NB201.without(start, *[NB201.choices(start)[k] for k in (0, 2)])
    removals = [NB201.without(start, choice) for choice in NB201.choices(start)]
    cells = [(0, start), *((0, cell) for cell in removals), (0, start), (1, selected)]
    trials = (
        TrialRecord(k, batch, str(cell), note, {"kappa": readings(*[float(k)] * draws)})
        for k, (batch, cell) in enumerate(cells)
    )
    return replace(EMPTY, trials=tuple(trials), directions={"kappa": -1}, selected=str(selected))


@pytest.mark.parametrize("note", ["", "parent", "without nor_conv_3x3 on 0-1", "<b>"])
def test_rounds_are_told_by_architectures_whatever_the_notes(note: str) -> None:
    run = pruning_search(note=note)
    (curve,) = trajectory(run, NB201)
    assert curve.kind == "round"
    assert [(point.trial.batch, point.is_selected) for point in curve.points] == [
        (0, False), (1, True),
    ]  # fmt: skip
    means = [point.estimates[0].mean for point in curve.points]
    assert means == [2.5, 6.0]  # of trials 0 and 5, and 6
    assert curve.best == ()
    assert draw_curve(curve).data[0].x == ("1", "selected")
    (pruning,) = prunings(run, NB201)
    assert (pruning.round, pruning.candidates) == (1, 4)
    assert pruning.removed == ("nor_conv_1x1 on 0-1", "skip_connect on 0-2")


def test_draws_of_a_parent_measured_as_several_trials_are_pooled() -> None:
    run = pruning_search(draws=2)
    parent = trajectory(run, NB201)[0].points[0]
    point = next(p for p in score_cloud(run).points if p.trial.number == 0)
    assert parent == point
    assert point.estimates == (estimated(readings(0.0, 0.0, 5.0, 5.0)),)


@pytest.mark.parametrize("kept", [slice(0, 4), slice(1, 5), slice(0, 1)])
def test_what_is_not_a_whole_round_is_none(kept: slice) -> None:
    """Some partial architectures that somebody named, say."""
    run = pruning_search()
    run = replace(run, trials=run.trials[kept])
    assert [curve.kind for curve in trajectory(run, NB201)] == ["trial"]
    assert prunings(run, NB201) == ()


def test_without_its_space_a_run_is_shown_trial_by_trial() -> None:
    run = pruning_search()
    assert [curve.kind for curve in trajectory(run, None)] == ["trial"]
    assert parents(run, get_space("mnas")) == {}
    assert prunings(run, None) == prunings(run, get_space("mnas")) == ()


def test_the_last_round_of_darts_removes_edges() -> None:
    """A space where the search ends with contests between the edges of a node."""
    space, rng = DARTS(), random.Random(0)
    start = space.supernet()
    edges = sorted({choice.edge for choice in space.choices(start)})
    crowded = space.without(
        start,
        *(c for e in edges for c in [c for c in space.choices(start) if c.edge == e][1:]),
    )
    choices = [choice for crowd in space.crowded(crowded) for choice in crowd.choices]
    gone = [c for crowd in space.crowded(crowded) for c in crowd.choices[: -crowd.keep]]
    cells = [crowded, *(space.without(crowded, choice) for choice in choices)]
    rng.shuffle(cells)
    selected = space.without(crowded, *gone)
    trials = (TrialRecord(k, 0, str(cell), "", {}) for k, cell in enumerate(cells))
    run = replace(EMPTY, trials=tuple(trials), selected=str(selected), space="darts")
    (pruning,) = prunings(run, space)
    assert pruning.candidates == len(choices)
    assert pruning.removed == tuple(space.describe(choice) for choice in gone)


def test_other_searches_show_the_best_so_far_of_ranked_scores() -> None:
    trials = tuple(trial(i, kappa=(k,), extra=(k,)) for i, k in enumerate((5.0, 7.0, 3.0, 4.0)))
    kappa, extra = trajectory(replace(EMPTY, trials=trials, directions={"kappa": -1}), NB201)
    assert (kappa.score, kappa.direction, kappa.kind) == ("kappa", -1, "trial")
    assert (extra.score, extra.direction, extra.kind) == ("extra", None, "trial")
    assert kappa.best == (5.0, 5.0, 3.0, 3.0)
    assert extra.best == ()
    assert best_so_far(kappa.points, 1) == (5.0, 7.0, 7.0, 7.0)


def test_prunings_are_read_from_consecutive_parents_and_the_selected_one() -> None:
    run = realistic_run()
    rounds = prunings(run, NB201)
    assert [(r.round, r.candidates, len(r.removed)) for r in rounds] == [
        (1, 24, 6), (2, 18, 6), (3, 12, 6),
    ]  # fmt: skip
    space = prunable(get_space("nasbench201"))
    removed = {removal for r in rounds for removal in r.removed}
    kept = {space.describe(c) for c in space.choices(space.supernet())} - removed
    edges = space.parse(run.selected or "").edges
    assert kept == {
        f"{operation} on {edge}"
        for (operation,), edge in zip(
            edges, ("0-1", "0-2", "1-2", "0-3", "1-3", "2-3"), strict=True
        )
    }


def test_prunings_are_empty_where_the_space_cannot_read_the_texts() -> None:
    trials = (trial(0, 0, "parent"), trial(1, 1, "parent"))
    assert prunings(replace(EMPTY, trials=trials), NB201) == ()


def test_spans_decades() -> None:
    assert spans_decades([1.0, 101.0])
    assert not spans_decades([1.0, 100.0])
    assert not spans_decades([-1.0, 1000.0])
    assert not spans_decades([])


@pytest.mark.parametrize(
    ("selected", "randoms", "words"),
    [
        (0.95, (0.96, 0.94, 0.92), "beats 2 of 3 random architectures .* 1.0 points above"),
        (0.90, (0.95, 0.93), "beats 0 of 2 .* 4.0 points below .* did not help"),
        (0.95, (0.95,), "beats 0 and equals 1 of 1 random architecture trained .* level with"),
        (0.95, (), "No random architecture was trained"),
    ],
)
def test_verdict_is_honest(selected: float, randoms: tuple[float, ...], words: str) -> None:
    assert re.search(words, verdict(selected, randoms))


def test_caution_weighs_the_difference_against_chance() -> None:
    # error 0.01 and one random network: standard error sqrt(2) points, two of them 2.8 points
    assert "may well be chance" in caution(0.92, 0.01, (0.90,))
    assert "about 1.4 points, so it is unlikely" in caution(0.93, 0.01, (0.90,))
    assert caution(None, None, (0.9,)) == caution(0.9, 0.01, ()) == ""


def test_headline_of_a_trained_run() -> None:
    trainings = (
        training(accuracy=0.9),
        training("cell 1", "random", 0.8),
        training("cell 2", "random", 0.85),
        training("cell 3", "random", None, reason="out of memory"),
    )
    trials = (trial(0), trial(1), trial(1))
    run = replace(
        EMPTY, trials=trials, selected="cell 0", trainings=trainings, wall_seconds={"search": 5.0}
    )
    found = headline(run, 900)
    assert (found.selected_accuracy, found.random_accuracies) == (0.9, (0.85, 0.8))
    assert found.accuracy_error == pytest.approx(0.01)
    assert (found.tried, found.search_seconds) == (2, 5.0)
    assert (found.parameters, found.macs) == (1000, 2000)
    assert "beats 2 of 2" in found.verdict


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({}, "still running"),
        ({"running": False}, "was interrupted"),
        ({"running": False, "ended": True}, "no architecture could be scored"),
        ({"ended": True, "trials": (trial(0, kappa=(None,)),)}, "no architecture could be scored"),
        ({"ended": True, "trials": (trial(0, kappa=(1.0,)),)}, "without selecting"),
        ({"selected": "cell 0"}, "has not been trained"),
        (
            {"selected": "cell 0", "trainings": (training(accuracy=None),), "running": False},
            "training of the selected architecture was interrupted",
        ),
        ({"selected": "cell 0", "trainings": (training(accuracy=None),)}, "is being trained"),
        (
            {"selected": "cell 0", "trainings": (training(accuracy=None, reason="loss is NaN"),)},
            "failed: loss is NaN",
        ),
    ],
)
def test_headline_says_what_is_missing(changes: Mapping[str, object], words: str) -> None:
    found = headline(replace(EMPTY, **changes), None)  # type: ignore[arg-type]
    assert words in found.verdict
    assert found.selected_accuracy is None


def test_image_facts_leave_out_what_is_unknown() -> None:
    facts = image_facts({"name": "cats", "classes": ["a", "b"], "train": 5, "shape": (3, 8, 8)})
    assert facts.counts == {"train": 5}
    assert facts.test is None
    assert facts.notes == ()
    assert image_facts({}).classes == ()


def test_accuracy_by_size_is_sorted_and_has_binomial_errors() -> None:
    trainings = (
        training(parameters=300, accuracy=0.5),
        training("cell 1", "random", 1.0, 100),
        training("cell 2", "random", None, 200),
    )
    points = accuracy_by_size(replace(EMPTY, trainings=trainings), 100)
    assert [(p.parameters, p.role) for p in points] == [(100, "random"), (300, "selected")]
    assert [p.standard_error for p in points] == [0.0, pytest.approx(0.05)]


def test_curves_draw_the_selected_architecture_last() -> None:
    trainings = (
        training(epochs=3),
        training("cell 1", "random", epochs=2),
        training("cell 2", "random"),
    )
    loss, accuracy = training_curves(replace(EMPTY, trainings=trainings))
    assert (loss.quantity, accuracy.quantity) == ("loss", "accuracy")
    assert [(c.role, c.split) for c in loss.curves] == [
        ("random", "train"), ("random", "validation"),
        ("selected", "train"), ("selected", "validation"),
    ]  # fmt: skip
    assert loss.curves[2].epochs == (1, 2, 3)
    assert accuracy.curves[3].values == tuple(
        epoch.validation_accuracy for epoch in trainings[0].epochs
    )
    assert training_curves(replace(EMPTY, trainings=trainings[2:])) == ()


def test_confusion_normalises_rows_and_lists_mistakes() -> None:
    counts = ((3, 1, 0), (0, 0, 0), (2, 0, 6))
    run = replace(EMPTY, trainings=(training(confusion=counts),))
    found = confusion(run, ("a", "b"))
    assert found is not None
    assert found.classes == ("a", "b", "class 2")
    assert found.shares == ((0.75, 0.25, 0.0), (0.0, 0.0, 0.0), (0.25, 0.0, 0.75))
    assert found.most_confused == (("class 2", "a", 2, 8), ("a", "b", 1, 4))
    assert confusion(EMPTY, ()) is None


def test_ledger_shares() -> None:
    costs = (Cost("kappa", 3, 1.0), Cost("training", 1, 3.0))
    found = ledger(replace(EMPTY, costs=costs, wall_seconds={"search": 2.0}))
    assert [(line.step, line.share) for line in found.lines] == [
        ("training", 0.75),
        ("kappa", 0.25),
    ]
    assert (found.seconds, found.wall_seconds) == (4.0, (("search", 2.0),))
    assert ledger(replace(EMPTY, costs=(Cost("propose", 1, 0.0),))).lines[0].share == 0.0


SUPERNET = NB201.graphs(NB201.supernet())[0]
DARTS_GRAPHS = [
    graph for seed in range(4) for graph in DARTS().graphs(DARTS().sample(random.Random(seed)))
]


@pytest.mark.parametrize(
    "graph", [SUPERNET, *DARTS_GRAPHS, CellGraph("cell", ("input", "output"), ())]
)
def test_no_label_of_a_cell_meets_another_or_a_node(graph: CellGraph) -> None:
    drawing = draw_cell(graph, operations([graph]))
    assert len(drawing.arcs) == len(graph.edges)
    boxes = [arc.label for arc in drawing.arcs] + [node.box for node in drawing.nodes]
    assert not [(a, b) for k, a in enumerate(boxes) for b in boxes[:k] if a.meets(b)]
    for box in boxes:
        assert drawing.left <= box.x - box.width / 2
        assert box.x + box.width / 2 <= drawing.left + drawing.width


@pytest.mark.parametrize("graph", DARTS_GRAPHS)
def test_cells_of_darts_are_drawn_narrow_and_their_outputs_without_a_name(
    graph: CellGraph,
) -> None:
    colours = operations([graph])
    drawing = draw_cell(graph, colours)
    assert drawing.width < 640  # of which a column of the page, 420 pixels, keeps labels legible
    assert "" not in colours
    assert [arc.colour for arc in drawing.arcs if arc.target == "output"] == [None] * 4


class Loads(HTMLParser):
    """Everything that a browser would fetch, every id-less link, and the text outside scripts."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.loads: list[str] = []
        self.tags: list[str] = []
        self.words: list[str] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.loads += [v or "" for k, v in attrs if k in ("src", "href", "srcset", "data")]

    def handle_data(self, data: str) -> None:
        if self.tags[-1:] not in (["script"], ["style"]):
            self.words.append(data)

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.words).split())


def page_of(run: RunRecord, tmp_path: Path) -> Loads:
    write_report(run, tmp_path / "report.html")
    return Loads((tmp_path / "report.html").read_text(encoding="utf-8"))


def test_page_is_self_contained(tmp_path: Path) -> None:
    realistic_report(realistic_run(), tmp_path / "report.html")
    page = Loads((tmp_path / "report.html").read_text(encoding="utf-8"))
    assert page.loads == ["data:,", "selected/weights.safetensors", "selected/network.onnx"]
    assert (
        "@import" not in (tmp_path / "report.html").read_text(encoding="utf-8").split("<body>")[0]
    )
    assert [file.name for file in tmp_path.iterdir()] == ["report.html"]


def test_page_says_what_counts(tmp_path: Path) -> None:
    realistic_report(realistic_run(), tmp_path / "report.html")
    text = Loads((tmp_path / "report.html").read_text(encoding="utf-8")).text
    for words in (
        "The selected architecture beats 4 of 5 random architectures",
        "2 files left out",
        "3 readings of 348 failed",
        "none-free (4,096)",
        "untrained report digits-te-nas",
        "learning_rate",
    ):
        assert words in text


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({}, ["still running", "Nothing has been tried yet", "No costs", "Not recorded"]),
        (
            {
                "trials": (trial(0, kappa=(None,)), trial(1, kappa=(None,))),
                "directions": {"kappa": -1},
            },
            ["None of the 2 architectures tried has a value for Kappa", "2 readings of 2 failed"],
        ),
        (
            {
                "trials": (trial(0, kappa=(None,)), trial(1, kappa=(None,))),
                "directions": {"kappa": -1},
                "ended": True,
            },
            [
                "no architecture could be scored",
                "2 readings of 2 failed",
                "Kappa: not resolved",
                "of cell 0 , cell 1",
            ],
        ),
        (
            {"trials": (trial(0, kappa=(2.0,)),), "directions": {"kappa": -1}},
            ["No network has been trained in this run"],
        ),
        ({"trials": (trial(0, kappa=(2.0,)),)}, ["This run ranked by no score"]),
        (
            {"selected": "cell 0", "trainings": (training(accuracy=None, reason="loss is NaN"),)},
            [
                "Training of the selected architecture failed: loss is NaN",
                "1 training ended early",
            ],
        ),
        ({"selected": "cell 0", "trainings": (training(epochs=1),)}, ["cannot say whether"]),
    ],
)
def test_unfinished_runs_say_so(
    changes: Mapping[str, object], words: Sequence[str], tmp_path: Path
) -> None:
    text = page_of(replace(EMPTY, **changes), tmp_path).text  # type: ignore[arg-type]
    for sentence in words:
        assert sentence in text


def hostile_run(classes: int = 200) -> RunRecord:
    """Names that would break a page which does not escape them."""
    names = ["<script>alert(1)</script>", "</script><b>&amp;", "Käse", "日本"]
    names += [f"class <{k}>" for k in range(classes - len(names))]
    counts = tuple(
        tuple(9 if i == j else int(j == (i + 1) % classes) for j in range(classes))
        for i in range(classes)
    )
    trials = tuple(
        TrialRecord(k, k, f"|a<b&c~{k}|'\"", "<i>note</i>", {"<kappa>": readings(10.0**k)})
        for k in range(8)
    )
    return replace(
        EMPTY,
        name="<img src=x onerror=alert(1)>",
        images={"name": "<x>", "classes": names, "test": 10 * classes, "notes": ["<u>odd</u>"]},
        directions={"<kappa>": -1},
        trials=trials,
        selected=trials[3].architecture,
        trainings=(
            training(trials[3].architecture, confusion=counts, epochs=2),
            training(trials[4].architecture, "random", 0.8, epochs=1),
        ),
        config={"<key>": {"<inner>": ["</td>", 1]}},
        costs=(Cost("<step>", 0, 0.0),),
    )


def test_page_escapes_everything(tmp_path: Path) -> None:
    page = page_of(hostile_run(), tmp_path)
    assert "<script>alert(1)</script>" in page.text
    assert not {"img", "u", "b"} & set(page.tags)
    assert page.tags.count("script") == page_of(hostile_run(10), tmp_path).tags.count("script")


def test_many_classes_show_pairs_in_place_of_a_matrix(tmp_path: Path) -> None:
    page = page_of(hostile_run(), tmp_path)
    assert "With 200 classes the matrix is too large to read" in page.text
    assert "Predicted class" not in page.text
    assert "Predicted class" in page_of(hostile_run(20), tmp_path).text


def test_an_older_page_stays_until_the_new_one_is_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(source: Path, target: Path) -> None:
        assert source.stat().st_size > 1_000_000
        raise OSError("disk full")

    (tmp_path / "report.html").write_text("old", encoding="utf-8")
    monkeypatch.setattr("os.replace", full)
    with pytest.raises(OSError, match="disk full"):
        write_report(EMPTY, tmp_path / "report.html")
    assert (tmp_path / "report.html").read_text(encoding="utf-8") == "old"
    assert [file.name for file in tmp_path.iterdir()] == ["report.html"]


MEASURE = """<script>addEventListener("load", () => setTimeout(() => {
  const root = document.documentElement;
  parent.postMessage({
    width: innerWidth,
    overflow: root.scrollWidth - root.clientWidth,
    plots: document.querySelectorAll(".plot .main-svg:first-of-type").length,
  }, "*");
}, 100));</script></body>"""

FRAME = """<!DOCTYPE html><html><head><script>addEventListener("message", (event) =>
  Object.assign(document.documentElement.dataset, event.data));</script></head>
  <body><iframe src="measured.html" style="width: {width}px; border: 0"></iframe></body></html>"""
"A window cannot be as narrow as a phone, a frame can."


def browse(page: Path, width: int) -> tuple[Mapping[str, int], list[str]]:
    """What a browser without network measures on a page, and what its console says."""
    assert CHROMIUM is not None
    html = page.read_text(encoding="utf-8")
    page.with_name("measured.html").write_text(html.replace("</body>", MEASURE), encoding="utf-8")
    frame = page.with_name("frame.html")
    frame.write_text(FRAME.replace("{width}", str(width)), encoding="utf-8")
    flags = (
        "--headless --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-sync "
        "--disable-background-networking --disable-component-update --enable-logging=stderr --v=0 "
        f"--virtual-time-budget=3000 --user-data-dir={page.with_name('profile')}"
    ).split()
    done = subprocess.run(
        [CHROMIUM, *flags, "--host-resolver-rules=MAP * ~NOTFOUND", "--dump-dom", frame.as_uri()],
        capture_output=True, encoding="utf-8", timeout=60, check=True,
    )  # fmt: skip
    root = done.stdout[: done.stdout.index("<head>")]
    found = {key: int(value) for key, value in re.findall(r'data-(\w+)="(-?\d+)"', root)}
    return found, [line for line in done.stderr.splitlines() if "CONSOLE" in line]


@pytest.mark.skipif(CHROMIUM is None, reason="no chromium")
def test_browser_draws_every_plot_without_network_or_complaint(tmp_path: Path) -> None:
    realistic_report(realistic_run(), tmp_path / "report.html")
    found, console = browse(tmp_path / "report.html", 390)
    assert found == {"width": 390, "overflow": 0, "plots": 6}
    assert console == []


@pytest.mark.skipif(CHROMIUM is None, reason="no chromium")
def test_browser_survives_hostile_names(tmp_path: Path) -> None:
    write_report(hostile_run(), tmp_path / "report.html")
    found, console = browse(tmp_path / "report.html", 390)
    assert found == {"width": 390, "overflow": 0, "plots": 5}
    assert console == []


def test_scores_after_other_numbers_of_epochs_are_not_mixed() -> None:
    trials = tuple(
        replace(
            TrialRecord(k, int(epochs > 1), f"cell {cell}", "", {"lga": readings(value)}),
            epochs=epochs,
        )
        for k, (cell, epochs, value) in enumerate(
            [(0, 1, 0.5), (1, 1, 0.9), (2, 1, 0.7), (1, 3, 0.2), (2, 3, 0.3)]
        )
    )
    run = replace(EMPTY, trials=trials, directions={"lga": 1}, selected="cell 2")
    cloud = score_cloud(run)
    assert [(p.trial.architecture, p.estimates[0].mean) for p in cloud.points] == [
        ("cell 0", 0.5), ("cell 2", 0.3), ("cell 1", 0.2)
    ]  # fmt: skip
    (curve,) = trajectory(run, NB201)
    assert curve.best == (0.5, 0.9, 0.9, 0.2, 0.3)
