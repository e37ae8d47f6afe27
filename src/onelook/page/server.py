"""HTTP server of the page: routes, upload limit and port."""

import socket
from urllib.parse import urlunsplit

from fastapi import Request, Response
from nicegui import Client, app, ui

from onelook.errors import OnelookError, PhotoError
from onelook.page.controller import PageController
from onelook.page.origin_guard import OriginGuard
from onelook.page.view import View

MEBIBYTE = 2**20


def serve(controller: PageController, *, host: str, port: int, max_upload: int) -> None:
    """Serve the page until the process is interrupted.

    Args:
        controller: gallery of the page.
        host: address to listen to.
        port: port; 0: a free one.
        max_upload: largest photo file in bytes.

    Raises:
        OnelookError: the address cannot be listened to.
    """
    port = find_port(host, port)
    add_routes(controller, max_upload)
    app.add_middleware(OriginGuard, host=host)
    address = urlunsplit(("http", f"[{host}]:{port}" if ":" in host else f"{host}:{port}", "", "", ""))
    app.on_startup(lambda: print(f"onelook: {address} shows {controller.location}; Ctrl-C ends it", flush=True))
    ui.run(
        host=host,
        port=port,
        title="onelook",
        dark=None,
        reload=False,
        show=False,
        tailwind=False,
        show_welcome_message=False,
    )


def add_routes(controller: PageController, max_upload: int) -> None:
    """Add the routes of the page, of uploads and of the displayed photo.

    - `GET /`: the page, one view per browser tab.
    - `POST /photos/CLIENT?name=NAME`: upload a photo to the tab of that client id.
    - `GET /photos/CLIENT/NUMBER`: the photo that the tab displays, as a JPEG; NUMBER defeats the browser's cache.
    """
    views: dict[str, View] = {}

    @ui.page("/")
    def show_page(client: Client) -> None:
        views[client.id] = View(controller, client.id)
        client.on_delete(lambda: views.pop(client.id, None))

    @app.post("/photos/{client}")
    async def receive_photo(client: str, request: Request, name: str = "photo") -> Response:
        if client not in views:
            return Response(status_code=404)
        await views[client].show(name, lambda: read_upload(request, name, max_upload))
        return Response(status_code=204)

    @app.get("/photos/{client}/{number}")
    def send_photo(client: str, number: int) -> Response:
        photo = views[client].photo if client in views else None
        if photo is None:
            return Response(status_code=404)
        return Response(photo.jpeg, media_type="image/jpeg", headers={"Cache-Control": "no-store"})


async def read_upload(request: Request, name: str, max_bytes: int) -> bytes:
    """Read the body of a request into memory; nothing is written to disk.

    Args:
        request: the upload.
        name: file name for the error message.
        max_bytes: largest body; reading stops as soon as it is exceeded.

    Raises:
        PhotoError: the body is larger than `max_bytes`.
    """
    data = bytearray()
    if int(request.headers.get("content-length", 0)) <= max_bytes:
        async for chunk in request.stream():
            data += chunk
            if len(data) > max_bytes:
                break
        else:
            return bytes(data)
    raise PhotoError(
        f"{name}: more than {max_bytes / MEBIBYTE:.3g} MiB; scale it down, or start the page with a larger --max-upload"
    )


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
