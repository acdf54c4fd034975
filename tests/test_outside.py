"""Text from outside: neither terminal nor page nor shell obeys it, and a store keeps it."""

import io
import json
import logging
import shlex
import subprocess
from dataclasses import replace
from html import unescape
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console
from rich.progress import Progress as Bars
from test_report import EMPTY, readings, training
from test_report_tracked import make_track

from untrained.cli import main, shown, terminal
from untrained.cli.progress import columns_of_a_bar, watching
from untrained.estimate import Quantity
from untrained.locations import Location
from untrained.outside import command_line, visible
from untrained.pages import write_report
from untrained.pages.tracked_page import write_tracked
from untrained.runs import Progress, load_record
from untrained.runs.record import Cost, RunRecord
from untrained.scores.score import Reading
from untrained.spaces import CellGraph, Edge
from untrained.storage import RunFolder, TrialRecord
from untrained.storage.store import Store
from untrained.training import Epoch

PLAIN = "plain"
NASTY = (
    "[red]bad[/] thing[/] [link=x]y :smile: <b>x</b><script>alert(1)</script></script><!-- "
    "'\"&lt; \x1b[31m\x1b]0;t\x07\r\b\n\t\x00\x9b31m\u202egpj\u2066\u2028\ufeff\udcff\ud800 "
    "{{ 7 * 7 }} %{x} $(touch x) `touch y`; javascript:alert(1)"
)
SEEN = visible(NASTY)


def test_a_whole_alphabet_is_seen_as_it_is() -> None:
    words = "Käse 日本語 ‎".strip("‎") + " naïve\u00a0\u3000 мир עברית العربية می‌خواهم 👩‍🔬 [x] \\n"
    assert visible(words) == words
    assert visible("a\\") == "a\\"


@pytest.mark.parametrize(
    ("text", "escaped"),
    [
        ("\x1b[2J", r"\x1b[2J"),
        ("a\rb\x08\x07\x7f", r"a\rb\x08\x07\x7f"),
        ("two\nlines\tand a tab", r"two\nlines\tand a tab"),
        ("\x85\x9b\u2028\u2029", r"\x85\x9b\u2028\u2029"),
        (
            "\u202e\u2066\u200f\u061c\ufeff\u00ad\u200b",
            r"\u202e\u2066\u200f\u061c\ufeff\xad\u200b",
        ),
        ("caf\udce9 \ud800", r"caf\udce9 \ud800"),
        ("\U000e0041", r"\U000e0041"),
    ],
)
def test_what_would_be_obeyed_is_written_out(text: str, escaped: str) -> None:
    assert visible(text) == escaped
    assert escaped.isprintable()
    escaped.encode()


@pytest.mark.parametrize(
    "word",
    ["plain", "", "two words", "it's", "$(touch x)", "`y`;&|<>!*?~#", "\\", "-x", "a\nb\tc\x1b[m",
     "caf\udce9", "'\n'", "\\\n\\", "é\u202e", "\x01f", "\n0"],
)  # fmt: skip
def test_a_shell_reads_a_command_line_as_its_words(word: str) -> None:
    line = command_line("printf", "%s|", word, "end")
    assert line == visible(line)
    done = subprocess.run(["bash", "-c", line], capture_output=True, check=True)
    assert done.stdout == word.encode(errors="surrogateescape") + b"|end|"


def test_ordinary_words_are_quoted_as_everywhere() -> None:
    words = ["untrained", "score", "|none~0|+|x y", "it's"]
    assert command_line(*words) == shlex.join(words)


def run_of(text: str) -> RunRecord:
    """Every field that comes from outside says the same."""
    names = [f"{text}{k}" for k in range(3)]
    trials = tuple(
        TrialRecord(
            k,
            k,
            f"{text}{k}",
            text,
            {text: readings(1.0 + k, 2.0), "other": (Reading(1.0), Reading(None, text))},
            role=text,
        )
        for k in range(4)
    )
    epochs = tuple(Epoch(k, 0.1, 1.0 / k, 0.5, 1.0 / k, 0.5, 1.0) for k in (1, 2))
    one = training(f"{text}1", confusion=((3, 1, 0), (0, 2, 0), (1, 0, 1)))
    return replace(
        EMPTY,
        name=text,
        space=text,
        searcher=text,
        config={text: {text: [text, 1], "text": text}},
        versions={"untrained": text, text: text},
        images={
            "name": text,
            "classes": names,
            "train": 8,
            "validation": 8,
            "test": 8,
            "shape": [1, 8, 8],
            "notes": [text],
        },
        directions={text: -1},
        trials=trials,
        selected=f"{text}1",
        trainings=(
            replace(one, epochs=epochs),
            training(f"{text}2", "random", 0.8, reason=text),
            training(f"{text}3", text, None, reason=text),
        ),
        costs=(Cost(text, 1, 1.0),),
        wall_seconds={text: 1.0},
    )


