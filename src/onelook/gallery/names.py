"""Normalize the names of people, and escape paths for display and storage."""

import os
import unicodedata
from pathlib import Path

from onelook.errors import GalleryError

MAX_NAME_LENGTH = 200
UNKNOWN_NAME = "unknown"
# Zero-width joiners belong to Persian and Indic names; every other invisible character is refused.
_JOINERS = "\u200c\u200d"


def normalize_name(name: str) -> str:
    """Normalize a person's name to Unicode NFC without surrounding blanks.

    Raises:
        GalleryError: it is empty, too long, reserved, or has control or invisible characters.
    """
    normalized = unicodedata.normalize("NFC", name).strip()
    if not normalized:
        raise GalleryError("the name is empty; give the person's name")
    if not "".join(character for character in normalized if character not in _JOINERS).isprintable():
        raise GalleryError(f"{normalized!a}: a name must not hold control or invisible characters")
    if len(normalized) > MAX_NAME_LENGTH:
        raise GalleryError(
            f"{normalized[:20]}…: a name may have {MAX_NAME_LENGTH} characters, this one has {len(normalized)}"
        )
    if normalized.casefold() == UNKNOWN_NAME:
        raise GalleryError(f"{normalized}: this name is reserved for people who are not enrolled; choose another")
    return normalized


def format_identity(name: str | None, reason: str | None) -> str:
    """Return the text shown as an identity: the name, "unknown", or "not sure" with the reason."""
    if name is not None:
        return name
    return UNKNOWN_NAME if reason is None else f"not sure: {reason}"


def escape_path(path: Path) -> str:
    """Convert a path to printable text; see `escape_unprintable`."""
    return escape_unprintable(str(path))


def escape_unprintable(text: str) -> str:
    """Escape bytes that are not UTF-8 and characters that are not printable, so that the text is one line."""
    text = os.fsencode(text).decode("utf-8", "backslashreplace")
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)
