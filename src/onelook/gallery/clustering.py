"""Cluster face embeddings by iterated single linkage at the gallery's open-set threshold.

Each face starts as its own cluster. Each round has three steps:

- Look up the gallery's threshold for as many people as there are clusters.
- Merge the clusters whose templates reach it, as connected components of a graph (single linkage).
- Recompute the templates of the merged clusters.

The rounds end when nothing merges. The false-match rate of a merge is therefore the gallery's target rate, and there is
no parameter to tune. `benchmarks/face_clustering.py` compares the result with Chinese whispers, average linkage, DBSCAN
and HDBSCAN.
"""

from collections.abc import Iterator

import numpy as np

from onelook.face_quality import Quality, QualityLimits
from onelook.face_templates import make_templates
from onelook.gallery.data import GalleryMetadata
from onelook.gallery.faiss_index import build_flat_index
from onelook.gallery.faiss_library import faiss

MIN_SCORE = 0.98
"""Lowest detection score of a face to cluster.

Occluded, blurred and turned-away faces and false detections score lower, and their embeddings resemble each other. On
web and press photos, faces below this score formed one large cluster of many people.
"""
BLOCK_ROWS = 512
"""Rows of one range search. The pairs of a block are merged before the next search, which bounds the memory."""


def is_clusterable(quality: Quality, limits: QualityLimits) -> bool:
    """Return whether a face is good enough to be clustered, and enrolled later: `limits` are those of enrollment."""
    return quality.score >= MIN_SCORE and limits.describe_problems(quality) is None


def cluster_faces(embeddings: np.ndarray, weights: np.ndarray, metadata: GalleryMetadata) -> np.ndarray:
    """Cluster face embeddings and return the cluster label of each face.

    Args:
        embeddings: (n, d) float32, L2-normalized rows.
        weights: (n,) positive template weight of each face.
        metadata: metadata of the gallery, which gives the threshold for any number of people.

    Returns:
        (n,) int64, labels 0, 1, … in the order of each cluster's first face.
    """
    labels = np.arange(len(embeddings))
    templates = np.ascontiguousarray(embeddings, np.float32)
    while len(templates) > 1:
        components = label_connected_components(templates, metadata.threshold_for(len(templates)))
        if components.max() + 1 == len(templates):
            break
        labels = components[labels]
        templates = make_templates(embeddings, labels, labels.max() + 1, weights)
    _, first, dense_labels = np.unique(labels, return_index=True, return_inverse=True)
    return np.argsort(np.argsort(first))[dense_labels]


def label_connected_components(embeddings: np.ndarray, threshold: float) -> np.ndarray:
    """Label the connected components of the graph of similar embeddings.

    Args:
        embeddings: (n, d) float32, L2-normalized rows, the nodes.
        threshold: lowest inner product that makes an edge.

    Returns:
        (n,) int64, labels from 0.
    """
    index = build_flat_index(embeddings)
    components = np.arange(len(embeddings))
    for rows, columns in _similar_pairs(index, embeddings, threshold):
        components = _merge_components(components, rows, columns)
    return np.unique(components, return_inverse=True)[1]


def _merge_components(components: np.ndarray, rows: np.ndarray, columns: np.ndarray) -> np.ndarray:
    """Merge components along edges.

    Args:
        components: (n,) the lowest node of each node's component.
        rows, columns: (m,) nodes of each edge.

    Returns:
        (n,) as `components`.
    """
    while True:
        one, other = components[rows], components[columns]
        if np.array_equal(one, other):
            return components
        # The lowest node of a component points to a lower one of a component beside it, and all others follow.
        np.minimum.at(components, np.maximum(one, other), np.minimum(one, other))
        while not np.array_equal(components, lower := components[components]):
            components = lower


def _similar_pairs(
    index: faiss.Index, embeddings: np.ndarray, threshold: float
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yield the pairs of similar rows of each block, as row indices (m,) and (m,)."""
    # FAISS returns inner products strictly above the radius, and the threshold itself is an edge.
    radius = float(np.nextafter(np.float32(threshold), np.float32(-2)))
    for start in range(0, len(embeddings), BLOCK_ROWS):
        block = embeddings[start : start + BLOCK_ROWS]
        limits, _, columns = index.range_search(block, radius)
        yield np.repeat(np.arange(start, start + len(block)), np.diff(limits).astype(np.int64)), columns
