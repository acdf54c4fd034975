"""The page of a tracking: its figures as data, the page, and the command that makes it."""

import base64
import html
import io
import json
import re
import shlex
import shutil
import subprocess
from dataclasses import fields, replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch
from pages import figures_of
from PIL import Image

from untrained.cli import main
from untrained.estimate import Quantity
from untrained.pages.eigenvectors import PICTURES, eigenvectors
from untrained.pages.tracked import (
    ADVANTAGE,
    COMPARED,
    QUESTIONS,
    Line,
    limits,
    pictures,
    result,
    series,
    spread,
    verdict,
)
from untrained.pages.tracked_page import write_tracked
from untrained.pages.tracked_parts import BREAKDOWNS, ROWS_SHOWN, grid
from untrained.runs.thumbnails import from_sheet, png, sheet, thumbnail
from untrained.tracking.by_class import ClassAlignment
from untrained.tracking.by_layer import LayerShare
from untrained.tracking.snapshots import MEASURED, Snapshot
from untrained.tracking.track import Track

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
LABELS = torch.tensor([0, 0, 1, 1, 1, 2])


def snapshot(epoch: int, **changes: Quantity) -> Snapshot:
    quantities = {name: Quantity(0.1 * epoch + 0.25) for name in MEASURED}
    value = Quantity(0.1 * epoch + 0.25)
    return Snapshot(
        epoch=epoch,
        seconds=1.5,
        eigenvalues=(4.0, 1.0),
        by_class=tuple(ClassAlignment(k, 2, value, value, value) for k in range(3)),
        by_layer=(
            LayerShare("stem<b>", value, value, value, value),
            LayerShare("head", *[Quantity(None, "a <zero> kernel")] * 4),
        ),
        **{**quantities, **changes},
    )


def make_track(epochs: int, reason: str = "", **changes: Quantity) -> Track:
    snapshots = tuple(snapshot(epoch, **(changes if epoch else {})) for epoch in range(epochs + 1))
    same = (LABELS[:, None] == LABELS).float()
    kernels = torch.stack([3 * torch.eye(6) + epoch * same for epoch in range(epochs + 1)])
    probe = torch.arange(6, dtype=torch.uint8).repeat_interleave(4).view(6, 1, 2, 2)
    return Track(snapshots, kernels, LABELS, ("a", "b<i>", "c"), 10, 20, reason, probe)


def test_every_quantity_has_one_place_on_the_page() -> None:
    panels = [COMPARED, ADVANTAGE, *(panel for group in QUESTIONS.values() for panel in group)]
    shown = [line.quantity for panel in panels for line in panel.lines]
    assert sorted(shown) == sorted(MEASURED)
    whole = {"epoch", "seconds", "eigenvalues", "by_class", "by_layer"}
    assert {f.name for f in fields(Snapshot)} == {*MEASURED, *whole}
    for kind, breakdowns in zip((ClassAlignment, LayerShare), BREAKDOWNS.values(), strict=True):
        figures = {each.quantity for each in breakdowns}
        assert figures == {f.name for f in fields(kind) if f.type is Quantity}


def test_a_series_says_why_it_has_gaps() -> None:
    track = make_track(3, alignment=Quantity(None, "one class"))
    found = series(track.snapshots, Line("alignment", "LGA"))
    assert (found.epochs, found.values) == ((0,), (0.25,))
    assert found.reasons == ("LGA, epochs 1 to 3: one class",)


def test_snapshots_shown_are_dense_at_the_beginning() -> None:
    for count in range(1, 200):
        chosen = spread(count)
        assert len(chosen) == min(count, 6)
        assert (chosen[0], chosen[-1]) == (0, count - 1)
        gaps = [b - a for a, b in pairwise(chosen)]
        assert all(gap > 0 for gap in gaps)
        assert gaps == sorted(gaps)


def test_pictures_are_in_units_of_their_diagonal() -> None:
    track = make_track(1)
    first, last = pictures(track)
    assert first.entries.diagonal().tolist() == pytest.approx([1.0] * 6)
    assert (first.within, first.between) == (0, 0)
    assert last.within == pytest.approx(1 / 4)
    low, high = limits([first, last])
    assert low == 0
    assert high == pytest.approx(1 / 4)
    signed = replace(track, kernels=track.kernels - 2)
    low, high = limits(pictures(signed))
    assert low == -high


def test_a_grid_has_a_row_for_each_layer_and_says_why_it_has_gaps() -> None:
    found = grid(make_track(2), "layer", "alignment")
    assert found.rows == ("stem<b>", "head")
    assert found.epochs == (0, 1, 2)
    assert found.values[0] == pytest.approx((0.25, 0.35, 0.45))
    assert found.values[1] == (None, None, None)
    assert found.reasons == ("head: a <zero> kernel",)


