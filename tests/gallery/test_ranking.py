"""Exact re-ranking of candidates."""

import numpy as np

from onelook.gallery.ranking import rerank


def test_rerank_sorts_by_inner_product_with_missing_candidates_last() -> None:
    rows = np.eye(3, dtype=np.float32)
    probes = np.asarray([[0.1, 0.7, 0.2], [0.5, 0.5, 0.6]], np.float32)
    found = rerank(rows, probes, np.asarray([[2, -1, 0, 1], [-1, -1, -1, 1]]), 2)
    np.testing.assert_array_equal(found.indices, [[1, 2], [1, -1]])
    np.testing.assert_allclose(found.similarities, [[0.7, 0.2], [0.5, -np.inf]])
