"""The page of a leaderboard: its figures as data, and the page."""

import json
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from untrained.benching import Leaderboard, rank_scores
from untrained.benching.leaderboard import SHORTENED
from untrained.benching.ranking import Known
from untrained.pages import report_board
from untrained.pages.board_drawings import draw_costs, draw_scatter, scatters
from untrained.pages.labels import WIDTHS, axis_range, place_labels

HOSTILE = "<script>alert(1)</script>:S"


@pytest.fixture
def board() -> Leaderboard:
    """Of three scores on thirty architectures: one that fails in a draw, one where lower is
    better, and one that always fails."""
    rng = np.random.default_rng(0)
    y = rng.uniform(0.5, 0.9, 30)
    draws = pl.DataFrame(
        {
            "architecture": [f"a{i}" for i in range(30)] * 2,
            "draw": np.repeat([0, 1], 30),
            "accuracy": np.tile(y, 2),
            HOSTILE: [None, *np.tile(y, 2)[1:] + rng.normal(0, 0.1, 59)],
            "low": np.exp(-40 * np.tile(y, 2)),
            "never": pl.Series([None] * 60, dtype=pl.Float64),
            "valid_12": np.tile(y, 2),
        }
    )
    known = {
        HOSTILE: Known(seconds=1.0),
        "low": Known(higher_is_better=False, kind="baseline", seconds=0.1),
        "never": Known(reason="<b>too large</b>", seconds=0.2),
        "valid_12": Known(kind=SHORTENED, seconds=50.0),
    }
    return rank_scores(
        draws, "accuracy", known, population="thirty & no more", sizes=("low",), resamples=20
    )


def test_a_scatter_is_of_architectures_whose_draws_all_have_a_value(board: Leaderboard) -> None:
    found = {scatter.score: scatter for scatter in scatters(board)}
    assert [*found] == [s for s in board.scores["score"] if s != "never"]
    assert "a0" not in found[HOSTILE].architectures
    assert len(found[HOSTILE].values) == 29
    first = board.values.filter(architecture="a1")
    k = found[HOSTILE].architectures.index("a1")
    assert found[HOSTILE].values[k] == pytest.approx(first[HOSTILE].mean())
    assert found[HOSTILE].accuracies[k] == first["accuracy"][0]


def test_better_is_to_the_right(board: Leaderboard) -> None:
    axes = {s.score: draw_scatter(s).layout.xaxis for s in scatters(board)}
    assert axes["low"].autorange == "reversed"
    assert axes["low"].type == "log"
    assert axes[HOSTILE].autorange is None


def test_costs_have_a_front_of_what_was_measured(board: Leaderboard) -> None:
    figure = draw_costs(board)
    assert figure is not None
    front = next(trace for trace in figure.data if trace.name == "Pareto front")
    assert [*front.x] == [0.1]  # the baseline is the best of what was measured, and the cheapest
    free = rank_scores(board.values, "accuracy", {"low": Known()}, population="", resamples=20)
    assert draw_costs(free) is None


def covered(middle: tuple[float, float], side: str, text: str) -> set[tuple[int, int]]:
    """Pixels of a label beside a point, a letter being as wide as in the page's font at least."""
    a, b = middle
    wide = 7 * len(text)
    left, low = {
        "top center": (a - wide / 2, b + 7),
        "bottom center": (a - wide / 2, b - 22),
        "middle right": (a + 7, b - 7.5),
        "middle left": (a - 7 - wide, b - 7.5),
    }[side]
    return {(int(left + i), int(low + j)) for i in range(1, wide - 1) for j in range(1, 14)}


@pytest.mark.parametrize("seed", range(5))
def test_labels_cover_neither_each_other_nor_points(seed: int) -> None:
    rng = np.random.default_rng(seed)
    x, y = rng.uniform(size=(2, 30)).tolist()
    texts = ["t" * int(n) for n in rng.integers(3, 25, 30)]
    sides = place_labels(x, y, texts)
    assert 15 < sum(side is not None for side in sides) < 30  # as many as fit
    scaled = [
        [length * (v - low) / (high - low) for v in values]
        for values, length in ((x, 900), (y, 320))
        for low, high in (axis_range(values),)
    ]
    middles = [*zip(*scaled, strict=True)]
    areas = [
        covered(middle, side, text)
        for middle, side, text in zip(middles, sides, texts, strict=True)
        if side
    ]
    assert sum(map(len, areas)) == len(set().union(*areas))
    assert not set().union(*areas) & {(int(a), int(b)) for a, b in middles}
    assert all(0 <= a < 900 for area in areas for a, _ in area)