class Page(HTMLParser):
    """The shape of a page, its words, and the figures in it."""

    def __init__(self, path: Location) -> None:
        super().__init__()
        self.shape: list[tuple[str, tuple[str, ...]]] = []
        self.words: list[str] = []
        self.figures: list[str] = []
        self.links: list[str] = []
        self.feed(path.read_bytes().decode())

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.shape.append((tag, tuple(name for name, _ in attrs)))
        self.links += [value or "" for name, value in attrs if name == "href"]
        self.words += [value or "" for _, value in attrs]
        self.json = (tag, dict(attrs).get("type")) == ("script", "application/json")

    def handle_endtag(self, tag: str) -> None:
        self.shape.append((f"/{tag}", ()))

    def handle_comment(self, data: str) -> None:
        self.shape.append(("comment", ()))

    def handle_data(self, data: str) -> None:
        if self.shape and self.shape[-1][0] == "script":
            self.figures += [data] if self.json else []
        elif self.shape and self.shape[-1][0] != "style":
            self.words.append(data)


def texts_of(value: Any) -> list[str]:
    """Every string in a figure."""
    if isinstance(value, dict):
        return [text for item in value.values() for text in texts_of(item)]
    if isinstance(value, list):
        return [text for item in value for text in texts_of(item)]
    return [value] if isinstance(value, str) else []


def assert_nothing_is_obeyed(page: Page, plain: Page) -> None:
    assert page.shape == plain.shape
    words = "".join(page.words)
    assert SEEN in words
    assert visible(words.replace("\n", "")) == words.replace("\n", "")
    figures = [text for figure in page.figures for text in texts_of(json.loads(figure))]
    ours = {text for figure in plain.figures for text in texts_of(json.loads(figure))}
    for text in figures:
        inside = text.replace("<br>", "").replace("<b>", "").replace("</b>", "")
        assert text in ours or "<" not in inside, text
        assert visible(unescape(text)) == unescape(text)


def test_a_page_obeys_nothing(tmp_path: Path) -> None:
    pages: list[Page] = []
    for text in (NASTY, PLAIN):
        path = tmp_path / f"{len(pages)}.html"
        cell = CellGraph(text, (text, f"{text}2"), (Edge(0, 1, text),))
        file = f"network/{text}".replace("\ud800", "")  # no name of a file holds one
        exported = {text: file, f"{text}2": "javascript:alert(1)"}
        write_report(
            run_of(text), path, graphs=(cell, cell), exported=exported, command=command_line(text)
        )
        pages.append(Page(path))
    assert_nothing_is_obeyed(*pages)
    assert len(pages[0].figures) == 6  # two panels, all scores, sizes, two curves
    assert not any(link.startswith(("javascript:", "//")) for link in pages[0].links)


def test_a_page_without_a_selected_architecture_obeys_nothing(tmp_path: Path) -> None:
    pages: list[Page] = []
    for text in (NASTY, PLAIN):
        path = tmp_path / f"{len(pages)}.html"
        failed = {text: (Reading(None, text),)}
        trials = tuple(replace(trial, readings=failed) for trial in run_of(text).trials[:3])
        run = replace(run_of(text), selected=None, trials=trials, trainings=(), ended=True)
        write_report(run, path)
        pages.append(Page(path))
    assert_nothing_is_obeyed(*pages)


def test_a_page_of_a_tracking_obeys_nothing(tmp_path: Path) -> None:
    pages: list[Page] = []
    for text in (NASTY, PLAIN):
        path = tmp_path / f"{len(pages)}.html"
        track = make_track(3, text, alignment=Quantity(None, text))
        track = replace(track, classes=(text, text, text))
        write_tracked(track, path, title=text, network=text, facts={text: text}, command=text)
        pages.append(Page(path))
    assert_nothing_is_obeyed(*pages)


