"""Which unknown faces are one person: faces are joined to groups, and groups to larger ones, by the gallery's own rule.

A face gets a person's name where it is as similar to the person's template as the gallery's threshold for so many
people says. Grouping asks the same: among n groups, at first n faces, two whose templates reach the threshold for n
people are one person. With each round there are fewer groups with better templates, until nothing more is joined. So
the promised rate of false names is that of a group being joined to anybody wrong, and there is nothing to choose. In
each round the joined are the connected parts of a graph (single linkage); `benchmarks/grouping.py` sets it against
Chinese whispers, average linkage, DBSCAN and HDBSCAN.
"""

from collections.abc import Iterator

import faiss
import numpy as np
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components

from onelook.gallery.data import GalleryMetadata
from onelook.gallery.faiss_index import flat_index, mean_directions

# Rows compared with all others at once: their similar pairs are joined and forgotten before the next ones.
_BLOCK = 512


def group_faces(embeddings: np.ndarray, weights: np.ndarray, terms: GalleryMetadata) -> np.ndarray:
    """The group (n,) int64 of each face, numbered 0, 1, … by their first faces.

    Args:
        embeddings: (n, d) float32, rows of length 1.
        weights: (n,) how much each counts in its group's template, above 0.
        terms: of the gallery, which tell its threshold for any number of people.
    """
    groups = np.arange(len(embeddings))
    weighted = embeddings.astype(np.float64) * weights[:, None]
    templates = np.ascontiguousarray(embeddings, np.float32)
    while len(templates) > 1:
        joined = join_similar(templates, terms.threshold_for(len(templates)))
        if joined.max() + 1 == len(templates):
            break
        groups = joined[groups]
        templates = mean_directions(weighted, groups, groups.max() + 1)
    _, first, numbers = np.unique(groups, return_index=True, return_inverse=True)
    return np.argsort(np.argsort(first))[numbers]


def join_similar(rows: np.ndarray, least: float) -> np.ndarray:
    """The connected part (n,) of each row (n, d) float32, where rows with an inner product of `least` are connected."""
    index = flat_index(rows)
    parts = np.arange(len(rows))
    for ones, others in _similar(index, rows, least):
        graph = coo_matrix((np.ones(len(ones), np.int8), (parts[ones], parts[others])), (len(rows), len(rows)))
        parts = connected_components(graph, directed=False)[1][parts]
    return np.unique(parts, return_inverse=True)[1]


def _similar(index: faiss.Index, rows: np.ndarray, least: float) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """The pairs of rows that are similar enough, block by block, each as (m,) and (m,)."""
    # FAISS gives what is above a radius; the number below the threshold makes that "at least".
    radius = float(np.nextafter(np.float32(least), np.float32(-2)))
    for start in range(0, len(rows), _BLOCK):
        block = rows[start : start + _BLOCK]
        limits, _, found = index.range_search(block, radius)
        yield np.repeat(np.arange(start, start + len(block)), np.diff(limits).astype(np.int64)), found
