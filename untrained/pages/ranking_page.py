"""A ranking of models as one self-contained page."""

from untrained.locations import Location
from untrained.pages import units
from untrained.pages.ranking_drawings import (
    draw_accuracies,
    draw_scores,
    draw_sizes,
    ranked_models,
)
from untrained.pages.writing import placed, write_page
from untrained.ranking import Ranking
from untrained.ranking.config import PROBE


def report_ranking(ranking: Ranking, page: Location | None = None) -> Location:
    """Writes the page of a ranking, and returns its path.

    Args:
        ranking: as `rank` returns it.
        page: where to write; by default `ranking.html` in its folder.

    Raises:
        ValueError: neither the ranking nor `page` says where.
        OSError: the page cannot be written.
    """
    page = placed(page, ranking.folder, "ranking.html")
    by, models = ranking.ordered_by, ranked_models(ranking)
    beside = (PROBE,) if PROBE in ranking.models.columns else ()
    write_page(
        page,
        "ranking.html.j2",
        ranking=ranking,
        columns=list(dict.fromkeys((by, *ranking.scores, *beside))),
        rows=ranking.models.to_dicts(),
        scores=draw_scores(models, by) if models else None,
        agreement=None if ranking.agreement is None else ranking.agreement.to_dicts(),
        accuracies=draw_accuracies(models, by),
        costs=[
            (label, figure)
            for cost, label in (("parameters", "Parameters"), ("latency", "Latency"))
            if (figure := draw_sizes(models, by, cost)) is not None
        ],
        units=units,
    )
    return page
