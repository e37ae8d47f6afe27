"""Keys of people in URLs, which keep names out of the history of browsers and the logs of proxies."""

import hashlib
import unicodedata


def person_key(name: str) -> str:
    """Return the key of a person in URLs: 16 hex digits.

    Args:
        name: the name, which need not be normalized.
    """
    return hashlib.sha256(unicodedata.normalize("NFC", name).strip().encode()).hexdigest()[:16]
