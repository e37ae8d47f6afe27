"""ASGI middleware that bounds the time of a request, and the size of its body."""

import asyncio

from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

MAX_JSON_BYTES = 2**16
"""Most bytes of a body that is not a form of photos: names and keys."""
BOUNDED_BODY = "onelook.bounded_body"
"""Key in the scope of a request whose endpoint bounds the body itself; a header of the client cannot set it."""


class RequestLimits:
    """ASGI middleware that answers 503 to a request that takes too long, and 413 to a JSON body that is too large.

    The bodies of forms are bounded where they are read (`photo_form`), which sets `BOUNDED_BODY`. WebSockets are not
    bounded.
    """

    def __init__(self, app: ASGIApp, seconds: float, max_json_bytes: int | None = MAX_JSON_BYTES) -> None:
        """Take the application, the time of a request, and the bytes of a JSON body.

        Args:
            app: the application.
            seconds: time in which a request is answered. An answer that has begun by then is cut off.
            max_json_bytes: most bytes of a body that no endpoint bounds; None: the application bounds its bodies.
        """
        self._app = app
        self._seconds = seconds
        self._max_json_bytes = max_json_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request within the limits."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        has_begun = is_too_large = False
        max_bytes = self._max_json_bytes
        received = 0

        async def receive_bounded() -> Message:
            nonlocal received, is_too_large
            message = await receive()
            received += len(message.get("body", b""))
            if max_bytes is not None and received > max_bytes and BOUNDED_BODY not in scope:
                is_too_large = True
                raise ValueError("the body is too large")
            return message

        async def send_bounded(message: Message) -> None:
            nonlocal has_begun
            if is_too_large and not has_begun:
                return  # the application answers that it cannot parse the body
            has_begun = True
            await send(message)

        async def answer(status: int, text: str) -> None:
            if not has_begun:
                await JSONResponse({"error": text}, status)(scope, receive, send)

        try:
            async with asyncio.timeout(self._seconds) as deadline:
                await self._app(scope, receive_bounded, send_bounded)
        except (TimeoutError, ValueError):
            if not deadline.expired() and not is_too_large:
                raise
        if is_too_large:
            await answer(413, "the body is larger than 64 KiB; send the photos as a multipart form")
        elif deadline.expired():
            await answer(503, "this took too long; try again later, or with a smaller photo")
