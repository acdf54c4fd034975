"""A run as tables and histories: against its readings, one by one."""

import numpy as np
import pytest
from test_report import EMPTY

from untrained.runs import RunRecord
from untrained.spaces import get_space
from untrained.storage import Reading, TrialRecord

SPACE = get_space("nasbench201")
CELLS = (
    "|nor_conv_3x3~0|+|none~0|none~1|+|skip_connect~0|nor_conv_1x1~1|none~2|",
    "|avg_pool_3x3~0|+|none~0|skip_connect~1|+|skip_connect~0|none~1|nor_conv_3x3~2|",
)


@pytest.fixture
def record() -> RunRecord:
    trials = [
        TrialRecord(
            number=k,
            batch=0,
            architecture=cell,
            note="start",
            readings={
                "a": (Reading(1.0 + k), Reading(None, "overflow")),
                "b": (Reading(10.0 + k), Reading(20.0 + k)),
            },
            draws=(3, 4),
            epochs=k + 1,
            role="start" if k == 0 else None,
        )
        for k, cell in enumerate(CELLS)
    ]
    return EMPTY.__class__(
        **{**vars(EMPTY), "trials": tuple(trials), "directions": {"a": 1, "b": -1}}
    )


def test_a_frame_has_a_row_for_each_draw_of_each_trial(record: RunRecord) -> None:
    assert record.frame().rows() == [
        (CELLS[0], 0, 1.0, 10.0),
        (CELLS[1], 0, 2.0, 11.0),
        (CELLS[0], 1, None, 20.0),
        (CELLS[1], 1, None, 21.0),
    ]
    assert record.frame().columns == ["architecture", "draw", "a", "b"]


def test_values_are_higher_where_they_are_better(record: RunRecord) -> None:
    np.testing.assert_equal(record.values("a"), [[1.0, np.nan], [2.0, np.nan]])
    np.testing.assert_equal(record.values("b"), [[-10.0, -20.0], [-11.0, -21.0]])


def test_a_history_is_what_a_searcher_saw(record: RunRecord) -> None:
    first, second = record.history(SPACE)
    assert (str(first.architecture), str(second.architecture)) == CELLS
    assert first.values == {"a": (1.0, None), "b": (10.0, 20.0)}
    assert (first.draws, first.role, first.epochs, second.role) == ((3, 4), "start", 1, None)
    assert (first.mean("a"), second.mean("b")) == (None, 16.0)
