"""Paths of photos that are no files: open pipes, and addresses on the internet."""

import re
from pathlib import Path

from onelook.errors import PhotoError

STANDARD_INPUT = Path("/dev/stdin")
MAX_PIPE_BYTES = 256 * 2**20
_DESCRIPTOR_FOLDERS = (Path("/dev/fd"), Path("/proc/self/fd"))
# `Path` joins the two slashes of an address.
_ADDRESS = re.compile(r"(https?|ftp|s3|gs|rtsp|data|file):/{0,2}\S", re.IGNORECASE)


def check_is_local(path: str | Path) -> None:
    """Check that a path is no address on the internet.

    Raises:
        PhotoError: it is one, and there is no file of that name.
    """
    if _ADDRESS.match(str(path)) and not Path(path).exists():
        raise PhotoError(f"{path}: an address, and onelook downloads nothing; save the photo and name its file")


def is_open_pipe(path: Path) -> bool:
    """Return whether a path is that of an open pipe, such as /dev/stdin; a pipe by name could wait for ever."""
    return (path == STANDARD_INPUT or path.parent in _DESCRIPTOR_FOLDERS) and path.is_fifo()


def read_pipe(path: Path) -> bytes:
    """Read an open pipe to its end.

    Raises:
        PhotoError: it has more than MAX_PIPE_BYTES, or cannot be read.
    """
    try:
        with path.open("rb") as stream:
            data = stream.read(MAX_PIPE_BYTES + 1)
    except OSError as error:
        raise PhotoError(f"{path}: cannot be read ({error.strerror})") from error
    if len(data) > MAX_PIPE_BYTES:
        raise PhotoError(f"{path}: more than {MAX_PIPE_BYTES // 2**20} MiB; save it to a file first")
    return data
