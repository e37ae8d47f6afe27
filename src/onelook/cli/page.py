"""The command `serve`: serve a gallery as a web page, as an HTTP API, or both."""

import logging
from collections.abc import Callable
from contextlib import closing, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from onelook.cli.common import DeviceOption, GalleryOption, ModelOption, resolve_gallery
from onelook.errors import OnelookError

if TYPE_CHECKING:
    from fastapi import FastAPI

    from onelook.service.shared_gallery import SharedGallery

logger = logging.getLogger(__name__)

LOCAL_HOSTS = ("127.0.0.1", "localhost", "::1")
MEBIBYTE = 2**20


def serve(
    gallery: GalleryOption = None,
    model: ModelOption = None,
    device: DeviceOption = "auto",
    host: Annotated[str, typer.Option("--host", help="Address to listen to.")] = LOCAL_HOSTS[0],
    port: Annotated[int, typer.Option("--port", min=0, max=65535, help="Port to listen to; 0: a free one.")] = 8080,
    max_upload: Annotated[
        int, typer.Option("--max-upload", min=1, help="Largest photo file, or largest request to the API, in MiB.")
    ] = 32,
    with_api: Annotated[bool, typer.Option("--api", help="Serve the HTTP API, too.")] = False,
    with_page: Annotated[bool, typer.Option("--page/--no-page", help="Serve the page, or the API alone.")] = True,
    token_file: Annotated[
        Path | None,
        typer.Option(
            "--token-file",
            metavar="FILE",
            help="File with the bearer token of the API.  [default: $ONELOOK_TOKEN, else none]",
        ),
    ] = None,
    max_requests: Annotated[
        int,
        typer.Option("--max-requests", min=1, help="Most requests to the API in progress; one client may have half."),
    ] = 64,
) -> None:
    """Serve a gallery as a web page on this machine, and as an HTTP API.

    Drop photos or folders on the page, name faces, correct wrong names, and rename, merge and forget people. The first
    named face creates the gallery. Photos stay in memory, and the page loads nothing from the internet.

    --api answers at /api/v1, /health and /metrics, and logs a line of JSON per request. The page has no password: serve
    others by --api --no-page, with a token.
    """
    if not with_api and (not with_page or token_file is not None):
        raise OnelookError("--no-page and --token-file go with --api; add it")
    if with_page:
        _require_nicegui()
    from onelook.service.shared_gallery import SharedGallery

    shared = SharedGallery(resolve_gallery(gallery), model=model, device=device)
    api = _create_api(shared, host, token_file, max_upload * MEBIBYTE, max_requests) if with_api else None
    if api is not None and not with_page:
        from onelook.service.server import serve_api

        with closing(api.state.recognition):
            serve_api(api, host=host, port=port)
        return
    from onelook.page import server
    from onelook.page.controller import PageController

    if host not in LOCAL_HOSTS:
        logger.warning("%s: everybody who can reach this address can view and change the gallery", host)
    with nullcontext() if api is None else closing(api.state.recognition):
        server.serve(PageController(shared), host=host, port=port, max_upload=max_upload * MEBIBYTE, api=api)


COMMANDS: dict[str, Callable[..., None]] = {"serve": serve}


def _require_nicegui() -> None:
    try:
        import nicegui  # noqa: F401
    except ImportError as error:
        raise OnelookError("the page needs NiceGUI; install it with `pip install 'onelook[page]'`") from error


def _create_api(
    shared: "SharedGallery", host: str, token_file: Path | None, max_upload: int, max_requests: int
) -> "FastAPI":
    from onelook.service.admission import Limits
    from onelook.service.app import create_api
    from onelook.service.bearer_token import TOKEN_VARIABLE, read_token

    token = read_token(token_file)
    if token is None and host not in LOCAL_HOSTS:
        raise OnelookError(f"{host}: the API needs a token there; name a --token-file, or set {TOKEN_VARIABLE}")
    limits = Limits(max_upload=max_upload, max_requests=max_requests)
    return create_api(shared, token=token, host=host, limits=limits)
