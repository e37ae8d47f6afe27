"""Find duplicate people: two names whose templates match at the gallery's threshold."""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from onelook.face_templates import make_person_templates
from onelook.gallery.data import GalleryData

# Templates compared in one matrix product, which takes _BLOCK_SIZE x people x 4 bytes.
_BLOCK_SIZE = 1024


@dataclass(frozen=True)
class DuplicatePair:
    """Two people whose templates are at least as similar as the identification threshold."""

    name: str
    other: str
    similarity: float


def find_duplicates(data: GalleryData, names: Iterable[str]) -> tuple[DuplicatePair, ...]:
    """Find the people who match one of the named people, the most similar pair first.

    A pair of two of the names is returned once. The pairs are only reported, because twins exist.
    """
    people, rows = make_person_templates(data.embeddings, data.identities, data.weights)
    queried = set(names)
    positions = np.asarray([i for i, name in enumerate(people) if name in queried], np.int64)
    threshold = data.metadata.threshold_for(len(people))
    pairs: list[DuplicatePair] = []
    for start in range(0, len(positions), _BLOCK_SIZE):
        block = positions[start : start + _BLOCK_SIZE]
        similarities = rows[block] @ rows.T
        for i, other in np.argwhere(similarities >= threshold):
            query = block[i]
            if other > query or (other < query and people[other] not in queried):
                pairs.append(DuplicatePair(people[query], people[other], float(similarities[i, other])))
    return tuple(sorted(pairs, key=lambda pair: (-pair.similarity, pair.name, pair.other)))
