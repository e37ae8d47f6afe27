"""Limits of the API, per request and for all requests together."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass

from onelook.data.image_io import MAX_PIXELS
from onelook.service.errors import ApiError

MEBIBYTE = 2**20
_RETRY = {"Retry-After": "1"}  # seconds


@dataclass(frozen=True)
class Limits:
    """The limits of the API.

    Attributes:
        max_upload: bytes of the body of a request.
        max_requests: requests in progress.
        max_photos: photos of a request.
        upload_seconds: time in which a body must arrive.
        request_seconds: time in which the answer must begin, the upload included.
    """

    max_upload: int = 32 * MEBIBYTE
    max_requests: int = 64
    max_photos: int = 16
    upload_seconds: float = 60.0
    request_seconds: float = 180.0

    @property
    def max_client_requests(self) -> int:
        """Return the number of requests in progress of one address: no client takes more than half of the places."""
        return (self.max_requests + 1) // 2

    @property
    def max_uploads(self) -> int:
        """Return the bytes of all bodies in memory."""
        return 8 * self.max_upload

    @property
    def max_pixels(self) -> int:
        """Return the pixels of all decoded photos in memory; further photos wait until there is room."""
        return 4 * MAX_PIXELS


class Admission:
    """Count of the requests, bytes and pixels in progress; for one event loop."""

    def __init__(self, limits: Limits) -> None:
        """Take the limits."""
        self.limits = limits
        self._clients: Counter[str] = Counter()
        self._bytes = 0
        self._pixels = 0
        self._has_room = asyncio.Condition()

    @property
    def requests(self) -> int:
        """Return the number of requests in progress."""
        return self._clients.total()

    @contextmanager
    def request(self, client: str) -> Iterator[None]:
        """Admit a request.

        Args:
            client: address of the client.

        Raises:
            ApiError: 429: the client has too many requests in progress; 503: all clients together have.
        """
        if self.requests >= self.limits.max_requests:
            raise ApiError(503, f"busy with {self.requests} requests; try again later", _RETRY)
        if self._clients[client] >= self.limits.max_client_requests:
            raise ApiError(429, f"{self._clients[client]} of your requests are in progress; wait for one", _RETRY)
        self._clients[client] += 1
        try:
            yield
        finally:
            self._clients[client] -= 1
            if not self._clients[client]:
                del self._clients[client]

    @asynccontextmanager
    async def decoded_photo(self) -> AsyncIterator[Callable[[int], None]]:
        """Wait until the largest photo has room; the yielded function takes the pixels that it really has.

        While a caller holds the pixels of a photo, it must not wait for those of another.
        """
        async with self._has_room:
            await self._has_room.wait_for(lambda: self._pixels + MAX_PIXELS <= self.limits.max_pixels)
            self._pixels += MAX_PIXELS
        held = MAX_PIXELS

        def set_pixels(pixels: int) -> None:
            nonlocal held
            self._pixels += pixels - held
            held = pixels

        try:
            yield set_pixels
        finally:
            set_pixels(0)
            async with self._has_room:
                self._has_room.notify_all()

    def check_upload(self, count: int) -> None:
        """Check the length of a body.

        Raises:
            ApiError: 413: it is too large.
        """
        if count > self.limits.max_upload:
            most = f"{self.limits.max_upload / MEBIBYTE:.3g} MiB"
            raise ApiError(413, f"the upload is larger than {most}; scale the photos down, or send fewer at once")

    def add_bytes(self, count: int) -> None:
        """Count received bytes, or with a negative number those that are not in memory any more.

        Raises:
            ApiError: 503: all bodies together are too large.
        """
        self._bytes += count
        if count > 0 and self._bytes > self.limits.max_uploads:
            raise ApiError(503, "busy with many uploads; try again later", _RETRY)
