"""The names a gallery takes, of people and of photos."""

import os
import unicodedata
from pathlib import Path

from onelook.errors import GalleryError

LONGEST_NAME = 200
UNKNOWN = "unknown"
# Joiners that Persian and Indic names are written with; every other invisible character is refused.
_JOINERS = "\u200c\u200d"


def check_name(name: str) -> str:
    """The name as it is kept: Unicode NFC, without blanks around it, so that one name is one person.

    Raises:
        GalleryError: it is empty, too long, reserved, or has characters that cannot be seen.
    """
    kept = unicodedata.normalize("NFC", name).strip()
    if not kept:
        raise GalleryError("the name is empty; give the person's name")
    if not "".join(character for character in kept if character not in _JOINERS).isprintable():
        raise GalleryError(f"{kept!a}: a name must not hold control or invisible characters")
    if len(kept) > LONGEST_NAME:
        raise GalleryError(f"{kept[:20]}…: a name may have {LONGEST_NAME} characters, this one has {len(kept)}")
    if kept.casefold() == UNKNOWN:
        raise GalleryError(f"{kept}: this name is reserved for people who are not enrolled; choose another")
    return kept


def photo_name(path: Path) -> str:
    """A path as text that can always be written, whatever bytes the file's name has."""
    return one_line(str(path))


def one_line(text: str) -> str:
    """A text that may hold a path, as one that can always be written as UTF-8 and in one line."""
    text = os.fsencode(text).decode("utf-8", "backslashreplace")
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)
