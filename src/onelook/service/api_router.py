"""ASGI middleware that sends the requests of the API past the page."""

from starlette.types import ASGIApp, Receive, Scope, Send

_PATHS = ("/api/", "/health", "/metrics")


class ApiRouter:
    """ASGI middleware that serves the paths of the API by one application, and the others by the page."""

    def __init__(self, app: ASGIApp, api: ASGIApp) -> None:
        """Take the two applications.

        Args:
            app: the page.
            api: see `onelook.service.app.create_api`.
        """
        self._app = app
        self._api = api

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request to the API or to the page; web sockets and the server's events are the page's."""
        is_api = scope["type"] == "http" and scope["path"].startswith(_PATHS)
        await (self._api if is_api else self._app)(scope, receive, send)
