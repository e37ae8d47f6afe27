"""Candidates that Milvus names, compared again with every bit."""

import numpy as np

from onelook.gallery.faiss_index import Ranking

CANDIDATES = 16
"""Templates that Milvus is asked for, for every probe."""


def rank_again(rows: np.ndarray, probes: np.ndarray, places: np.ndarray, count: int) -> Ranking:
    """The best `count` of candidates (m, c) int64, rows of `rows` (n, d), -1 for none, by their exact inner product."""
    similarities = np.matmul(rows[places], probes[:, :, None])[:, :, 0]
    similarities[places < 0] = -np.inf
    order = np.argsort(-similarities, axis=1, kind="stable")[:, :count]
    return Ranking(np.take_along_axis(places, order, 1), np.take_along_axis(similarities, order, 1))
