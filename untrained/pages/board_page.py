"""A leaderboard as one self-contained page."""

import math
from collections.abc import Mapping

from untrained.benching.leaderboard import UNLIKELY, Leaderboard
from untrained.locations import Location
from untrained.pages.board_drawings import POINTS, draw_costs, draw_scatter, scatters
from untrained.pages.units import letter, percent, share, significant
from untrained.pages.writing import placed, write_page

CORRELATIONS = {
    "tau": "tau",
    "tau_low": "low",
    "tau_high": "high",
    "p_value": "p",
    "tau_draws": "one draw",
    "tau_spread": "± draws",
    "tau_given_size": "tau | size",
    "rho": "rho",
    "rho_low": "low",
    "rho_high": "high",
    "rho_given_size": "rho | size",
    "pearson": "r",
    "tau_top": "tau, top 10 %",
    "tau_half": "tau, top 50 %",
    "ndcg": "nDCG",
}
SHARES = {
    "shared_top": "P@10 %",
    "shared_half": "P@50 %",
    "best_rank": "BestRanking@10",
    "discovered": "best of 10",
    "regret": "regret@10",
}
"Columns of a leaderboard, and what they are called on its page."


def report_board(board: Leaderboard, page: Location | None = None) -> Location:
    """Writes the page of a leaderboard, and returns its path.

    Args:
        board: as `bench` returns it.
        page: where to write; by default `leaderboard.html` in its folder.

    Raises:
        ValueError: neither the leaderboard nor `page` says where.
        OSError: the page cannot be written.
    """
    page = placed(page, board.folder, "leaderboard.html")
    write_page(
        page,
        "board.html.j2",
        board=board,
        rows=board.scores.to_dicts(),
        reasons=board.reasons,
        correlations=_known(board, CORRELATIONS),
        shares=_known(board, SHARES),
        thresholds=[name for name in board.scores.columns if name.startswith("pqetp_")],
        scatters=[(each, draw_scatter(each)) for each in scatters(board)],
        points=POINTS,
        costs=draw_costs(board),
        matrix=board.matrix.to_dicts(),
        letter=letter,
        share=share,
        percent=percent,
        significant=significant,
    )
    return page


def _known(board: Leaderboard, columns: Mapping[str, str]) -> dict[str, str]:
    """Those of the columns in which some score has a value, and one that is worth showing."""
    least = {"p_value": UNLIKELY}
    return {
        column: label
        for column, label in columns.items()
        if (board.scores[column].cast(float) >= least.get(column, -math.inf)).any()
    }
