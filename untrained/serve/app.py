"""The pages over HTTP: each as HTML, and at the same address as events that tell of a new one."""

import time
from collections.abc import AsyncIterator, Callable, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote

import anyio
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response, StreamingResponse
from starlette.routing import Route

from untrained.outside import command_line, without_password
from untrained.pages.packed import PLOTLY
from untrained.pages.page import PAGE as RUN_PAGE
from untrained.pages.side_by_side import side_by_side_parts
from untrained.pages.stored import run_parts, track_parts
from untrained.pages.tracked_page import PAGE as TRACK_PAGE
from untrained.pages.writing import Live, render
from untrained.serve.guard import Guard
from untrained.serve.library import Library
from untrained.serve.shelf import Page, Shelf

HERE = Path(__file__).parent
POLL = 0.2
"Seconds between looks for a change."
QUIET = 15.0
"Seconds after which a line that means nothing keeps a connection alive."

Parts = Mapping[str, Any]
Draw = Callable[[Library, Request], Page]


def app_of(
    library: Library, *, token: str = "", ending: Callable[[], bool] = lambda: False
) -> Starlette:
    """The application: it answers GET alone, and writes nothing.

    Args:
        library: what it shows.
        token: what is asked for; empty for nothing, and then this machine's names alone are
            answered.
        ending: whether the server is to end, so that events do.
    """
    shelf = Shelf(library)
    pages = {"/": _runs, "/runs/{name}": _run, "/trackings/{name}": _tracking,
             "/compare": _compared}  # fmt: skip

    def route(draw: Draw) -> Callable[[Request], Any]:
        async def answer(request: Request) -> Response:
            def drawn() -> Page:
                return _explained(draw, library, request)

            address = f"{request.url.path}?{request.url.query}"
            if "text/event-stream" in request.headers.get("accept", ""):
                return StreamingResponse(
                    _versions(shelf, address, drawn, ending),
                    media_type="text/event-stream",
                    headers={"Cache-Control": "no-store"},
                )
            kept = await run_in_threadpool(shelf.get, address, drawn)
            return HTMLResponse(kept.page.html, kept.page.status, {"Cache-Control": "no-store"})

        return answer

    return Starlette(
        routes=[*(Route(path, route(draw)) for path, draw in pages.items()),
                Route("/plotly.js", _plotly)],
        middleware=[Middleware(Guard, token=token)],
    )  # fmt: skip


async def _versions(
    shelf: Shelf, address: str, draw: Callable[[], Page], ending: Callable[[], bool]
) -> AsyncIterator[str]:
    """An event for each version of a page, the present one first."""
    seen, told = "", time.monotonic()
    while not ending():
        kept = await run_in_threadpool(shelf.get, address, draw)
        if kept.version != seen:
            seen, told = kept.version, time.monotonic()
            yield f"data: {seen}\n\n"
        elif time.monotonic() - told > QUIET:
            told = time.monotonic()
            yield ":\n\n"
        await anyio.sleep(POLL)


def _plotly(request: Request) -> Response:
    headers = {"Content-Encoding": "gzip", "Cache-Control": "max-age=86400"}
    return Response(PLOTLY.read_bytes(), media_type="text/javascript", headers=headers)


def _explained(draw: Draw, library: Library, request: Request) -> Page:
    """A page, or one that says in a line why there is none."""
    try:
        return draw(library, request)
    except KeyError as error:
        return _problem("Not found", f"there is no run or tracking {error.args[0]!r} here", 404)
    except (ValueError, OSError) as error:
        return _problem("This page cannot be shown at present", str(error), 503)


def _problem(title: str, problem: str, status: int) -> Page:
    return Page(_rendered("problem.html.j2", {"title": title, "problem": problem}), status)


def _rendered(template: str, parts: Parts, home: str = "/") -> str:
    return render(template, folder=HERE, live=Live("/plotly.js", home), **parts)


def _runs(library: Library, request: Request) -> Page:
    where = without_password(str(library.address))
    parts = {"where": where, "runs": library.summaries(), "trackings": library.trackings()}
    return Page(_rendered("runs.html.j2", parts, home=""))


def _run(library: Library, request: Request) -> Page:
    name = request.path_params["name"]
    [record] = library.runs([name])
    store = () if library.store is None else ("--store", library.store)
    command = command_line("untrained", "report", str(library.out / name), *store)
    return Page(
        _rendered(
            RUN_PAGE,
            run_parts(record, beside=_address, command=command, folder=library.out / name),
        )
    )


def _tracking(library: Library, request: Request) -> Page:
    folder = library.tracking(request.path_params["name"])
    return Page(_rendered(TRACK_PAGE, track_parts(folder)))


def _compared(library: Library, request: Request) -> Page:
    names = list(dict.fromkeys(request.query_params.getlist("run")))
    links = {name: _address(name) for name in names}
    parts = side_by_side_parts(library.runs(names), links)
    return Page(_rendered("side_by_side.html.j2", parts))


def _address(name: str) -> str:
    return f"/runs/{quote(name, safe='', errors='surrogateescape')}"
