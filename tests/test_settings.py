"""Values and types, every pair of them, beside a list of what fits written by hand."""

from dataclasses import dataclass
from datetime import date
from math import inf, nan
from pathlib import Path
from typing import Any, Literal

import pytest

from untrained.settings import changed, checked, typed

VALUES: dict[str, Any] = {
    "3": 3, "0": 0, "-1": -1, "huge": 10**400, "3.0": 3.0, "1.5": 1.5, "nan": nan, "inf": inf,
    "True": True, "text": "a", "empty": "", "nul": "a\0", "None": None, "path": Path("a"),
    "list": ["a"], "tuple": ("a", "b"), "numbers": [1], "none of them": [], "table": {"a": 1},
    "tables": {"a": {"b": 1}}, "date": date(2020, 1, 1),
}  # fmt: skip
FITS: dict[Any, set[str]] = {
    int: {"3", "0", "-1", "huge"},
    float: {"3", "0", "-1", "3.0", "1.5"},
    bool: {"True"},
    str: {"text", "empty"},
    int | None: {"3", "0", "-1", "huge", "None"},
    bool | None: {"True", "None"},
    float | int | bool | str: {"3", "0", "-1", "huge", "3.0", "1.5", "True", "text", "empty"},
    Path: {"path", "text"},
    Literal["a", "b"]: {"text"},
    tuple[str, ...]: {"list", "tuple", "none of them"},
    tuple[str, ...] | None: {"list", "tuple", "none of them", "None"},
    dict[str, int]: {"table"},
    dict[str, dict[str, int]]: {"tables"},
}


@pytest.mark.parametrize("hint", FITS, ids=str)
@pytest.mark.parametrize("name", VALUES)
def test_what_fits_a_type(hint: Any, name: str) -> None:
    value = VALUES[name]
    if name not in FITS[hint]:
        with pytest.raises(ValueError, match=r"^it.*: expected .*, got ") as error:
            typed(hint, value, "it")
        assert len(str(error.value)) < 250
        return
    found = typed(hint, value, "it")
    assert found == (
        Path(value) if hint is Path else tuple(value) if type(value) is list else value
    )
    assert type(found) is type(typed(hint, found, "it"))


def test_a_whole_number_for_a_number_is_one_question_with_the_number() -> None:
    assert type(typed(float, 3, "it")) is float
    assert type(typed(float | int, 3, "it")) is int


@dataclass(frozen=True)
class Inner:
    rate: float = 0.0


@dataclass(frozen=True)
class Outer:
    count: int = 1
    inner: Inner = Inner()


def test_a_dataclass_is_checked_all_the_way_down() -> None:
    assert checked(Outer(2, Inner(1))) == Outer(2, Inner(1.0))
    wrong = Outer(inner=Inner())
    object.__setattr__(wrong.inner, "rate", "x")
    with pytest.raises(ValueError, match=r"^inner\.rate: expected a finite number, got 'x'$"):
        checked(wrong)


def test_whole_numbers_count_from_one_and_are_not_too_large_to_count_with() -> None:
    assert changed(Outer(), {"count": 2**31 - 1}, "it").count == 2**31 - 1
    for count in (0, -3, 2**31):
        with pytest.raises(
            ValueError, match=rf"^it\.count: expected a number of at .*, got {count}"
        ):
            changed(Outer(), {"count": count}, "it")
