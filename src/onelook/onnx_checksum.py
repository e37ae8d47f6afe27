"""Checksum at the end of an exported ONNX file, in the form of one more entry of its metadata.

Protocol buffers may be concatenated: the entry is appended to the serialized model, so onnxruntime reads the file as
any other, and the SHA-256 covers every byte before the entry.
"""

import hashlib
from pathlib import Path

from onelook.errors import ModelError

CHECKED_KEY = "checked"
"""Key in the metadata of a file that has a checksum: without it, the file is of an earlier version and has none."""

_KEY = b"sha256"
_DIGEST_SIZE = 64
_ADVICE = "export the model again with `onelook export-model`, or copy the file again from its source"


def append_checksum(content: bytes) -> bytes:
    """Append the checksum of a serialized model to it."""
    return content + _entry(content)


def read_checked(file: Path) -> tuple[bytes, bool]:
    """Read an ONNX file, and verify its checksum.

    Returns:
        The content, and whether it has a checksum.

    Raises:
        ModelError: the file cannot be read, or the checksum is wrong.
    """
    try:
        content = file.read_bytes()
    except OSError as error:
        raise ModelError(f"{file}: cannot be read ({error.strerror})") from error
    size = len(_entry(b""))
    body, end = content[:-size], content[-size:]
    if not end.startswith(_entry(b"")[:-_DIGEST_SIZE]):
        return content, False
    if end != _entry(body):
        raise ModelError(f"{file}: damaged (its checksum is wrong); {_ADVICE}")
    return content, True


def check_presence(file: Path, metadata: dict[str, str], has_checksum: bool) -> bool:
    """Return whether a file has the checksum that its metadata announces; False for a file of an earlier version.

    Raises:
        ModelError: the checksum was cut off or damaged.
    """
    if CHECKED_KEY in metadata and not has_checksum:
        raise ModelError(f"{file}: damaged (its checksum is missing); {_ADVICE}")
    return has_checksum


def _entry(content: bytes) -> bytes:
    """Return the entry of `ModelProto.metadata_props`, field 14, with the SHA-256 of the content in hexadecimal."""
    digest = hashlib.sha256(content).hexdigest().encode()
    pair = bytes([0x0A, len(_KEY)]) + _KEY + bytes([0x12, len(digest)]) + digest
    return bytes([14 << 3 | 2, len(pair)]) + pair
