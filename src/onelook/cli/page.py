"""The command `serve`: serve a gallery as a web page."""

import logging
from collections.abc import Callable
from typing import Annotated

import typer

from onelook.cli.common import DeviceOption, GalleryOption, ModelOption, resolve_gallery
from onelook.errors import OnelookError

logger = logging.getLogger(__name__)

LOCAL_HOSTS = ("127.0.0.1", "localhost", "::1")


def serve(
    gallery: GalleryOption = None,
    model: ModelOption = None,
    device: DeviceOption = "auto",
    host: Annotated[str, typer.Option("--host", help="Address to listen to.")] = LOCAL_HOSTS[0],
    port: Annotated[int, typer.Option("--port", min=0, max=65535, help="Port to listen to; 0: a free one.")] = 8080,
    max_upload: Annotated[int, typer.Option("--max-upload", min=1, help="Largest photo file in MiB.")] = 32,
) -> None:
    """Serve a gallery as a web page on this machine.

    Drop photos or folders on it, name faces, correct wrong names, and rename, merge and forget people. The first named
    face creates the gallery. Photos stay in memory, and the page loads nothing from the internet.
    """
    try:
        import nicegui  # noqa: F401
    except ImportError as error:
        raise OnelookError("the page needs NiceGUI; install it with `pip install 'onelook[page]'`") from error
    from onelook.page import server
    from onelook.page.controller import PageController

    controller = PageController(resolve_gallery(gallery), model=model, device=device)
    if host not in LOCAL_HOSTS:
        logger.warning("%s: everybody who can reach this address can view and change the gallery", host)
    server.serve(controller, host=host, port=port, max_upload=max_upload * server.MEBIBYTE)


COMMANDS: dict[str, Callable[..., None]] = {"serve": serve}
