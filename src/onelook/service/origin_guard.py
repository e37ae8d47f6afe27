"""ASGI middleware that admits only the page's own requests: checks of Host and Origin, and a CSP header.

Any web page can make its visitor's browser send requests to this machine.

- It cannot read the responses unless its own domain is made to resolve to this machine (DNS rebinding). The Host
  header then holds the foreign domain.
- It can send requests. The Origin header then holds the foreign page's origin.

Reference: OWASP, "Cross-Site Request Forgery Prevention", verifying the origin with standard headers.
"""

from ipaddress import ip_address
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

POLICY = (
    "default-src 'self' 'unsafe-inline' 'unsafe-eval'; img-src 'self' data:; frame-ancestors 'none'; base-uri 'none'"
)
"""Content security policy: even a mistake in the page loads nothing from elsewhere, and no other page can frame it."""


class OriginGuard:
    """ASGI middleware that refuses requests and web sockets from other origins.

    A request is admitted if its Host header is an IP address, `localhost` or the configured host, and each Origin
    header, if there is one, is `http://` and that same host and port.
    """

    def __init__(self, app: ASGIApp, host: str) -> None:
        """Wrap an application.

        Args:
            app: the application to guard.
            host: host name or address that the server listens to.
        """
        self._app = app
        self._host = host.lower()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass an admitted request on and add the security headers; answer others with 403."""
        if scope["type"] not in ("http", "websocket"):
            await self._app(scope, receive, send)
        elif self._is_admitted(Headers(scope=scope)):
            await self._app(scope, receive, send if scope["type"] == "websocket" else _with_security_headers(send))
        elif scope["type"] == "http":
            refusal = "refused: open this page by the address that `onelook serve` printed\n"
            await PlainTextResponse(refusal, 403)(scope, receive, send)
        else:
            await receive()
            await send({"type": "websocket.close", "code": 1008})

    def _is_admitted(self, headers: Headers) -> bool:
        host = headers.get("host", "")
        origins = headers.getlist("origin")
        return self._is_own_host(host) and all(origin.lower() == f"http://{host.lower()}" for origin in origins)

    def _is_own_host(self, host: str) -> bool:
        """Return whether a Host header names this server.

        An IP address always does: no name was resolved, so DNS rebinding is impossible.
        """
        try:
            name = urlsplit(f"//{host}").hostname or ""
        except ValueError:
            return False
        try:
            ip_address(name)
        except ValueError:
            return name in ("localhost", self._host)
        return True


def _with_security_headers(send: Send) -> Send:
    async def send_with_headers(message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = MutableHeaders(scope=message)
            headers["Content-Security-Policy"] = POLICY
            headers["Referrer-Policy"] = "no-referrer"
            headers["X-Content-Type-Options"] = "nosniff"
        await send(message)

    return send_with_headers
