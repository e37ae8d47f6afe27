"""Who may talk to a server on one's own machine: its own pages, and no others that a browser happens to show.

A foreign web page can have its browser ask any address. It cannot read the answers, unless its own name is made to
point here (DNS rebinding): then the Host header tells that foreign name. It can send: then the Origin header tells it.
"""

from ipaddress import ip_address
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

# Said to the browser, so that even a mistake in the page fetches nothing from elsewhere, and nobody frames it.
POLICY = (
    "default-src 'self' 'unsafe-inline' 'unsafe-eval'; img-src 'self' data:; frame-ancestors 'none'; base-uri 'none'"
)


class OriginGuard:
    """Refuses every request, and every web socket, that does not come to this server by name from its own page."""

    def __init__(self, app: ASGIApp, host: str) -> None:
        """Take the application to guard and the name that the server was told to listen to."""
        self._app = app
        self._host = host.lower()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer 403, or pass the request on and add the policy to its answer."""
        if scope["type"] not in ("http", "websocket"):
            await self._app(scope, receive, send)
        elif self._admits(Headers(scope=scope)):
            await self._app(scope, receive, send if scope["type"] == "websocket" else _with_policy(send))
        elif scope["type"] == "http":
            refusal = "refused: open this page by the address that `onelook serve` printed\n"
            await PlainTextResponse(refusal, 403)(scope, receive, send)
        else:
            await receive()
            await send({"type": "websocket.close", "code": 1008})

    def _admits(self, headers: Headers) -> bool:
        host = headers.get("host", "")
        origins = headers.getlist("origin")
        return self._is_ours(host) and all(origin.lower() == f"http://{host.lower()}" for origin in origins)

    def _is_ours(self, host: str) -> bool:
        """Whether a Host header names this server; an address in numbers does, as no name was resolved to get here."""
        try:
            name = urlsplit(f"//{host}").hostname or ""
        except ValueError:
            return False
        try:
            ip_address(name)
        except ValueError:
            return name in ("localhost", self._host)
        return True


def _with_policy(send: Send) -> Send:
    async def told(message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = MutableHeaders(scope=message)
            headers["Content-Security-Policy"] = POLICY
            headers["Referrer-Policy"] = "no-referrer"
            headers["X-Content-Type-Options"] = "nosniff"
        await send(message)

    return told
