"""Candidates in full precision."""

import numpy as np

from onelook.gallery.milvus_backend.ranking import rank_again


def test_candidates_are_ranked_in_full_and_none_comes_last() -> None:
    rows = np.eye(3, dtype=np.float32)
    probes = np.asarray([[0.1, 0.7, 0.2], [0.5, 0.5, 0.6]], np.float32)
    found = rank_again(rows, probes, np.asarray([[2, -1, 0, 1], [-1, -1, -1, 1]]), 2)
    np.testing.assert_array_equal(found.places, [[1, 2], [1, -1]])
    np.testing.assert_allclose(found.similarities, [[0.7, 0.2], [0.5, -np.inf]])
