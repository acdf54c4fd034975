"""A server of the pages, until it is interrupted."""

import ipaddress
import secrets
from collections.abc import Callable
from urllib.parse import quote

from untrained.serve.guard import LOCAL
from untrained.serve.library import Library
from untrained.settings import check_range


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
        token: what visitors must have; empty for none on this machine, and for a random one at
            any other address.
        on_ready: called with the address to open, which holds the token.

    Raises:
        ValueError: an address that makes no sense, or what `untrained[serve]` brings is missing.
        OSError: the address cannot be listened at.
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
    token = token or ("" if is_local(host) else secrets.token_urlsafe())
    app = app_of(library, token=token, ending=lambda: server.should_exit)
    config = uvicorn.Config(
        app, host=host, port=port, log_level="warning", lifespan="off", server_header=False,
        timeout_graceful_shutdown=2,
    )  # fmt: skip
    server = uvicorn.Server(config)
    try:
        listening = config.bind_socket()
    except SystemExit as error:  # uvicorn logs why
        raise OSError(
            f"cannot listen at {host} port {port}: choose another --port, or the --host of this "
            f"machine"
        ) from error
    on_ready(address_of(host, listening.getsockname()[1], token))
    server.run(sockets=[listening])


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
