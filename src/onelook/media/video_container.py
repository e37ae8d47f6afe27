"""Containers of video files by their first bytes.

FFmpeg decides by the content of a file, not by its name, and also opens pictures, playlists that name other files and
addresses, and descriptions of network sessions. None of those is a video file, so a file must begin like one.
"""

from pathlib import Path

_HEAD_SIZE = 512
# Brands of HEIF and AVIF pictures, which share the container of MP4.
_PICTURE_BRANDS = frozenset(b"avif avis heic heix heim heis hevc hevx mif1 msf1 miaf".split())
_MP4_BOXES = frozenset(b"ftyp moov mdat free skip wide pnot".split())
_PICTURE_STARTS = (
    b"GIF8",
    b"\x89PNG",
    b"\x8aMNG",
    b"\xff\xd8\xff",
    b"BM",
    b"II*\0",
    b"MM\0*",
    b"\0\0\0\x0cjP  ",
    b"\xff\x4f\xff\x51",
    b"8BPS",
)
_VIDEO_STARTS = (
    b"\x1a\x45\xdf\xa3",  # Matroska, WebM
    b"\x30\x26\xb2\x75\x8e\x66\xcf\x11",  # ASF: WMV
    b"\0\0\1\xba",  # MPEG program stream
    b"\0\0\1\xb3",  # MPEG video
    b"OggS",
    b"FLV\1",
)
_TS_SYNC, _TS_PACKET, _M2TS_PACKET = 0x47, 188, 192


def video_problem(path: Path) -> str | None:
    """Return why a file is not a video by its first bytes; None: it may be one.

    Raises:
        OSError: the file cannot be read.
    """
    with path.open("rb") as stream:
        head = stream.read(_HEAD_SIZE)
    if head.startswith(_PICTURE_STARTS) or _is_heif(head) or (head[:4] == b"RIFF" and head[8:12] == b"WEBP"):
        return "a picture, not a video; give it the suffix of its format"
    if head.startswith(_VIDEO_STARTS) or head[4:8] in _MP4_BOXES or _is_avi(head) or _is_transport_stream(head):
        return None
    return "not a video, or a damaged one; copy it again, or convert it to MP4"


def _is_heif(head: bytes) -> bool:
    return head[4:8] == b"ftyp" and head[8:12] in _PICTURE_BRANDS


def _is_avi(head: bytes) -> bool:
    return head[:4] in (b"RIFF", b"RIFX") and head[8:11] == b"AVI"


def _is_transport_stream(head: bytes) -> bool:
    plain = head[:1] + head[_TS_PACKET : _TS_PACKET + 1]
    timed = head[4:5] + head[_M2TS_PACKET + 4 : _M2TS_PACKET + 5]
    return bytes([_TS_SYNC, _TS_SYNC]) in (plain, timed)
