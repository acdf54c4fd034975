"""The live page: who may look, what is shown, and that nothing is written."""

import re
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path

import pytest
from served import add_trial, begin, train
from starlette.testclient import TestClient
from stored import said
from test_record import CELLS

from untrained.pages import report_run
from untrained.pages.side_by_side import differences
from untrained.runs.reached import Reached, reached
from untrained.runs.record import load_record
from untrained.serve import Library, app_of, serve
from untrained.serve.changes import Changes
from untrained.serve.shelf import Page, Shelf
from untrained.storage import RunFolder
from untrained.storage.store import Store

LOCAL = "http://localhost:8471"


@pytest.fixture(autouse=True)
def always_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    """A change is shown at once, however long the page took to draw before."""
    monkeypatch.setattr("untrained.serve.shelf.BUSY", 0.0)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    """With a run of three trials."""
    with Store.open(tmp_path / "store.db") as opened:
        begin(opened)
        for number in range(3):
            add_trial(opened, number)
        yield opened


@pytest.fixture
def client(tmp_path: Path) -> TestClient:
    return TestClient(app_of(Library(tmp_path)), LOCAL)


def parts_of(page: str) -> dict[str, str]:
    """The sections of a page."""
    found = re.findall(r'<section class="[^"]*" id="([^"]*)">(.*?)</section>', page, re.DOTALL)
    return dict(found)


def test_the_list_shows_every_run(store: Store, client: TestClient) -> None:
    begin(store, "second run")
    page = client.get("/").text
    assert page.index("second run") < page.index(">first<")  # the latest first
    assert 'href="/runs/second%20run"' in page
    assert "3 of 8 architectures tried" in page
    assert "interrupted" in page  # nobody is at work on it


def test_a_live_page_is_the_report(store: Store, client: TestClient, tmp_path: Path) -> None:
    train(store, 3)
    live = client.get("/runs/first").text
    report_run(RunFolder(tmp_path, "first"), tmp_path / "page.html")
    report = (tmp_path / "page.html").read_text(encoding="utf-8")
    shown = parts_of(live)
    assert shown == parts_of(report)
    assert {"progress", "headline", "search", "scores", "curves", "cost"} <= {*shown}
    assert "its &lt;b&gt;kernel&lt;/b&gt; is odd" in shown["scores"]
    assert "3 of 4 epochs" in shown["progress"]
    assert len(live) < 100_000 < len(report)  # which holds plotly.js


def test_a_run_that_has_ended_has_no_progress(store: Store, client: TestClient) -> None:
    train(store, 3)
    assert "progress" in parts_of(client.get("/runs/first").text)
    train(store, 4, done=True)
    said(store.where, "UPDATE runs SET ended = 1")
    shown = parts_of(client.get("/runs/first").text)
    assert "progress" not in shown
    assert "90.0%" in shown["headline"]
    assert ">ended<" in client.get("/").text


def test_events_tell_of_each_version_once(store: Store, tmp_path: Path) -> None:
    polls = iter(range(100))

    def ending() -> bool:
        poll = next(polls)
        if poll == 3:
            add_trial(store, 3)
        return poll == 9

    client = TestClient(app_of(Library(tmp_path), ending=ending), LOCAL)
    answer = client.get("/runs/first", headers={"accept": "text/event-stream"})
    assert answer.headers["content-type"].startswith("text/event-stream")
    first, second = re.findall(r"^data: (\w+)$", answer.text, re.MULTILINE)
    assert first != second
    assert f'data-version="{second}"' in client.get("/runs/first").text


def test_nothing_is_written(store: Store, client: TestClient, tmp_path: Path) -> None:
    def contents() -> dict[str, str]:
        files = (file for file in tmp_path.rglob("*") if file.suffix != ".db-shm")
        return {file.name: sha256(file.read_bytes()).hexdigest() for file in files}

    before = contents()
    for path in ("/", "/runs/first", "/compare?run=first&run=first", "/plotly.js"):
        client.get(path)
        for method in ("POST", "PUT", "DELETE", "PATCH"):
            assert client.request(method, path).status_code == 405
    assert contents() == before


def test_before_the_first_run_a_line_says_so(client: TestClient, tmp_path: Path) -> None:
    answer = client.get("/")
    assert answer.status_code == 200
    assert "No run yet" in answer.text
    assert not [*tmp_path.iterdir()]
    answer = client.get("/runs/first")
    assert (answer.status_code, "no store at" in answer.text) == (503, True)
    with Store.open(tmp_path / "store.db") as opened:
        begin(opened)
    assert ">first<" in client.get("/").text


@pytest.mark.parametrize(
    "path", ["/runs/none", "/trackings/none", "/trackings/%2E%2E", "/runs/..%2Fx"]
)
def test_what_is_not_there(path: str, store: Store, client: TestClient) -> None:
    assert client.get(path).status_code == 404


def test_a_damaged_run_is_named_and_the_others_are_shown(store: Store, client: TestClient) -> None:
    begin(store, "second")
    said(store.where, "UPDATE runs SET config = 'x' WHERE name = 'first'")
    page = client.get("/").text
    assert page.count("cannot be read") == 1
    assert "damaged in one place" in page
    assert "0 of 8 architectures tried" in page
    answer = client.get("/runs/first")
    assert answer.status_code == 503
    assert "damaged in one place" in parts_of(answer.text)["problem"]
    assert client.get("/runs/second").status_code == 200


