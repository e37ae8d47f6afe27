"""HTTP server of the page: routes and upload limit."""

import asyncio
from base64 import b64decode
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import Request, Response
from fastapi.responses import JSONResponse
from nicegui import Client, app, ui
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp

from onelook.errors import OnelookError, PhotoError
from onelook.page.controller import PageController
from onelook.page.frame import VIEWS, Frame
from onelook.page.photos import DisplayedPhoto
from onelook.page.session import SessionStore
from onelook.page.session_cookie import SessionCookie, session_token
from onelook.service.admission import Admission, Limits
from onelook.service.api_router import ApiRouter
from onelook.service.errors import ApiError
from onelook.service.listening import find_port, format_address
from onelook.service.origin_guard import OriginGuard
from onelook.service.request_limits import RequestLimits

MEBIBYTE = 2**20
_RECONNECT_SECONDS = 60.0
"""Time for which a browser tab may be unreachable, such as on a locked phone, before it has to load the page again."""


def serve(controller: PageController, *, host: str, port: int, max_upload: int, api: ASGIApp | None = None) -> None:
    """Serve the page until the process is interrupted.

    Args:
        controller: gallery of the page.
        host: address to listen to.
        port: port; 0: a free one.
        max_upload: largest photo file in bytes.
        api: the API to serve beside the page, see `onelook.service.app.create_api`.

    Raises:
        OnelookError: the address cannot be listened to.
    """
    port = find_port(host, port)
    limits = Limits(max_upload=max_upload)
    add_routes(controller, limits)
    # The only bodies, of photos and of the polling that replaces a WebSocket, are bounded where they are read.
    app.add_middleware(RequestLimits, seconds=limits.request_seconds, max_json_bytes=None)
    app.add_middleware(SessionCookie, port=port)
    app.add_middleware(OriginGuard, host=host)
    if api is not None:
        app.add_middleware(ApiRouter, api=api)
    address = format_address(host, port)
    # Quasar's loading bar has no name for screen readers, and the page shows its progress itself.
    app.config.quasar_config["loadingBar"]["skipHijack"] = True
    app.on_startup(lambda: print(f"onelook: {address} shows {controller.location}; Ctrl-C ends it", flush=True))
    ui.run(
        host=host,
        port=port,
        title="onelook",
        language="en-US",
        dark=None,
        reload=False,
        show=False,
        tailwind=False,
        reconnect_timeout=_RECONNECT_SECONDS,
        show_welcome_message=False,
    )


def add_routes(controller: PageController, limits: Limits) -> None:
    """Add the routes of the page, of uploads and of pictures.

    - The paths of `VIEWS`: the page, one frame per browser tab.
    - `POST /photos?name=NAME`: upload a photo; the answer holds its `key`, or the `error`.
    - `GET /photos/KEY/image`, `/photos/KEY/preview`, `/photos/KEY/faces/FACE`: a photo of the browser's session.
    - `GET /pictures/SHA256`: the picture of an enrolled face.

    Args:
        controller: gallery of the page.
        limits: bounds one upload, the uploads in progress and their bytes and pixels, and the time of an upload.
    """
    admission = Admission(limits)
    sessions = SessionStore(controller)
    frames: dict[str, Frame] = {}

    def show_page(client: Client, request: Request) -> None:
        frames[client.id] = Frame(client, controller, sessions.open(session_token(request)))
        client.on_delete(lambda: frames.pop(client.id, None))

    for path in VIEWS:
        ui.page(path)(show_page)

    @app.post("/photos")
    async def receive_photo(request: Request, name: str = "photo") -> Response:
        session = sessions.find(session_token(request))
        if session is None:
            return JSONResponse({"error": "the page was restarted; reload it"}, 404)
        try:
            with admission.request("unknown" if request.client is None else request.client.host):
                async with read_upload(request, name, admission) as data, admission.decoded_photo():
                    key = await asyncio.to_thread(session.add, data, name)
        except OnelookError as error:
            return JSONResponse({"error": str(error)}, 422)
        except ApiError as error:
            return JSONResponse({"error": error.message}, error.status, error.headers)
        for frame in [frame for frame in frames.values() if frame.session is session]:
            await frame.show_added(key)
        return JSONResponse({"key": key}, 201)

    def find_photo(request: Request, key: str) -> DisplayedPhoto | None:
        session = sessions.find(session_token(request))
        return None if session is None else session.photo(key)

    @app.get("/photos/{key}/image")
    def send_photo(request: Request, key: str) -> Response:
        photo = find_photo(request, key)
        return _jpeg(None if photo is None else photo.jpeg)

    @app.get("/photos/{key}/preview")
    def send_preview(request: Request, key: str) -> Response:
        photo = find_photo(request, key)
        return _jpeg(None if photo is None else photo.preview)

    @app.get("/photos/{key}/faces/{face_key}")
    def send_face(request: Request, key: str, face_key: str) -> Response:
        photo = find_photo(request, key)
        faces = () if photo is None else photo.faces
        return _jpeg(next((b64decode(face.pending.thumbnail) for face in faces if face.key == face_key), None))

    @app.get("/pictures/{sha256}")
    def send_picture(request: Request, sha256: str) -> Response:
        # Another web page can embed this address, but the cookie is not sent then. Otherwise it could find out whether
        # a photo that it has is enrolled.
        has_session = sessions.find(session_token(request)) is not None
        return _jpeg(controller.picture(sha256) if has_session else None)


def _jpeg(content: bytes | None) -> Response:
    """Answer with a JPEG file that the browser does not store, or with 404 for None."""
    if content is None:
        return Response(status_code=404)
    return Response(content, media_type="image/jpeg", headers={"Cache-Control": "no-store"})


@asynccontextmanager
async def read_upload(request: Request, name: str, admission: Admission) -> AsyncIterator[bytes]:
    """Read the body of a request into memory, and hold it there; nothing is written to disk.

    Reading stops as soon as a limit is exceeded.

    Args:
        request: the upload.
        name: file name for the error message.
        admission: limits, and the count of the bytes of all uploads in memory.

    Raises:
        PhotoError: the body is too large, or did not arrive in time.
        ApiError: 503: all uploads together are too large.
    """
    data = bytearray()
    try:
        try:
            async with asyncio.timeout(admission.limits.upload_seconds):
                is_whole = await _receive(request, data, admission)
        except (TimeoutError, ClientDisconnect) as error:
            raise PhotoError(f"{name}: the upload did not arrive in time; drop the photo again") from error
        if not is_whole:
            raise PhotoError(
                f"{name}: more than {admission.limits.max_upload / MEBIBYTE:.3g} MiB; scale it down, or start the page "
                "with a larger --max-upload"
            )
        yield bytes(data)
    finally:
        admission.add_bytes(-len(data))


async def _receive(request: Request, data: bytearray, admission: Admission) -> bool:
    """Append the body of a request to `data` up to the limit of an upload; return whether it is the whole body."""
    if int(request.headers.get("content-length", 0)) > admission.limits.max_upload:
        return False
    async for chunk in request.stream():
        data += chunk
        admission.add_bytes(len(chunk))
        if len(data) > admission.limits.max_upload:
            return False
    return True
