"""The page of a leaderboard: its figures as data, and the page."""

import json
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from untrained.bench import Leaderboard, rank_scores
from untrained.bench.leaderboard import SHORTENED
from untrained.bench.ranking import Known
from untrained.report import report_board
from untrained.report.board_drawings import draw_costs, draw_scatter, scatters

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
    front = next(trace for trace in figure.data if trace.name == "nothing cheaper is better")
    assert [*front.x] == [0.1]  # the baseline is the best of what was measured, and the cheapest
    free = rank_scores(board.values, "accuracy", {"low": Known()}, population="", resamples=20)
    assert draw_costs(free) is None


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
