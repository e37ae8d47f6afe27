"""Search templates in Milvus, with candidates re-ranked in float32 by their exact inner product."""

import numpy as np

from onelook.gallery.milvus_backend.collections import Collections
from onelook.gallery.ranking import Ranking, rerank

# Candidates per probe that Milvus returns for re-ranking.
CANDIDATES = 16
# Probes per request. The answer holds CANDIDATES templates per probe, 1 MB at 128 dimensions.
_PROBES_PER_REQUEST = 128
# The largest limit that Milvus accepts in a search.
_MAX_LIMIT = 16_384


def search_people(collections: Collections, version: str, probes: np.ndarray) -> tuple[Ranking, list[str]]:
    """Find the two most similar people of every probe (m, d) float32.

    Returns:
        The ranking, and the names that its indices refer to.
    """
    positions: dict[str, int] = {}
    rankings = [
        _search_request(
            collections, version, np.asarray(probes[start : start + _PROBES_PER_REQUEST], np.float32), positions
        )
        for start in range(0, len(probes), _PROBES_PER_REQUEST)
    ]
    ranking = Ranking(
        np.concatenate([ranking.indices for ranking in rankings]),
        np.concatenate([ranking.similarities for ranking in rankings]),
    )
    return ranking, list(positions)


def find_similar(
    collections: Collections, version: str, template: np.ndarray, threshold: float, people_count: int
) -> list[tuple[str, float]]:
    """Find all people whose similarity with a template (d,) is at least `threshold`, with their similarities."""
    limit = CANDIDATES
    while True:
        hits = collections.search(version, [template], limit)[0]
        similar = [(hit["name"], float(np.asarray(hit["template"], np.float32) @ template)) for hit in hits]
        if limit >= min(people_count, _MAX_LIMIT) or similar[-1][1] < threshold:
            return [(name, similarity) for name, similarity in similar if similarity >= threshold]
        limit = min(4 * limit, _MAX_LIMIT)


def _search_request(collections: Collections, version: str, probes: np.ndarray, positions: dict[str, int]) -> Ranking:
    """Rank the people of probes (m, d) by their number in `positions`; people found first are added to it."""
    found = collections.search(version, probes, CANDIDATES)
    templates = {hit["name"]: hit["template"] for hits in found for hit in hits}
    names = sorted(templates)
    rows = np.asarray([templates[name] for name in names], np.float32).reshape(len(names), probes.shape[1])
    row_of = {name: i for i, name in enumerate(names)}
    candidates = np.full((len(probes), CANDIDATES), -1, np.int64)
    for i, hits in enumerate(found):
        # Sorted by name, so that a tie is always resolved for the same person.
        candidates[i, : len(hits)] = sorted(row_of[hit["name"]] for hit in hits)
    ranking = rerank(rows, probes, candidates, 2)
    numbers = np.asarray([positions.setdefault(name, len(positions)) for name in names], np.int64)
    return Ranking(np.where(ranking.indices < 0, -1, numbers[ranking.indices]), ranking.similarities)
