"""The live page in Chromium: what a reader sees and does."""

import re
import time
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import pytest
from served import CHROMIUM, add_trial, begin, serving, train

from untrained.storage.store import Store

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

pytestmark = [
    pytest.mark.cluster,
    pytest.mark.skipif(CHROMIUM is None, reason="there is no Chromium: apt-get install it"),
]

REACHED = "a[href], button:not([hidden]), input, summary, [tabindex='0']"
NAMED = "(each) => each.innerText || each.ariaLabel || ''"


@pytest.fixture(scope="module")
def browser() -> "Iterator[Browser]":
    """Chromium, without a window."""
    driver = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    with driver.sync_playwright() as playwright:
        found = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield found
        found.close()


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    """With two runs, one of them in training."""
    with Store.open(tmp_path / "store.db") as opened:
        for name in ("second", "first"):
            begin(opened, name)
            for number in range(3):
                add_trial(opened, number, name)
        train(opened, 2, "second")
        yield opened


@pytest.fixture
def address(store: Store, tmp_path: Path) -> Iterator[str]:
    with serving(tmp_path) as found:
        yield found


@pytest.fixture
def page(browser: "Browser", address: str) -> "Iterator[Page]":
    """A tab; at the end nothing was complained of, nor asked of another machine."""
    said: list[str] = []
    asked: set[str] = set()
    context = browser.new_context(base_url=address, viewport={"width": 390, "height": 844})
    tab = context.new_page()
    tab.on("console", lambda message: said.append(message.text))
    tab.on("pageerror", lambda error: said.append(str(error)))
    tab.on("request", lambda request: asked.add(urlsplit(request.url).netloc))
    yield tab
    context.close()
    assert said == []
    assert asked <= {urlsplit(address).netloc, ""}  # of data:


def opened(page: "Page", path: str) -> None:
    page.goto(path)
    page.wait_for_selector("html[data-drawn]", state="attached")


def brightness(page: "Page", of: str) -> int:
    """Of a colour of the body: the sum of its components."""
    colour: str = page.evaluate(f"getComputedStyle(document.body).{of}")
    return sum(map(int, re.findall(r"\d+", colour)))


def shown_after(page: "Page", words: str) -> float:
    """Seconds until the progress says these words."""
    begun = time.monotonic()
    page.locator("#progress", has_text=words).wait_for(timeout=10_000)
    return time.monotonic() - begun


def test_an_update_appears_within_a_second(page: "Page", store: Store) -> None:
    opened(page, "/runs/first")
    seconds = []
    for number in range(3, 7):
        add_trial(store, number)
        seconds.append(shown_after(page, f"{number + 1} of 8 architectures tried"))
    assert min(seconds) < 1.0
    train(store, 3, "first")
    page.locator("#curves .main-svg").first.wait_for()  # a chart that was not there before


def test_every_page_fits_a_phone_and_a_dark_room(page: "Page") -> None:
    for path in ("/", "/runs/second", "/compare?run=first&run=second"):
        for width, mode in ((390, "dark"), (1280, "light")):
            page.set_viewport_size({"width": width, "height": 844})
            page.emulate_media(color_scheme=mode)  # type: ignore[arg-type]
            opened(page, path)
            root = "document.documentElement"
            assert page.evaluate(f"{root}.scrollWidth - {root}.clientWidth") <= 0, (path, width)
            paper, ink = (brightness(page, of) for of in ("backgroundColor", "color"))
            assert (paper < ink) == (mode == "dark")


def test_the_keyboard_reaches_everything_and_all_has_a_name(page: "Page") -> None:
    for path in ("/", "/runs/second"):
        opened(page, path)
        visible = page.locator(REACHED).filter(visible=True)
        names = visible.evaluate_all(f"all => all.map({NAMED})")
        assert all(names), names
        reached = []
        for _ in names:
            page.keyboard.press("Tab")
            reached.append(
                page.evaluate(
                    f"[document.activeElement].map((each) => [({NAMED})(each),"
                    " getComputedStyle(each).outlineStyle])[0]"
                )
            )
        assert [name for name, _ in reached] == names
        assert {outline for _, outline in reached} == {"solid"}
        assert names[0] == "Skip to the content"
        charts = page.locator(".plot")
        assert all(charts.evaluate_all("all => all.map((each) => each.ariaLabel)"))
        headings = page.locator("h1, h2, h3").evaluate_all("all => all.map((h) => +h.tagName[1])")
        assert headings[0] == 1
        assert headings.count(1) == 1
        assert all(b - a <= 1 for a, b in pairwise(headings))


def test_what_a_reader_has_done_outlasts_an_update(page: "Page", store: Store) -> None:
    opened(page, "/runs/first")
    chart = "document.querySelector('#search .plot')"
    page.evaluate(f"{chart}.kept = Plotly.relayout({chart}, {{'xaxis.range': [0.5, 1.5]}})")
    add_trial(store, 3)
    shown_after(page, "4 of 8")
    while page.evaluate(f"{chart}.data[0].x.length") < 4:
        page.wait_for_timeout(20)
    assert page.evaluate(f"{chart}.layout.xaxis.range") == [0.5, 1.5]
    assert page.evaluate(f"'kept' in {chart}")
    opened(page, "/")
    box = page.get_by_label("Compare first")
    box.check()
    box.focus()
    add_trial(store, 4)
    page.locator("#runs", has_text="5 of 8").wait_for()
    assert box.is_checked()
    assert box.evaluate("each => each === document.activeElement")


def test_a_server_that_is_gone_is_said(browser: "Browser", store: Store, tmp_path: Path) -> None:
    tab = browser.new_page()
    with serving(tmp_path) as address:
        opened(tab, address)
        tab.get_by_role("status").filter(has_text="Live").wait_for()
    tab.get_by_role("status").filter(has_text="does not answer").wait_for()
    tab.close()


def test_a_token_in_the_address_is_exchanged(
    browser: "Browser", store: Store, tmp_path: Path
) -> None:
    tab = browser.new_page()
    with serving(tmp_path, token="a-long-secret") as address:
        opened(tab, address)
        assert "secret" not in tab.url
        tab.get_by_role("link", name="second").click()
        tab.wait_for_url("**/runs/second")
        shown_after(tab, "3 of 8")
        tab.close()
