"""A server of the pages, until it is interrupted."""

import ipaddress
import re
import secrets
from collections.abc import Callable
from socket import AF_INET, AF_INET6, create_server, socket
from typing import TYPE_CHECKING
from urllib.parse import quote

from untrained.serve.library import Library
from untrained.settings import check_range

if TYPE_CHECKING:
    import uvicorn


LOCAL = ("localhost", "127.0.0.1", "::1")
"Names of this machine, to itself."
TOKEN = re.compile(r"[A-Za-z0-9_-]{12,}")


def serve(
    library: Library,
    *,
    host: str = "127.0.0.1",
    port: int = 8471,
    token: str = "",
    on_ready: Callable[[str], None] = lambda address: None,
) -> None:
    """Serves the pages of a library until SIGINT or SIGTERM.

    Args:
        library: what is shown.
        host: address to listen at.
        port: 0 to 65535; 0 is any that is free.
        token: what visitors must have, 12 letters or more; empty for none on this machine, and
            for a random one at any other address.
        on_ready: called with the address to open, which holds the token.

    Raises:
        ValueError: an address that makes no sense, or what `untrained[serve]` brings is missing.
        OSError: the address cannot be listened at.
    """
    server, listening, address = server_of(library, host, port, token)
    try:
        on_ready(address)
        server.run(sockets=[listening])
    finally:
        library.changes.close()


def server_of(
    library: Library, host: str, port: int, token: str
) -> "tuple[uvicorn.Server, socket, str]":
    """A server that listens and is yet to run, its socket, and what to open in a browser.

    Raises:
        ValueError, OSError: as `serve`.
    """
    check_range("port", port, 0, 65535)
    try:
        import uvicorn

        from untrained.serve.app import app_of
    except ModuleNotFoundError as error:
        raise ValueError(
            f"serve: expected the library {error.name}, got none; try pip install "
            f"'untrained[serve]'"
        ) from error
    if token and not TOKEN.fullmatch(token):
        raise ValueError(
            "token: expected 12 letters or more, of A-Z, a-z, 0-9, - and _, got another; leave it "
            "out for a random one"
        )
    token = token or ("" if is_local(host) else secrets.token_urlsafe())
    app = app_of(library, token=token, ending=lambda: server.should_exit)
    server = uvicorn.Server(
        uvicorn.Config(
            app,
            log_level="warning",
            lifespan="off",
            server_header=False,
            timeout_graceful_shutdown=2,
        )
    )
    listening = _listening(host, port)
    return server, listening, address_of(host, listening.getsockname()[1], token)


def _listening(host: str, port: int) -> socket:
    try:
        return create_server((host, port), family=AF_INET6 if ":" in host else AF_INET)
    except OSError as error:
        raise OSError(
            f"cannot listen at {host}, port {port}: {error.strerror or error}; choose another "
            f"--port, or a --host of this machine"
        ) from error


def is_local(host: str) -> bool:
    """Whether the address can be reached from this machine alone.

    Example:
        >>> [is_local(host) for host in ("127.0.0.1", "localhost", "::1", "0.0.0.0", "example")]
        [True, True, True, False, False]
    """
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host in LOCAL


def address_of(host: str, port: int, token: str) -> str:
    """What to open in a browser.

    Example:
        >>> address_of("::1", 80, ""), address_of("0.0.0.0", 8471, "a b")
        ('http://[::1]:80/', 'http://0.0.0.0:8471/?token=a%20b')
    """
    name = f"[{host}]" if ":" in host else host
    return f"http://{name}:{port}/" + (f"?token={quote(token, safe='')}" if token else "")
