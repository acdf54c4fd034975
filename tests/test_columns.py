"""Tables at any width: names that can be told apart, digits that mean something, marks."""

import random
from decimal import Decimal

import pytest

from untrained.cli.columns import BEST, Column, fitted, show_table
from untrained.cli.names import broken, shortened
from untrained.cli.terminal import PRINTED
from untrained.pages.units import significant, uncertain
from untrained.runs.ordering import best_first
from untrained.scores import Reading
from untrained.spaces import get_space
from untrained.storage import TrialRecord

SPACES = "nasbench201", "natsbench_size", "nasbench101", "darts", "mnas"
LABELS = [["timm:resnet18", "timm:resnet18.a1_in1k"], ["a", "b"], ["x:a", "x:a"], ["nets:Wide"],
          ["a|b|", "a|b|c|b|"], ["", "a"], ["layer.1.conv", "layer.10.conv"]]  # fmt: skip


def architectures(space: str) -> list[str]:
    """Five random ones, and two neighbours of each."""
    found, rng = get_space(space), random.Random(0)
    drawn = [found.sample(rng) for _ in range(5)]
    near = [found.mutate(each, rng) for each in drawn for _ in range(2)]
    return [str(each) for each in dict.fromkeys((*drawn, *near))]


@pytest.mark.parametrize("names", [*map(architectures, SPACES), *LABELS])
def test_short_names_are_as_different_as_whole_ones(names: list[str]) -> None:
    short = shortened(names)
    assert len({*short}) == len({*names})
    assert all(len(a) <= len(b) + 2 for a, b in zip(short, names, strict=True))
    for k in range(1, len(names)):
        pair = shortened(names[:1] + names[k : k + 1])
        assert len({*pair}) == len({names[0], names[k]})


@pytest.mark.parametrize("width", [8, 20, 33, 200])
@pytest.mark.parametrize("space", SPACES)
def test_lines_are_the_whole_name_and_no_longer_than_they_may_be(space: str, width: int) -> None:
    for name in architectures(space):
        lines = broken(name, width).split("\n")
        assert max(map(len, lines)) <= width
        assert "".join(lines) == name.replace(" ", "") or " " in name


@pytest.mark.parametrize("width", [40, 60, 80, 140, 10_000])
@pytest.mark.parametrize("scores", [1, 3, 12])
def test_every_number_is_there_at_every_width_and_no_line_is_longer(
    width: int, scores: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(PRINTED, "_width", width)
    names = architectures("nasbench201")
    cells = [[f"{100 * k + i},000 ± {i}" for i, _ in enumerate(names)] for k in range(scores)]
    columns = [Column(f"score_{k}_of_mine ↑", each) for k, each in enumerate(cells)]
    show_table("architecture", names, columns, marks=[BEST, *" " * (len(names) - 1)])
    out = capsys.readouterr().out
    assert max(map(len, out.splitlines())) <= width
    assert all(cell in out for column in cells for cell in column)
    assert (names[0] in out) == (width > 140 or (width == 140 and scores < 4))
    parts = fitted(names, columns, width - 3)
    assert out.count("\n*") == len(parts)
    assert all(set(part.names) == {str(k + 1) for k, _ in enumerate(names)} for part in parts[1:])


def test_one_architecture_is_shown_in_lines_and_not_cut(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(PRINTED, "_width", 60)
    [name, *_] = architectures("nasbench201")
    show_table("architecture", [name], [Column("naswot", ["932.3 ± 0.9"])])
    lines = capsys.readouterr().out.splitlines()[3:]
    assert len(lines) > 1
    assert "".join(line.partition("  ")[0] for line in lines) == name


@pytest.mark.parametrize("seed", range(20))
def test_an_estimate_and_its_error_have_the_same_digits(seed: int) -> None:
    rng = random.Random(seed)
    for _ in range(200):
        mean = rng.choice((-1, 1)) * 10 ** rng.uniform(-9, 12)
        error = abs(mean) * 10 ** rng.uniform(-9, 9)
        text, _, power = uncertain(mean, error).partition(")e")
        shown = [Decimal(each.strip("(").replace(",", "")) for each in text.split(" ± ")]
        ends = [-each.as_tuple().exponent for each in shown]  # type: ignore[operator]
        assert ends[0] == ends[1]
        scale = 10.0 ** int(power or 0)
        assert float(shown[1]) * scale == pytest.approx(error, rel=0.15)
        assert abs(float(shown[0]) * scale - mean) <= 0.15 * error
        assert len(shown[1].normalize().as_tuple().digits) <= 2


@pytest.mark.parametrize("value", [344_060.2, 3_000_000.0, 12_345.6, 99_999.7, 1.0, -54_321.0])
def test_no_power_of_ten_stands_for_a_number_that_can_be_read(value: float) -> None:
    assert "e" not in significant(value, 5)
    assert float(significant(value, 5).replace(",", "")) == pytest.approx(value, rel=1e-4)


def test_the_best_come_first_and_failures_last() -> None:
    def trial(name: str, *columns: tuple[float | None, ...]) -> TrialRecord:
        readings = {
            score: tuple(Reading(v, "" if v is not None else "why") for v in column)
            for score, column in zip("ab", columns, strict=True)
        }
        return TrialRecord(0, 0, name, "", readings)

    trials = [
        trial("failed", (9.0, None), (0.0, 0.0)),
        trial("middle", (1.0, 3.0), (5.0, 5.0)),
        trial("best", (2.0, 4.0), (1.0, 1.0)),
        trial("worst", (1.0, 1.0), (7.0, 7.0)),
    ]
    ordered, sound = best_first(trials, {"a": 1, "b": -1})
    assert [each.architecture for each in ordered] == ["best", "middle", "worst", "failed"]
    assert sound == 3
    assert best_first([], {"a": 1}) == ([], 0)


def test_names_that_need_little_room_are_whole() -> None:
    names = ["naswot ↑", "trainable_layers ↑"]
    parts = fitted(names, [Column(f"c{k}", ["0123456789"] * 2) for k in range(9)], 57)
    assert len(parts) > 1
    assert parts[0].names == ["1 naswot ↑", "2 trainable_layers ↑"]
