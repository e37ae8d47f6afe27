"""Rankings of people by similarity, and the exact re-ranking of candidates."""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True, eq=False)
class Ranking:
    """The k most similar people of each of m probes, best first.

    Attributes:
        indices: (m, k) int64, positions in the names that come with the ranking; -1 where fewer than k were found.
        similarities: (m, k) float32, inner products; minus infinity where the index is -1.
    """

    indices: np.ndarray
    similarities: np.ndarray


def rerank(rows: np.ndarray, probes: np.ndarray, candidates: np.ndarray, count: int) -> Ranking:
    """Rank candidates by their exact inner product and keep the best `count`.

    Args:
        rows: (n, d) float32 templates.
        probes: (m, d) float32.
        candidates: (m, c) int64, positions in `rows`; -1 for none.
        count: neighbors per probe.
    """
    similarities = np.matmul(rows[candidates], probes[:, :, None])[:, :, 0]
    similarities[candidates < 0] = -np.inf
    order = np.argsort(-similarities, axis=1, kind="stable")[:, :count]
    return Ranking(np.take_along_axis(candidates, order, 1), np.take_along_axis(similarities, order, 1))
