"""The address that a server listens to."""

import socket
from urllib.parse import urlunsplit

from onelook.errors import OnelookError


def find_port(host: str, port: int) -> int:
    """Check that a port can be listened to, and return it, or a free one for 0.

    Raises:
        OnelookError: the port is in use or not allowed, or the host is not an address of this machine.
    """
    try:
        with socket.create_server((host, port), family=socket.AF_INET6 if ":" in host else socket.AF_INET) as probe:
            return int(probe.getsockname()[1])
    except OSError as error:
        raise OnelookError(f"{host}:{port}: cannot be listened to ({error.strerror}); name another --port") from error


def format_address(host: str, port: int) -> str:
    """Return the URL of a server."""
    return urlunsplit(("http", f"[{host}]:{port}" if ":" in host else f"{host}:{port}", "", "", ""))
