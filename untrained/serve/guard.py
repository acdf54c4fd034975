"""Who may look: anybody on this machine, or whoever has the token."""

import hmac
from collections.abc import Collection
from http.cookies import CookieError, SimpleCookie
from urllib.parse import parse_qsl, urlencode

from starlette.datastructures import Headers
from starlette.responses import PlainTextResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Receive, Scope, Send

from untrained.serve.server import LOCAL

COOKIE = "untrained-token"


class Guard:
    """Lets requests pass that have the token, or, without one, that name this machine.

    The latter keeps out pages of other sites, whose names may be made to mean this machine.
    A token comes as `?token=...` once, which leaves a cookie, or as `Authorization: Bearer ...`.
    """

    def __init__(self, app: ASGIApp, token: str = "", names: Collection[str] = LOCAL) -> None:
        """Guards an application.

        Args:
            app: what is guarded.
            token: what is asked for; empty for nothing.
            names: of hosts that are answered without a token.
        """
        self.app = app
        self.token = token
        self.names = names

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answers a request, or has it answered."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        refused = self._refused(scope)
        await (refused or self.app)(scope, receive, send)

    def _refused(self, scope: Scope) -> Response | None:
        headers = Headers(scope=scope)
        if not self.token:
            name = host_of(headers.get("host", ""))
            expected = f"expected the host {' or '.join(self.names)}, got {name!r}\n"
            return None if name in self.names else PlainTextResponse(expected, 421)
        asked = parse_qsl(scope["query_string"].decode("latin-1"), keep_blank_values=True)
        given = [value for name, value in asked if name == "token"]
        if given and self._is_token(given[0]):
            rest = urlencode([pair for pair in asked if pair[0] != "token"])
            return self._welcome(scope["path"] + (f"?{rest}" if rest else ""))
        if self._is_token(_bearer(headers)) or self._is_token(_cookie(headers)):
            return None
        return PlainTextResponse(
            "expected the token that untrained serve printed: open the address with ?token=...\n",
            401,
        )

    def _is_token(self, given: str) -> bool:
        return hmac.compare_digest(given.encode(errors="replace"), self.token.encode())

    def _welcome(self, path: str) -> Response:
        """The same page without the token in its address, which histories and logs would keep."""
        answer = RedirectResponse("/" + path.lstrip("/"), 303)
        answer.set_cookie(COOKIE, self.token, httponly=True, samesite="strict")
        return answer


def host_of(header: str) -> str:
    """The name in a Host header, without the port.

    Example:
        >>> [host_of(h) for h in ("localhost:8000", "[::1]:8000", "[::1]", "EXAMPLE.org")]
        ['localhost', '::1', '::1', 'example.org']
    """
    if header.startswith("["):
        return header[1:].partition("]")[0]
    return header.partition(":")[0].lower()


def _bearer(headers: Headers) -> str:
    kind, _, token = headers.get("authorization", "").partition(" ")
    return token if kind.lower() == "bearer" else ""


def _cookie(headers: Headers) -> str:
    try:
        found = SimpleCookie(headers.get("cookie", ""))
    except CookieError:
        return ""
    return found[COOKIE].value if COOKIE in found else ""
