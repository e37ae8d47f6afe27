"""Metrics for Prometheus, and one line of JSON for each request; neither holds a name, a file name or an address."""

import json
import logging
import secrets
import time
import traceback
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from starlette.datastructures import MutableHeaders
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

logger = logging.getLogger(__name__)

_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)


class Metrics:
    """The metrics of one API, in a registry of their own."""

    def __init__(self, requests_in_progress: Callable[[], int], largest_batch: int) -> None:
        """Create the metrics at zero.

        Args:
            requests_in_progress: returns the value of that metric.
            largest_batch: most photos of a batch.
        """
        self._registry = CollectorRegistry()
        labels = ["method", "route", "status"]
        self.requests = Counter("onelook_requests", "Requests", labels, registry=self._registry)
        self.seconds = Histogram(
            "onelook_request_seconds", "Time of a request", ["route"], buckets=_SECONDS, registry=self._registry
        )
        self.received = Counter("onelook_received_bytes", "Bytes of uploads", registry=self._registry)
        self.faces = Counter("onelook_faces", "Detected faces", registry=self._registry)
        sizes = [2.0**power for power in range(largest_batch.bit_length())]
        self.batch_size = Histogram("onelook_batch_photos", "Photos of a batch", buckets=sizes, registry=self._registry)
        in_progress = Gauge("onelook_requests_in_progress", "Requests in progress", registry=self._registry)
        in_progress.set_function(requests_in_progress)

    def to_text(self) -> bytes:
        """Return the metrics in the text format of Prometheus."""
        return generate_latest(self._registry)


class Telemetry:
    """ASGI middleware that counts and logs requests, and answers those that failed with 500."""

    def __init__(self, app: ASGIApp, metrics: Metrics, log: Callable[[str], None]) -> None:
        """Wrap an application.

        Args:
            app: the application.
            metrics: its metrics.
            log: writes a line.
        """
        self._app = app
        self._metrics = metrics
        self._log = log

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request, with an X-Request-ID header that its line of the log has, too."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        state = scope.setdefault("state", {})
        state |= {"received": 0, "faces": 0}
        request_id, status, failure = secrets.token_hex(8), 0, None
        began = time.monotonic()

        async def send_with_id(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                MutableHeaders(scope=message)["X-Request-ID"] = request_id
            await send(message)

        try:
            await self._app(scope, receive, send_with_id)
        except Exception as error:  # its text may hold a name, so the log has only its place
            failure = _describe_place(error)
            logger.debug("request %s failed", request_id, exc_info=error)
            if status == 0:
                body = {"error": f"this request failed in the server; its log has the request {request_id}"}
                await JSONResponse(body, 500)(scope, receive, send_with_id)
        finally:
            seconds = time.monotonic() - began
            route = getattr(scope.get("route"), "path", "unknown")
            self._count(scope["method"], route, status, seconds, state)
            line = {
                "time": datetime.now(UTC).isoformat(timespec="milliseconds"),
                "request": request_id,
                "method": scope["method"],
                "route": route,
                "status": status,
                "seconds": round(seconds, 4),
                "bytes": state["received"],
                "faces": state["faces"],
            }
            self._log(json.dumps(line if failure is None else {**line, "error": failure}))

    def _count(self, method: str, route: str, status: int, seconds: float, state: dict[str, int]) -> None:
        known = method if method in ("GET", "POST", "PATCH", "DELETE") else "other"
        self._metrics.requests.labels(known, route, str(status)).inc()
        self._metrics.seconds.labels(route).observe(seconds)
        self._metrics.received.inc(state["received"])
        self._metrics.faces.inc(state["faces"])


def _describe_place(error: Exception) -> str:
    frame = traceback.extract_tb(error.__traceback__)[-1]
    return f"{type(error).__name__} at {Path(frame.filename).name}:{frame.lineno}"
