"""Who a face is most like: one template a person, searched by inner product, exactly or nearly so by size.

| people | index | why (`benchmarks/gallery_search.py`) |
|---|---|---|
| under 20,000 | flat: every template is compared | exact, nothing to build, a face costs a millisecond or two |
| more | inverted lists of 8-bit templates, the best compared again in full | under one template in fifty is compared |

A graph (HNSW) finds as well, but takes many times longer to build, and a gallery is rebuilt at every change. Inverted
lists: Sivic and Zisserman, "Video Google", ICCV 2003; in FAISS: Douze et al., "The Faiss library", 2024, section 5.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import faiss
import numpy as np

MOST_FLAT = 20_000
"""From so many people on, templates lie in inverted lists."""
CANDIDATES = 16
"""Templates of the lists that are compared again with every bit."""
_VISITED = 32
# k-means on more than this for each list makes no better lists (FAISS would warn under 39).
_LEARNED_ON = 40
_SEED = 0


@dataclass(frozen=True, eq=False)
class Ranking:
    """The most similar people of each of m probes, best first.

    Attributes:
        places: (m, k) int64, rows of `TemplateIndex.names`; -1 where there are fewer people, or none was met.
        similarities: (m, k) float32, inner products; minus infinity at places of -1.
    """

    places: np.ndarray
    similarities: np.ndarray


def templates(embeddings: np.ndarray, owners: Sequence[str]) -> tuple[list[str], np.ndarray]:
    """The template of each person: the mean of the person's embeddings, brought back to length 1.

    Args:
        embeddings: (n, d) float32, L2-normalised rows.
        owners: n names, whose row each is.

    Returns:
        The names, sorted, and (people, d) float32, a row each.
    """
    names = sorted(set(owners))
    position = {name: place for place, name in enumerate(names)}
    sums = np.zeros((len(names), embeddings.shape[1]))
    # Summed in double precision: the template of one photo is then that photo's embedding to the last bit but one.
    np.add.at(sums, [position[owner] for owner in owners], embeddings.astype(np.float64))
    lengths = np.linalg.norm(sums, axis=1, keepdims=True)
    return names, (sums / np.maximum(lengths, 1e-12)).astype(np.float32)


class TemplateIndex:
    """A FAISS index over the templates of the enrolled people, of the kind that their number asks for.

    Attributes:
        names: the people, sorted.
    """

    def __init__(self, embeddings: np.ndarray, owners: Sequence[str]) -> None:
        """Take the enrolled rows (n, d) float32 and whose each is."""
        self.names, rows = templates(embeddings, owners)
        flat = len(rows) < MOST_FLAT
        self._index = _on_gpu(flat_index(rows) if flat else list_index(rows))
        self._rows = None if flat else rows  # a flat index holds them itself

    def search(self, probes: np.ndarray, count: int = 2) -> Ranking:
        """The `count` most similar people of every probe (m, d) float32, all probes in one call."""
        probes = np.ascontiguousarray(probes, np.float32)
        if self._rows is None:
            similarities, places = self._index.search(probes, count)
            return Ranking(places, np.where(places < 0, -np.inf, similarities).astype(np.float32, copy=False))
        _, places = self._index.search(probes, max(count, CANDIDATES))
        return rank_again(self._rows, probes, places, count)


def flat_index(rows: np.ndarray) -> faiss.Index:
    """Every row (n, d) float32, compared one by one."""
    index = faiss.IndexFlatIP(rows.shape[1])
    index.add(rows)
    return index


def list_index(rows: np.ndarray) -> faiss.Index:
    """Rows (n, d) float32 in inverted lists, about 4 sqrt(n) of them, a byte a number; same rows, same index."""
    lists = 2 ** max(1, round(np.log2(4 * np.sqrt(len(rows)))))
    size = rows.shape[1]
    index = faiss.IndexIVFScalarQuantizer(
        faiss.IndexFlatIP(size), size, lists, faiss.ScalarQuantizer.QT_8bit, faiss.METRIC_INNER_PRODUCT
    )
    index.cp.seed, index.cp.spherical = _SEED, True
    chosen = np.random.default_rng(_SEED).permutation(len(rows))[: _LEARNED_ON * lists]
    index.train(rows[np.sort(chosen)])
    index.add(rows)
    index.nprobe = min(_VISITED, lists)
    return index


def rank_again(rows: np.ndarray, probes: np.ndarray, places: np.ndarray, count: int) -> Ranking:
    """The best `count` of candidates (m, c) int64, rows of `rows` (n, d), -1 for none, by their exact inner product."""
    similarities = np.matmul(rows[places], probes[:, :, None])[:, :, 0]
    similarities[places < 0] = -np.inf
    order = np.argsort(-similarities, axis=1, kind="stable")[:, :count]
    return Ranking(np.take_along_axis(places, order, 1), np.take_along_axis(similarities, order, 1))


def _on_gpu(index: faiss.Index) -> faiss.Index:
    """The index on all GPUs, where this FAISS was built for them and there is one."""
    return faiss.index_cpu_to_all_gpus(index) if faiss.get_num_gpus() > 0 else index
