"""Find duplicate people: two names whose templates match at the gallery's threshold."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

# Templates compared in one matrix product, which takes _BLOCK_SIZE x people x 4 bytes.
_BLOCK_SIZE = 1024


@dataclass(frozen=True)
class DuplicatePair:
    """Two people whose templates are at least as similar as the identification threshold."""

    name: str
    other: str
    similarity: float


def find_duplicates(
    people: Sequence[str | None], templates: np.ndarray, threshold: float, names: Iterable[str]
) -> tuple[DuplicatePair, ...]:
    """Find the people who match one of the named people, the most similar pair first.

    A pair of two of the names is returned once. The pairs are only reported, because twins exist.

    Args:
        people: n names, None of rows that are nobody's.
        templates: (n, d) float32, their templates.
        threshold: lowest similarity of a pair.
        names: the named people; who is not among the people is left out.
    """
    queried = set(names)
    positions = np.asarray([i for i, name in enumerate(people) if name in queried], np.int64)
    pairs: list[DuplicatePair] = []
    for start in range(0, len(positions), _BLOCK_SIZE):
        block = positions[start : start + _BLOCK_SIZE]
        similarities = templates[block] @ templates.T
        for i, j in np.argwhere(similarities >= threshold):
            name, other = people[block[i]], people[j]
            if name is None or other is None or name == other or (other in queried and other < name):
                continue
            pairs.append(DuplicatePair(name, other, float(similarities[i, j])))
    return tuple(sorted(pairs, key=lambda pair: (-pair.similarity, pair.name, pair.other)))
