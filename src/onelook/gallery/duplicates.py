"""People who may be one person under two names."""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from onelook.gallery.data import GalleryData
from onelook.gallery.faiss_index import templates

_BLOCK = 1024


@dataclass(frozen=True)
class DuplicatePair:
    """Two people whose templates are as similar as a face must be to a person to get the name."""

    name: str
    other: str
    similarity: float


def find_duplicates(contents: GalleryData, names: Iterable[str]) -> tuple[DuplicatePair, ...]:
    """Whom the people of these names resemble at the gallery's threshold or above, the most similar pair first.

    They are pointed out and left as they are: twins do exist. A pair of two of the names comes once.
    """
    known, rows = templates(contents.weighted(), contents.owners)
    asked = set(names)
    places = np.asarray([place for place, name in enumerate(known) if name in asked], np.int64)
    least = contents.terms.threshold_for(len(known))
    pairs: list[DuplicatePair] = []
    for start in range(0, len(places), _BLOCK):  # a block, because all at once would take the square of the gallery
        block = places[start : start + _BLOCK]
        similarities = rows[block] @ rows.T
        for i, other in np.argwhere(similarities >= least):
            mine = block[i]
            if other > mine or (other < mine and known[other] not in asked):
                pairs.append(DuplicatePair(known[mine], known[other], float(similarities[i, other])))
    return tuple(sorted(pairs, key=lambda pair: (-pair.similarity, pair.name, pair.other)))
