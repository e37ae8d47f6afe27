"""ASGI middleware that gives each browser a secret token in a cookie, by which it finds its photos again."""

import re
import secrets

from starlette.datastructures import MutableHeaders
from starlette.requests import HTTPConnection
from starlette.types import ASGIApp, Message, Receive, Scope, Send

_SCOPE_KEY = "onelook.session"
_TOKEN = re.compile(r"[A-Za-z0-9_-]{43}")


class SessionCookie:
    """ASGI middleware that reads the token of a browser, and sets one with the first page."""

    def __init__(self, app: ASGIApp, port: int) -> None:
        """Wrap an application.

        Args:
            app: the application.
            port: port of the server. Cookies are shared by all ports of a host, so it is part of the cookie's name.
        """
        self._app = app
        self._name = f"onelook_{port}"

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Put the token of a request into its scope; add the cookie to a page where the browser has none."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        presented = HTTPConnection(scope).cookies.get(self._name, "")
        is_known = _TOKEN.fullmatch(presented) is not None
        token = presented if is_known else secrets.token_urlsafe(32)
        scope[_SCOPE_KEY] = token

        async def send_with_cookie(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                if headers.get("content-type", "").startswith("text/html"):
                    headers.append("Set-Cookie", f"{self._name}={token}; Path=/; HttpOnly; SameSite=Strict")
            await send(message)

        await self._app(scope, receive, send if is_known else send_with_cookie)


def session_token(connection: HTTPConnection) -> str:
    """Return the token of the browser that sent a request."""
    token: str = connection.scope[_SCOPE_KEY]
    return token
