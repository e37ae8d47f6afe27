"""Sources of frames: a camera, a network stream, or a video file."""

import re
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

from onelook.errors import VideoError

_SCHEMES = ("rtsp", "rtsps", "http", "https")
_SECRET = re.compile(r"((?:^|&)[^=&]*(?:pass|pwd|token|key|secret|auth)[^=&]*=)[^&]*", re.IGNORECASE)


@dataclass(frozen=True)
class StreamSource:
    """A camera or a network stream.

    Attributes:
        address: number of a camera of this machine, or URL.
    """

    address: int | str

    def __str__(self) -> str:
        """Return the address without user names and passwords, for messages and results."""
        if isinstance(self.address, int):
            return f"camera {self.address}"
        parts = urlsplit(self.address)
        host = parts.netloc.rpartition("@")[2]
        return urlunsplit((parts.scheme, host, parts.path, _SECRET.sub(r"\1***", parts.query), ""))


def parse_source(text: str) -> Path | StreamSource:
    """Parse the number of a camera, the URL of a stream, or the path of a video file.

    Raises:
        VideoError: the URL has another scheme than RTSP and HTTP, or no host.
    """
    if text.isascii() and text.isdigit():
        return StreamSource(int(text))
    scheme, separator, _ = text.partition("://")
    if not separator:
        return Path(text)
    source = StreamSource(text)
    if scheme.lower() not in _SCHEMES or not urlsplit(text).netloc:
        raise VideoError(
            f"{source}: not a stream; name a camera number, an rtsp:// or http:// address, or a video file"
        )
    return source
