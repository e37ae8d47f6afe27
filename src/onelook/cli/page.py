"""The command that shows a gallery as a web page."""

import sys
from collections.abc import Callable
from typing import Annotated

import typer

from onelook.cli.common import ModelFolder, ReadGallery, reading
from onelook.errors import OnelookError

LOCAL = ("127.0.0.1", "localhost", "::1")


def serve(
    gallery: ReadGallery = None,
    model: ModelFolder = None,
    host: Annotated[str, typer.Option("--host", help="the address to listen to")] = LOCAL[0],
    port: Annotated[int, typer.Option("--port", min=0, max=65535, help="the port; 0: a free one")] = 8080,
    max_upload: Annotated[int, typer.Option("--max-upload", min=1, help="largest photo's file, in MiB")] = 32,
) -> None:
    """Show a gallery as a web page on this machine: drop a photo, see who is in it, name faces, forget people.

    The first face that is named starts the gallery. Photos stay in memory; nothing is fetched from outside.
    """
    try:
        import nicegui  # noqa: F401
    except ImportError as error:
        raise OnelookError("the page needs NiceGUI; install it with `pip install 'onelook[page]'`") from error
    from onelook.page import server
    from onelook.page.controller import PageController

    desk = PageController(reading(gallery), model=model)
    if host not in LOCAL:
        print(f"warning: {host}: whoever reaches this machine can see and change the gallery", file=sys.stderr)
    server.serve(desk, host=host, port=port, max_upload=max_upload * server.MEBIBYTE)


COMMANDS: dict[str, Callable[..., None]] = {"serve": serve}
