"""HTTP server of the API without the page."""

import socket

import uvicorn
from fastapi import FastAPI

from onelook.service.listening import find_port, format_address


def serve_api(api: FastAPI, *, host: str, port: int) -> None:
    """Serve the API until the process is interrupted.

    Args:
        api: see `onelook.service.app.create_api`.
        host: address to listen to.
        port: port; 0: a free one.

    Raises:
        OnelookError: the address cannot be listened to.
    """
    port = find_port(host, port)
    location = api.state.recognition.shared.gallery.location
    line = f"onelook: {format_address(host, port)} serves the API of {location}; Ctrl-C ends it"
    config = uvicorn.Config(api, host=host, port=port, lifespan="off", log_config=None, access_log=False)
    _Server(config, line).run()


class _Server(uvicorn.Server):
    """A server that prints a line as soon as it listens."""

    def __init__(self, config: uvicorn.Config, line: str) -> None:
        super().__init__(config)
        self._line = line

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if self.started:
            print(self._line, flush=True)