def test_of_many_classes_the_ends_are_shown() -> None:
    many = tuple(
        ClassAlignment(k, 1, *[Quantity(None, "x") if k == 5 else Quantity(k / 100)] * 3)
        for k in range(60)
    )
    track = make_track(1)
    snapshots = tuple(replace(each, by_class=many) for each in track.snapshots)
    classes = tuple(str(k) for k in range(60))
    found = grid(replace(track, snapshots=snapshots, classes=classes), "class", "alignment")
    assert len(found.rows) == ROWS_SHOWN
    assert found.rows[:2] == ("59", "58")
    assert found.rows[-2:] == ("0", "5")
    assert found.reasons == ("5: x",)


def test_eigenvectors_show_the_images_of_their_outermost_entries() -> None:
    """Of a kernel that is made of known ones."""
    n = 16
    u, _ = torch.linalg.qr(torch.randn(n, n, generator=torch.Generator().manual_seed(0)).double())
    values = torch.tensor([9.0, 5.0, 5.0, 1.0, *[0.5] * 12]).double()
    labels = torch.arange(n) % 3
    track = replace(
        make_track(0),
        kernels=(u @ values.diag() @ u.T).float()[None],
        labels=labels,
        probe=torch.arange(n, dtype=torch.uint8).view(n, 1, 1, 1),
    )
    first, second, third, fourth = eigenvectors(track, 0)
    assert first.share == pytest.approx(9 / values.sum().item())
    assert second.ends is None  # two equal eigenvalues: any rotation would do
    assert third.ends is None
    for vector, k in ((first, 0), (fourth, 3)):
        assert vector.ends is not None
        entries = u[:, k] * u[u[:, k].abs().argmax(), k].sign() * n**0.5
        for end, descending in zip(vector.ends, (True, False), strict=True):
            order = entries.argsort(descending=descending)[:PICTURES]
            assert end.weights == pytest.approx(entries[order].tolist(), rel=1e-3)
            shown = np.array(Image.open(io.BytesIO(base64.b64decode(end.png))))
            assert shown[0, ::2].tolist() == order.tolist()  # an image of one pixel, then a gap
            side = entries.clamp(min=0) if descending else entries.clamp(max=0)
            energy = [side[labels == c].square().sum().item() for c in range(3)]
            names = {track.classes[c]: e / sum(energy) for c, e in enumerate(energy) if e}
            assert dict(end.mix) == pytest.approx(names, rel=1e-3)
    assert eigenvectors(replace(track, probe=None), 0) == ()
    assert eigenvectors(replace(track, kernels=torch.full((1, n, n), torch.nan)), 0) == ()


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("count", [1, 16, 37])
def test_a_sheet_gives_back_its_pictures(channels: int, count: int) -> None:
    generator = torch.Generator().manual_seed(0)
    shape = (count, channels, 5, 7)
    pictures = torch.randint(0, 256, shape, generator=generator, dtype=torch.uint8)
    assert torch.equal(from_sheet(png(sheet(pictures)), count), pictures)
    with pytest.raises(ValueError, match=f"expected {count + 100} pictures"):
        from_sheet(png(sheet(pictures)), count + 100)


def test_thumbnails_are_small_and_in_grey_or_colour() -> None:
    assert thumbnail(torch.zeros(3, 100, 50, dtype=torch.uint8)).shape == (3, 48, 24)
    found = thumbnail(torch.tensor([10, 30], dtype=torch.uint8).view(2, 1, 1).expand(2, 4, 4))
    assert torch.equal(found, torch.full((1, 4, 4), 20, dtype=torch.uint8))


def test_kernels_that_are_not_finite_are_left_out() -> None:
    track = make_track(1)
    track.kernels[1, 0, 0] = float("inf")
    assert [picture.epoch for picture in pictures(track)] == [0]


def test_verdicts() -> None:
    assert "no movement" in verdict(result(make_track(0)))
    near = make_track(1, correlation_initial=Quantity(0.99), advantage_initial=Quantity(-0.031))
    assert verdict(result(near)) == (
        "In 1 epoch the kernel hardly moved: its correlation with initialisation is 0.99. The "
        "network does 3.1 points worse than its linearisation at initialisation."
    )
    none = make_track(2, correlation_initial=Quantity(None, "x"), advantage_initial=Quantity(0.0))
    assert verdict(result(none)).startswith("How far the kernel moved is not resolved. The netw")