def test_points_in_one_place_have_their_labels_on_different_sides() -> None:
    expected = ("top center", "bottom center", "middle right", "middle left", None)
    assert place_labels([2.0] * 5, [0.5] * 5, ["macs"] * 5) == expected


def test_equal_reasons_are_told_once(board: Leaderboard, tmp_path: Path) -> None:
    reason = "failed on 1 of 30 architectures"
    rows = board.scores.with_columns(
        reason=pl.when(kind="baseline").then(pl.lit("")).otherwise(pl.lit(reason))
    )
    alike = replace(board, scores=rows)
    scores = [s for s in rows["score"] if s != "low"]
    assert alike.reasons == {reason: scores}
    text = report_board(alike, tmp_path / "page.html").read_text("utf-8")
    assert text.count(reason) == 1
    assert "3 of 4 scores failed" in text
    assert 'class="more" open' in text  # as one of them could not be ranked


def test_columns_without_a_value_are_left_out(board: Leaderboard, tmp_path: Path) -> None:
    text = report_board(board, tmp_path / "page.html").read_text("utf-8")
    assert ">± draws<" in text
    assert "<td>A</td>" in text  # the first group
    one = replace(board, scores=board.scores.with_columns(tau_spread=None))
    assert ">± draws<" not in report_board(one, tmp_path / "page.html").read_text("utf-8")


def test_the_page_stands_alone_and_obeys_nothing(board: Leaderboard, tmp_path: Path) -> None:
    page = report_board(board, tmp_path / "page.html")
    text = page.read_text(encoding="utf-8")
    for name in ("thirty &amp; no more", "&lt;b&gt;too large", "PQETP(", "BestRanking@10"):
        assert name in text
    body = text[: text.index("<script>/**")] if "<script>/**" in text else text
    assert "<script>alert(1)" not in body
    assert not re.search(r'(src|href)="(?!data:)http', body)
    figures = re.findall(r'<script type="application/json">(.*?)</script>', text, re.DOTALL)
    assert len(figures) == 4  # cost, and three scatters
    assert all(json.loads(figure)["data"] for figure in figures)


def test_the_page_lies_beside_the_files_and_says_how_to_make_them(
    board: Leaderboard, tmp_path: Path
) -> None:
    page = report_board(replace(board, folder=tmp_path, command="untrained bench 'a b'"))
    assert page == tmp_path / "leaderboard.html"
    assert "untrained bench &#39;a b&#39;" in page.read_text("utf-8")
    with pytest.raises(ValueError, match="expected a page"):
        report_board(board)


def test_labels_that_fit_a_phone_fit_any_wider_page() -> None:
    rng = np.random.default_rng(0)
    x, y = rng.uniform(size=(2, 30)).tolist()
    texts = ["t" * int(n) for n in rng.integers(3, 25, 30)]
    shown = []
    for width in WIDTHS:
        sides = place_labels(x, y, texts, width)
        low, high = axis_range(x)
        bottom, top = axis_range(y)
        for wider in (w for w in WIDTHS if w >= width):
            middles = [
                (wider * (a - low) / (high - low), 320 * (b - bottom) / (top - bottom))
                for a, b in zip(x, y, strict=True)
            ]
            areas = [
                covered(middle, side, text)
                for middle, side, text in zip(middles, sides, texts, strict=True)
                if side
            ]
            assert sum(map(len, areas)) == len(set().union(*areas))
            assert all(0 <= a < wider for area in areas for a, _ in area)
        shown.append(sum(side is not None for side in sides))
    assert shown[0] < shown[-1]


def test_the_page_chooses_labels_by_its_width(board: Leaderboard) -> None:
    figure = draw_costs(board)
    assert figure is not None
    traces = [trace for trace in figure.data if trace.meta]
    assert [*traces[0].meta] == [*WIDTHS]
    for trace in traces:
        assert trace.meta[WIDTHS[-1]]["text"] == list(trace.text)
        assert all(len(each["text"]) == len(trace.x) for each in trace.meta.values())
