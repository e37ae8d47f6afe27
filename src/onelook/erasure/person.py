"""The person whose data is searched: name, and template of each model that some gallery holds."""

import json
import mmap
import re
import unicodedata
from collections.abc import Iterable

import numpy as np

from onelook.errors import GalleryError
from onelook.gallery.data import GalleryData
from onelook.names import normalize_name


class Person:
    """A person, recognized by name, and by face where a gallery of the same model holds the person.

    Attributes:
        name: normalized name.
    """

    def __init__(self, name: str, own: GalleryData | None, others: Iterable[GalleryData]) -> None:
        """Collect the templates of the person.

        Args:
            name: normalized name.
            own: the gallery that the person is to be forgotten in. If the person is enrolled there, people of the same
                name whose faces differ are namesakes; None: there is no such gallery.
            others: galleries and backups that were found; they count where `own` lacks the person.
        """
        self.name = name
        self._has_own = own is not None and name in own.identities
        sources = [own] if own is not None and self._has_own else [data for data in others if name in data.identities]
        self._templates: dict[str, np.ndarray] = {}
        self._thresholds: dict[str, float] = {}
        for data in sources:
            fingerprint, template = data.metadata.fingerprint, _template(data.embeddings[_rows_of(data, name)])
            earlier = self._templates.get(fingerprint)
            self._templates[fingerprint] = template if earlier is None else _template(np.stack([earlier, template]))
            self._thresholds[fingerprint] = data.metadata.typical_threshold(len(set(data.identities)))
        spellings = {unicodedata.normalize(form, name) for form in ("NFC", "NFD")}
        texts = {text.encode() for text in spellings} | {json.dumps(text)[1:-1].encode() for text in spellings}
        # JSON of MLflow and onelook escapes other letters than ASCII; parts of longer words are other words.
        self._pattern = re.compile(
            rb"(?<!\w)(?:" + b"|".join(map(re.escape, sorted(texts))) + rb")(?!\w)", re.IGNORECASE
        )

    def match(self, fingerprint: str, embeddings: np.ndarray) -> np.ndarray:
        """Return which embeddings (n, d) of a model match the person at the identification threshold: (n,) bool."""
        template = self._templates.get(fingerprint)
        if template is None or not len(embeddings) or embeddings.shape[1] != len(template):
            return np.zeros(len(embeddings), bool)
        return np.asarray(embeddings @ template >= self._thresholds[fingerprint])

    def is_namesake(self, fingerprint: str, embeddings: np.ndarray) -> bool:
        """Return whether embeddings (n, d) under the person's name are of somebody else; erased rows are zero."""
        embeddings = embeddings[np.any(embeddings != 0, axis=1)]
        if not self._has_own or fingerprint not in self._templates or not len(embeddings):
            return False
        return not self.match(fingerprint, _template(embeddings)[None])[0]

    def is_named(self, text: str) -> bool:
        """Return whether a text, such as the name of a folder, is the person's name."""
        try:
            return normalize_name(text).casefold() == self.name.casefold()
        except GalleryError:
            return False

    def is_mentioned(self, content: bytes | mmap.mmap) -> bool:
        """Return whether bytes contain the name as a word, in UTF-8 or as JSON escapes it."""
        return self._pattern.search(content) is not None


def _rows_of(data: GalleryData, name: str) -> np.ndarray:
    return np.asarray([person == name for person in data.identities], bool)


def _template(embeddings: np.ndarray) -> np.ndarray:
    mean = embeddings.mean(axis=0)
    return np.asarray(mean / max(float(np.linalg.norm(mean)), 1e-12), np.float32)
