"""Normalize the names of people, and escape paths for display and storage."""

import os
import re
import unicodedata
from pathlib import Path

from onelook.errors import GalleryError

MAX_NAME_LENGTH = 200
UNKNOWN_NAME = "unknown"
_ZERO_WIDTH_NON_JOINER, _ZERO_WIDTH_JOINER = "\u200c", "\u200d"
_VIRAMA = 9
"""Canonical combining class of the signs that join Indic letters."""
# Letters and marks that are drawn as nothing but count as printable (Unicode: Default_Ignorable_Code_Point).
_IGNORABLE = re.compile("[\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180f\u3164\ufe00-\ufe0f\uffa0\U000e0100-\U000e01ef]")


def normalize_name(name: str) -> str:
    """Normalize a person's name to Unicode NFC, with single blanks instead of any other spaces between its words.

    Zero-width joiners are kept where they shape Persian and Indic words (RFC 5892, appendix A). Every other invisible
    character is refused, so that no two names look the same.

    Raises:
        GalleryError: it is empty, too long, reserved, or has control or invisible characters.
    """
    normalized = re.sub(" +", " ", _replace_spaces(unicodedata.normalize("NFC", name))).strip()
    if not normalized:
        raise GalleryError("the name is empty; give the person's name")
    if not _remove_joiners(normalized).isprintable() or _IGNORABLE.search(normalized):
        raise GalleryError(
            f"{escape_invisible(normalized)}: a name must not hold control or invisible characters; write it anew"
        )
    if len(normalized) > MAX_NAME_LENGTH:
        raise GalleryError(
            f"{normalized[:20]}…: a name may have {MAX_NAME_LENGTH} characters, this one has {len(normalized)}"
        )
    if normalized.casefold() == UNKNOWN_NAME:
        raise GalleryError(f"{normalized}: this name is reserved for people who are not enrolled; choose another")
    return normalized


def _replace_spaces(name: str) -> str:
    return "".join(" " if unicodedata.category(character) == "Zs" else character for character in name)


def _remove_joiners(name: str) -> str:
    """Remove the zero-width joiners that shape the letters beside them."""
    kept = []
    for before, character, after in zip(" " + name, name, name[1:] + " ", strict=False):
        follows_virama = unicodedata.combining(before) == _VIRAMA
        between_arabic = unicodedata.bidirectional(before) == unicodedata.bidirectional(after) == "AL"
        if character == _ZERO_WIDTH_JOINER and follows_virama:
            continue
        if character == _ZERO_WIDTH_NON_JOINER and (follows_virama or between_arabic):
            continue
        kept.append(character)
    return "".join(kept)


def escape_invisible(name: str) -> str:
    """Escape the characters of a name that cannot be seen, so that a message shows all of it."""
    return _IGNORABLE.sub(lambda match: match[0].encode("unicode_escape").decode(), escape_unprintable(name))


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
