"""The length that a Matroska or WebM file states of itself.

These files hold no number of frames: FFmpeg multiplies duration and frame rate, which is far too many for a recording
of changing rate. The segment, the element that holds everything else, states its length in bytes (RFC 8794, EBML,
sections 4 to 6; RFC 9559, Matroska, section 5.1).
"""

from pathlib import Path

_EBML_HEADER = b"\x1a\x45\xdf\xa3"
_SEGMENT = b"\x18\x53\x80\x67"
_MAX_HEADER = 4096


def expected_length(path: Path) -> int | None:
    """Compute the bytes that a whole Matroska or WebM file has.

    Returns:
        None for another format, and for a recording that was written without knowing its end.

    Raises:
        OSError: the file cannot be read.
    """
    with path.open("rb") as stream:
        start = stream.read(_MAX_HEADER)
    if not start.startswith(_EBML_HEADER):
        return None
    position, size = _read_size(start, len(_EBML_HEADER))
    if size is None or not start.startswith(_SEGMENT, position + size):
        return None
    position, size = _read_size(start, position + size + len(_SEGMENT))
    return None if size is None else position + size


def is_matroska(path: Path) -> bool:
    """Return whether a file begins like Matroska or WebM."""
    with path.open("rb") as stream:
        return stream.read(len(_EBML_HEADER)) == _EBML_HEADER


def _read_size(data: bytes, position: int) -> tuple[int, int | None]:
    """Read the size of an element, an integer whose leading zero bits give its length.

    Returns:
        The position after it, and the size; None where it is unknown, all bits one, or cut off.
    """
    length = 9 - data[position].bit_length() if position < len(data) else 9
    if length > 8 or position + length > len(data):
        return position, None
    value = int.from_bytes(data[position : position + length], "big") & ((1 << 7 * length) - 1)
    is_unknown = value == (1 << 7 * length) - 1
    return position + length, None if is_unknown else value
