"""An HTTP server of this machine that streams pictures as network cameras do (motion JPEG), or sends files."""

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from http.server import BaseHTTPRequestHandler, SimpleHTTPRequestHandler, ThreadingHTTPServer
from itertools import cycle
from pathlib import Path
from threading import Thread

import numpy as np

from onelook.data.image_io import encode_image


class CameraServer(ThreadingHTTPServer):
    """Server of one stream.

    Attributes:
        connections: frames of each connection, in order; a further connection is refused.
        fps: frames per second.
        repeats: send the frames of a connection again and again.
    """

    daemon_threads = True

    def __init__(self, connections: Sequence[Sequence[np.ndarray]], fps: float, repeats: bool) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.connections = iter([[encode_image(frame, ".jpg") for frame in frames] for frames in connections])
        self.fps = fps
        self.repeats = repeats

    @property
    def url(self) -> str:
        """Return the address of the stream."""
        return f"http://127.0.0.1:{self.server_port}/camera"


class _Handler(BaseHTTPRequestHandler):
    server: CameraServer

    def do_GET(self) -> None:
        frames = next(self.server.connections, None)
        if frames is None:
            self.send_error(503)
            return
        self.send_response(200)
        self.send_header("Content-Type", "multipart/x-mixed-replace; boundary=frame")
        self.end_headers()
        for jpeg in cycle(frames) if self.server.repeats else frames:
            part = b"--frame\r\nContent-Type: image/jpeg\r\nContent-Length: %d\r\n\r\n%b\r\n" % (len(jpeg), jpeg)
            try:
                self.wfile.write(part)
            except OSError:  # the reader has gone
                return
            time.sleep(1 / self.server.fps)

    def log_message(self, *_: object) -> None:
        """Print nothing."""


@contextmanager
def serve_camera(*connections: Sequence[np.ndarray], fps: float = 100, repeats: bool = False) -> Iterator[CameraServer]:
    """Serve a stream while the context is open."""
    with CameraServer(connections, fps, repeats) as server, _running(server):
        yield server


@contextmanager
def serve_folder(folder: Path) -> Iterator[str]:
    """Serve the files of a folder while the context is open; yields the address of the folder."""
    handler = partial(_SilentFileHandler, directory=folder)
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server, _running(server):
        yield f"http://127.0.0.1:{server.server_port}"


class _SilentFileHandler(SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        """Print nothing."""


@contextmanager
def _running(server: ThreadingHTTPServer) -> Iterator[None]:
    thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield
    finally:
        server.shutdown()
        thread.join()
