"""The server of the page: what a browser may ask for, and how much it may send."""

import socket
from urllib.parse import urlunsplit

from fastapi import Request, Response
from nicegui import Client, app, ui

from onelook.errors import OnelookError, PhotoError
from onelook.page.controller import PageController
from onelook.page.origin_guard import OriginGuard
from onelook.page.view import View

MEBIBYTE = 2**20


def serve(desk: PageController, *, host: str, port: int, max_upload: int) -> None:
    """Serve the page until the process is interrupted.

    Args:
        desk: what it shows.
        host: the address to listen to.
        port: the port; 0: a free one.
        max_upload: largest photo's file, in bytes.

    Raises:
        OnelookError: nothing can listen there.
    """
    port = find_port(host, port)
    add_routes(desk, max_upload)
    app.add_middleware(OriginGuard, host=host)
    address = urlunsplit(("http", f"[{host}]:{port}" if ":" in host else f"{host}:{port}", "", "", ""))
    app.on_startup(lambda: print(f"onelook: {address} shows {desk.folder}; Ctrl-C ends it", flush=True))
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


def add_routes(desk: PageController, max_upload: int) -> None:
    """The page itself, a way in for photos, and a way out for the one that is shown; each tab sees its own alone."""
    views: dict[str, View] = {}

    @ui.page("/")
    def page(client: Client) -> None:
        views[client.id] = View(desk, client.id)
        client.on_delete(lambda: views.pop(client.id, None))

    @app.post("/photos/{client}")
    async def receive(client: str, request: Request, name: str = "photo") -> Response:
        if client not in views:
            return Response(status_code=404)
        await views[client].show(name, lambda: read_upload(request, name, max_upload))
        return Response(status_code=204)

    @app.get("/photos/{client}/{number}")
    def shown(client: str, number: int) -> Response:
        predict = views[client].predict if client in views else None
        if predict is None:
            return Response(status_code=404)
        return Response(predict.picture, media_type="image/jpeg", headers={"Cache-Control": "no-store"})


async def read_upload(request: Request, name: str, most: int) -> bytes:
    """The bytes that a browser sends, in memory alone.

    Raises:
        PhotoError: they are more than `most`; no more than that is read.
    """
    data = bytearray()
    if int(request.headers.get("content-length", 0)) <= most:
        async for chunk in request.stream():
            data += chunk
            if len(data) > most:
                break
        else:
            return bytes(data)
    raise PhotoError(
        f"{name}: more than {most / MEBIBYTE:.3g} MiB; scale it down, or start the page with a larger --max-upload"
    )


def find_port(host: str, port: int) -> int:
    """The port, or a free one for 0; told before anything is started."""
    try:
        with socket.create_server((host, port), family=socket.AF_INET6 if ":" in host else socket.AF_INET) as probe:
            return int(probe.getsockname()[1])
    except OSError as error:
        raise OnelookError(f"{host}:{port}: cannot be listened to ({error.strerror}); name another --port") from error
