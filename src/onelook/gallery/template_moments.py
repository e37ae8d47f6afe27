"""Moments of a gallery's templates: mean and variance of a face's similarities without comparing it to everybody."""

import numpy as np

from onelook.score_normalization import SimilarityMoments, moments_of_others

# Templates in one matrix product: float32 sums of so few are exact to six digits, and float64 holds the total.
_BLOCK_SIZE = 4096


class TemplateMoments:
    """The mean template and the mean outer product of the templates.

    The mean similarity of a face x is its inner product with the mean template, and the mean square of its similarities
    is x^T M x with the mean outer product M.
    """

    def __init__(self, templates: np.ndarray, people_count: int) -> None:
        """Compute the moments.

        Args:
            templates: (n, d) float32, all people of the gallery or a sample of them.
            people_count: number of people in the gallery.
        """
        self.people_count = people_count
        count, size = max(len(templates), 1), templates.shape[1]
        self._mean = templates.sum(axis=0, dtype=np.float64) / count
        self._outer = np.zeros((size, size))
        for start in range(0, len(templates), _BLOCK_SIZE):
            block = templates[start : start + _BLOCK_SIZE]
            self._outer += block.T @ block
        self._outer /= count

    def replaced(self, removed: np.ndarray, added: np.ndarray) -> "TemplateMoments":
        """Return the moments with other templates: (r, d) float32 removed from them, (a, d) float32 added."""
        moments = TemplateMoments(added, self.people_count + len(added) - len(removed))
        old, new, count = removed.astype(np.float64), added.astype(np.float64), max(moments.people_count, 1)
        moments._mean = (self._mean * self.people_count + new.sum(axis=0) - old.sum(axis=0)) / count
        moments._outer = (self._outer * self.people_count + new.T @ new - old.T @ old) / count
        return moments

    def of_others(self, probes: np.ndarray, best: np.ndarray) -> SimilarityMoments:
        """Compute the moments of the similarities of probes to all people but the most similar one.

        Args:
            probes: (m, d) float32.
            best: (m,) similarity of each probe to its most similar person.
        """
        rows = probes.astype(np.float64)
        total = self.people_count * (rows @ self._mean)
        squares = self.people_count * ((rows @ self._outer) * rows).sum(axis=1)
        return moments_of_others(self.people_count, total, squares, best.astype(np.float64))
