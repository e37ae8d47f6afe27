"""Who a face is most like: one template a person, searched by inner product, exactly or nearly so by size.

| people | index | why (`benchmarks/gallery_search.py`) |
|---|---|---|
| under 20,000 | flat: every template is compared | exact, nothing to build, 0.2 ms a face among 10,000 |
| more | inverted lists, quantized; the best again in full | a million: 97 times as fast, recall@1 0.999 |
| any, with FAISS on a GPU | flat | a GPU compares them all; never run here |

A graph (HNSW) finds as well, and takes seven times as long to build: a gallery is indexed anew after every change.
Inverted lists: Sivic and Zisserman, "Video Google", ICCV 2003. Product quantization of four bits in registers: André,
Kermarrec and Le Scouarnec, "Cache locality is not enough", VLDB 2015. In FAISS: Douze et al., "The Faiss library",
2024, section 5.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import faiss
import numpy as np

MOST_FLAT = 20_000
"""From so many people on, templates lie in inverted lists."""
# For every person asked for, so many templates of the lists are compared again with every bit.
_CANDIDATES = 8
# Every so many lists one is visited: the nearest ones.
_VISITED = 8
# Bits of the quantized numbers, which are pairs of the template's: half a byte a pair.
_BITS = 4
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
        embeddings: (n, d) float32, L2-normalized rows.
        owners: n names, whose row each is.

    Returns:
        The names, sorted, and (people, d) float32, a row each.
    """
    names = sorted(set(owners))
    position = {name: place for place, name in enumerate(names)}
    return names, mean_directions(embeddings, np.asarray([position[owner] for owner in owners], np.int64), len(names))


def mean_directions(rows: np.ndarray, groups: np.ndarray, count: int) -> np.ndarray:
    """The direction (count, d) float32 of the sum of each group's rows (n, d), given the group (n,) of each."""
    sums = np.zeros((count, rows.shape[1]))
    # Summed in double precision: the direction of one row is then that row to the last bit but one.
    np.add.at(sums, groups, rows.astype(np.float64))
    return (sums / np.maximum(np.linalg.norm(sums, axis=1, keepdims=True), 1e-12)).astype(np.float32)


class TemplateIndex:
    """A FAISS index over the templates of the enrolled people, of the kind that their number asks for.

    Attributes:
        names: the people, sorted.
    """

    def __init__(self, embeddings: np.ndarray, owners: Sequence[str]) -> None:
        """Take the enrolled rows (n, d) float32 and whose each is."""
        self.names, rows = templates(embeddings, owners)
        on_gpu = faiss.get_num_gpus() > 0
        flat = on_gpu or len(rows) < MOST_FLAT
        index = flat_index(rows) if flat else with_second_look(list_index(rows), rows)
        self._index = faiss.index_cpu_to_all_gpus(index) if on_gpu else index

    def search(self, probes: np.ndarray, count: int = 2) -> Ranking:
        """The `count` most similar people of every probe (m, d) float32, all probes in one call."""
        similarities, places = self._index.search(np.ascontiguousarray(probes, np.float32), count)
        return Ranking(places, np.where(places < 0, -np.inf, similarities).astype(np.float32, copy=False))


def flat_index(rows: np.ndarray) -> faiss.Index:
    """Every row (n, d) float32, compared one by one."""
    index = faiss.IndexFlatIP(rows.shape[1])
    index.add(rows)
    return index


def list_index(rows: np.ndarray) -> faiss.Index:
    """Rows (n, d) float32, d even, in about 2 sqrt(n) inverted lists, d/4 bytes a row; same rows, same index."""
    lists = 2 ** max(3, round(np.log2(2 * np.sqrt(len(rows)))))
    size = rows.shape[1]
    index = faiss.IndexIVFPQFastScan(faiss.IndexFlatIP(size), size, lists, size // 2, _BITS, faiss.METRIC_INNER_PRODUCT)
    index.cp.seed, index.cp.spherical = _SEED, True
    chosen = np.random.default_rng(_SEED).permutation(len(rows))[: _LEARNED_ON * lists]
    index.train(rows[np.sort(chosen)])
    index.add(rows)
    index.nprobe = lists // _VISITED
    return index


def with_second_look(index: faiss.Index, rows: np.ndarray) -> faiss.Index:
    """An index of the rows (n, d) float32 whose candidates are compared again by their exact inner product."""
    refined = faiss.IndexRefineFlat(index, faiss.swig_ptr(rows))  # it copies them
    refined.k_factor = _CANDIDATES
    return refined