def stored(out: Path, text: str, selected: bool) -> RunFolder:
    """A run in a store in which every text is this one."""
    record = run_of(text)
    folder = RunFolder(out / "it's \x1b[31m\n\udcff[red]", "run")
    folder.path.mkdir(parents=True)
    with Store.open(folder.store) as store:
        asked = {name: getattr(record, name) for name in
                 ("space", "searcher", "config", "images", "versions", "directions")}  # fmt: skip
        store.begin_run(text, {"name": folder.name, "counts": [text], **asked})
        readings = [(k, draw) for k in range(4) for draw in range(2)]
        store.add_measurements(
            [
                {"key": f"{text}{k}{draw}", "run": text, "question": {text: text}, "score": text,
                 "value": 3.0 if selected and k == 1 else None, "reason": text, "seconds": 0.0}
                for k, draw in readings
            ]
        )  # fmt: skip
        store.add_trials(
            [
                {"run": text, "number": k, "batch": 0, "architecture": f"{text}{k}", "note": text,
                 "role": text, "draws": [0, 1], "epochs": None,
                 "measurements": {text: [visible_in_store(f"{text}{k}{d}") for d in range(2)]}}
                for k in range(4)
            ]
        )  # fmt: skip
        named = {"position": 0, "role": text, "architecture": text}
        store.begin_training(text, named, {"key": text, "question": {text: text}})
        store.update_training(text, (), {"reason": text, "finished": True})
        store.set_selected(text, f"{text}1" if selected else None)
    return folder


def visible_in_store(text: str) -> str:
    """What a store keeps of a text: all but lone surrogates."""
    return text.encode(errors="backslashreplace").decode()


@pytest.mark.parametrize("selected", [True, False])
def test_store_and_terminal_show_it_as_it_is(
    selected: bool,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(terminal.PRINTED, "_width", 3000)
    folder = stored(tmp_path, NASTY, selected)
    code = shown_code(folder, as_json=False)
    printed = capsys.readouterr().out
    assert code == (0 if selected else 1)
    assert visible(printed.replace("\n", "")) == printed.replace("\n", "")
    assert printed.count(SEEN) >= 3
    assert visible(str(folder.report)) in printed
    assert shown_code(folder, as_json=True) == code
    found = json.loads(capsys.readouterr().out)
    assert found["trials"][0]["architecture"] == visible_in_store(f"{NASTY}0")
    assert found["failures"][0]["reason"] == visible_in_store(NASTY)
    assert found["report"] == str(folder.report)
    monkeypatch.setattr("sys.argv", ["untrained", "report", str(folder.path)])
    with pytest.raises(SystemExit, match="0"):
        main()
    assert visible(str(folder.report)) in capsys.readouterr().out
    page = Page(folder.report)
    assert SEEN in "".join(page.words)
    assert ("no architecture could be scored" in "".join(page.words)) == (not selected)
    record = load_record(folder.store, folder.name)
    command = command_line("untrained", "report", str(folder.path))
    assert command in page.words
    assert record.counts == {NASTY}


def shown_code(folder: RunFolder, *, as_json: bool) -> int:
    try:
        shown.show(folder, as_json)
    except SystemExit as end:
        return int(end.code or 0)
    return 0


def test_scores_of_named_architectures_and_their_reasons(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(terminal.PRINTED, "_width", 3000)
    record = replace(run_of(NASTY), searcher="given", counts=frozenset({NASTY}))
    shown.show_found(record)
    shown.show_failures(record)
    shown.show_trainings(record)
    printed = capsys.readouterr().out
    assert visible(printed.replace("\n", "")) == printed.replace("\n", "")
    assert f"4 x other: {SEEN}" in printed
    assert f"{SEEN}3" in printed


def test_errors_warnings_and_progress(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    console = Console(stderr=True, markup=False, emoji=False, highlight=False, width=3000)
    monkeypatch.setattr(terminal, "WORKING", console)
    # pytest keeps what is logged, and pytest-xdist cannot send it.
    monkeypatch.setattr(logging.getLogger("untrained"), "propagate", False)
    monkeypatch.setattr("sys.argv", ["untrained", "report", NASTY])
    with pytest.raises(SystemExit) as end:
        main()
    assert end.value.code == 2
    logging.getLogger("untrained.images.folder").warning(NASTY)
    with watching() as watch:
        watch(Progress(NASTY, 1, 2))
    err = capsys.readouterr().err
    assert len(columns_of_a_bar()) == 7
    assert err.count("\n") >= 2
    assert SEEN in err
    assert visible(err.replace("\n", "")) == err.replace("\n", "")


def test_a_narrow_terminal_cuts_neither_counts_nor_times() -> None:
    console = Console(width=60, file=io.StringIO())
    bars = Bars(*columns_of_a_bar(), console=console)
    bars.add_task("search, condition_number of 200 random architectures", total=25_864)
    bars.update(bars.task_ids[0], completed=12_345)
    console.print(bars.get_renderable())
    text = console.file.getvalue()  # type: ignore[attr-defined]
    assert all(word in text for word in ("12345/25864", "0:00:00", "-:--:--", "architectures"))