@pytest.mark.parametrize("epochs", [0, 1, 30])
def test_the_page_stands_alone(tmp_path: Path, epochs: int) -> None:
    path = tmp_path / "report.html"
    track = make_track(epochs, "epoch 9: <loss>", alignment=Quantity(None, "one <class>"))
    write_tracked(track, path, title="t & t", network="|a~0|", facts={"seed": 3}, command="again")
    page = path.read_text(encoding="utf-8")
    assert "epoch 9: &lt;loss&gt;" in page
    assert "t &amp; t" in page
    assert ("one &lt;class&gt;" in page) == (epochs > 0)
    assert "head: a &lt;zero&gt; kernel" in page
    assert ("b&lt;i&gt; " in page) == (epochs > 0)  # in the mix of an eigenvector
    outside = re.sub(r"<script>.*?</script>", "", page, flags=re.S)
    assert not re.search(r"(?:src|href)=\"(?!data:|#)", outside)
    for figure in figures_of(page):
        json.dumps(figure, allow_nan=False)


def test_a_page_without_any_value(tmp_path: Path) -> None:
    gone = {name: Quantity(None, "overflow") for name in MEASURED}
    track = make_track(0)
    only = replace(snapshot(0, **gone), eigenvalues=())
    track = replace(track, snapshots=(only,), kernels=torch.full((1, 6, 6), float("nan")))
    write_tracked(track, tmp_path / "report.html", title="t", network="n")
    assert "No kernel can be shown" in (tmp_path / "report.html").read_text(encoding="utf-8")


@pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium")
def test_every_chart_is_drawn(tmp_path: Path) -> None:
    path = tmp_path / "report.html"
    write_tracked(make_track(4), path, title="t", network="n")
    done = subprocess.run(
        [str(CHROMIUM), "--headless", "--no-sandbox", "--disable-gpu", "--dump-dom",
         f"--user-data-dir={tmp_path / 'profile'}", "--virtual-time-budget=5000",
         "--host-resolver-rules=MAP * ~NOTFOUND", path.as_uri()],
        capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    assert done.stdout.count('class="main-svg"') >= done.stdout.count('<div class="plot') > 12


CELL = "|nor_conv_3x3~0|+|none~0|none~1|+|skip_connect~0|none~1|none~2|"
QUICK = ("--scale", "small", "--training.epochs", "1",
         "--training.images", "128", "--probe", "20", "--support",
         "20", "--held-out", "20")  # fmt: skip


def run(monkeypatch: pytest.MonkeyPatch, *arguments: str, verb: str = "track") -> int:
    monkeypatch.setattr("sys.argv", ["untrained", verb, *arguments])
    try:
        main()
    except SystemExit as end:
        return int(end.code or 0)
    return 0


def test_the_command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "200")
    assert run(monkeypatch, CELL, *QUICK) == 0
    out = capsys.readouterr().out
    assert "non-linear advantage" in out
    (page,) = Path("untrained-runs").glob("*/report.html")
    assert str(page) in out
    written = page.read_text(encoding="utf-8")
    *_, command = re.findall(r"<pre>(.*?)</pre>", written)
    assert run(monkeypatch, *shlex.split(html.unescape(command))[2:]) == 0
    assert list(Path("untrained-runs").glob("*/report.html")) == [page]
    page.unlink()
    assert run(monkeypatch, str(page.parent), verb="report") == 0
    assert page.read_text(encoding="utf-8") == written
    (page.parent / "snapshots.jsonl").rename(page.parent / "kept")
    assert run(monkeypatch, str(page.parent), verb="report") == 2
    assert "expected a tracking with one snapshot or more" in capsys.readouterr().err
    (page.parent / "kept").rename(page.parent / "snapshots.jsonl")
    asked = (page.parent / "asked.json").read_text(encoding="utf-8")
    (page.parent / "asked.json").write_text(asked.replace('"probe"', '"proof"'), encoding="utf-8")
    assert run(monkeypatch, str(page.parent), verb="report") == 2
    assert "give the track command again" in capsys.readouterr().err
    assert run(monkeypatch, CELL, *QUICK, "--json") == 0
    found = json.loads(capsys.readouterr().out)
    assert [m["epoch"] for m in found["snapshots"]] == [0, 1]
    assert found["snapshots"][0]["train_loss"] is None
    assert found["snapshots"][0]["reason"]["train_loss"] == "nothing is trained yet"
    assert sum(each["images"] for each in found["snapshots"][1]["by_class"]) == 20
    layers = found["snapshots"][1]["by_layer"]
    assert sum(each["trace_share"] for each in layers) == pytest.approx(1)
    assert found["report"] == str(page)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((), "expected the text form of an architecture, or --network"),
        ((CELL, "--scale", "huge"), "unknown scale 'huge'"),
        ((CELL, "--training.epochs", "0"), "epochs: expected a whole number of 1 or more"),
        ((CELL, "--every", "0"), "every: expected a number of at least 1"),
        (("--network", "nowhere:make"), "cannot load model"),
        ((CELL, "--batchnorm", "none"), "batchnorm"),
    ],
)
def test_wrong_use_is_one_line(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    arguments: tuple[str, ...],
    message: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    assert run(monkeypatch, *arguments) == 2
    error = capsys.readouterr().err
    assert message in error
    assert "Traceback" not in error