def test_a_page_that_cannot_be_read_for_a_moment_stays(store: Store, tmp_path: Path) -> None:
    shelf = Shelf(Library(tmp_path))
    pages = iter([Page("<html>whole"), Page("<html>problem", 503), Page("<html>new")])
    first = shelf.get("/", lambda: next(pages))
    again = shelf.get("/", lambda: pytest.fail("nothing was written"))
    assert again is first
    for number, shown in ((3, "whole"), (4, "new")):
        add_trial(store, number)
        found = shelf.get("/", lambda: next(pages))
        assert found.page.html.endswith(shown)


def test_a_token_is_asked_for_and_kept_as_a_cookie(store: Store, tmp_path: Path) -> None:
    client = TestClient(app_of(Library(tmp_path), token="a-long-secret"), LOCAL)
    for path in ("/", "/?token=", "/?token=other", "/runs/first?token=s", "/plotly.js"):
        assert client.get(path).status_code == 401
    other = {"authorization": "Bearer other", "cookie": "untrained-token=other"}
    assert client.get("/", headers=other).status_code == 401
    given = {"token": "a-long-secret", "run": "a b"}
    answer = client.get("/runs/first", params=given, follow_redirects=False)
    assert (answer.status_code, answer.headers["location"]) == (303, "/runs/first?run=a+b")
    cookie = answer.headers["set-cookie"].lower()
    assert "httponly" in cookie
    assert "samesite=strict" in cookie
    assert client.get("/runs/first").status_code == 200  # by the cookie
    client.cookies.clear()
    assert client.get("/").status_code == 401
    bearer = {"authorization": "Bearer a-long-secret"}
    assert client.get("/", headers=bearer).status_code == 200


def test_without_a_token_other_names_are_refused(store: Store, tmp_path: Path) -> None:
    app = app_of(Library(tmp_path))
    for name in ("localhost", "127.0.0.1:80", "[::1]:8471"):
        assert TestClient(app, base_url=f"http://{name}").get("/").status_code == 200
    for name in ("evil.example", "localhost.evil.example", "192.168.0.1"):
        answer = TestClient(app, base_url=f"http://{name}").get("/")
        assert (answer.status_code, answer.text.count("\n")) == (421, 1)


def test_pages_may_load_from_this_server_alone(store: Store, client: TestClient) -> None:
    page = client.get("/").text
    policy = re.search(r'Content-Security-Policy" content="([^"]*)"', page)
    assert policy
    assert "default-src 'none'" in policy[1]
    assert "connect-src 'self'" in policy[1]
    assert "http" not in policy[1]
    assert client.get("/plotly.js").text.startswith("/**\n* plotly.js")


def test_runs_side_by_side(store: Store, client: TestClient) -> None:
    begin(store, "second", draws=5, options={"evaluations": 9})
    for number in range(2):
        add_trial(store, number, "second")
    page = client.get("/compare?run=first&run=second").text
    assert "2 runs compared" in page
    assert 'aria-label="Best a so far, by run"' in page
    settings = parts_of(page)["settings"]
    assert "options.evaluations" in settings
    assert "training.epochs" not in settings
    for few in ("/compare", "/compare?run=first", "/compare?run=first&run=first"):
        assert "expected 2 to 8 runs to compare" in client.get(few).text
    assert client.get("/compare?run=first&run=none").status_code == 404
    found = differences([load_record(store.where, name) for name in ("first", "second")])
    assert found == {"options.evaluations": ("8", "9"), "draws": ("–", "5")}  # noqa: RUF001


@pytest.mark.parametrize(
    ("config", "tried", "ended", "running", "found"),
    [
        ({}, 0, False, True, Reached("searching", 0, None, 0, 0, 0, 0)),
        ({"searcher": "evolution"}, 5, False, False, Reached("interrupted", 5, 100, 0, 0, 0, 0)),
        ({"searcher": "halving"}, 5, False, True, Reached("searching", 5, None, 0, 0, 0, 0)),
        ({"searcher": "a:B", "options": {"evaluations": 7}}, 7, True, False,
         Reached("ended", 7, 7, 0, 0, 0, 0)),
        ({"population": {"count": 9}, "train": True}, 9, True, False,
         Reached("interrupted", 9, 9, 0, 0, 0, 0)),
        ({"train": True}, 9, True, True, Reached("training", 9, None, 0, 0, 0, 0)),
    ],
)  # fmt: skip
def test_how_far_a_run_has_come(
    config: dict[str, object], tried: int, ended: bool, running: bool, found: Reached
) -> None:
    selected = CELLS[0] if ended else None
    given = reached(config, tried, (), ended=ended, selected=selected, running=running)
    assert given == found


def test_a_search_that_could_choose_nothing_has_nothing_to_train() -> None:
    found = reached({"train": True}, 9, (), ended=True, selected=None, running=False)
    assert found.state == "ended"


def test_any_commit_changes_the_state(address: Path | str, tmp_path: Path) -> None:
    changes = Changes(address)
    with Store.open(address) as opened:
        begin(opened)
        states = [changes.state(), changes.state()]
        for number in range(5):
            add_trial(opened, number)
            states.append(changes.state())
    assert states[0] == states[1]
    assert len({*states}) == 6
    changes.close()
    library = Library(tmp_path, address if isinstance(address, str) else None)
    assert [run.reached and run.reached.tried for run in library.summaries()] == [5]


def test_wrong_use_is_told_in_a_line(tmp_path: Path) -> None:
    library = Library(tmp_path)
    with pytest.raises(ValueError, match=r"port: expected .* got 70000"):
        serve(library, port=70_000)
    with pytest.raises(ValueError, match="token: expected 12 letters or more"):
        serve(library, port=0, token="short")
    with pytest.raises(OSError, match=r"cannot listen at 203\.0\.113\.1, port 0: .*--port"):
        serve(library, host="203.0.113.1", port=0)
    with pytest.raises(ValueError, match="store: expected a file"):
        Library(tmp_path, "mysql://here/it")
