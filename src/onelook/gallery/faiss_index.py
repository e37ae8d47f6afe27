"""FAISS index over the templates of a gallery: exact flat search, or IVF-PQ with exact re-ranking, by size.

| people | index | why (`benchmarks/gallery_search.py`) |
|---|---|---|
| under 20,000 | flat inner product | exact, no training, 0.2 ms per face among 10,000 people |
| more | IVF with 4-bit PQ, re-ranked at full precision | one million people: 97 times as fast, recall@1 0.999 |
| more, and FAISS can use a card | flat inner product on the card | exact, no training; not yet measured on a card |

HNSW reaches the same recall but takes seven times as long to build, and a gallery is re-indexed after every change.

References: Sivic and Zisserman, "Video Google", ICCV 2003 (inverted file, IVF). André, Kermarrec and Le Scouarnec,
"Cache locality is not enough", VLDB 2015 (4-bit product quantization in registers). Douze et al., "The Faiss library",
2024, section 5.
"""

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from onelook.face_templates import make_person_templates
from onelook.gallery.faiss_library import count_gpus, faiss
from onelook.gallery.gpu_index import GpuIndex
from onelook.gallery.template_moments import TemplateMoments

logger = logging.getLogger(__name__)

MAX_FLAT_SIZE = 20_000
"""Number of people from which an IVF index replaces the flat one on the CPU."""
MIN_GPU_SIZE = MAX_FLAT_SIZE
"""Number of people from which a card searches, where FAISS can use one.

Below it, the search on the CPU is exact, and its 0.2 ms per face leave a card little to gain. From there on, the CPU's
index is approximate and has to be trained. The number is not measured on a card yet; `benchmarks/gpu.py` measures it.
"""
# The lists searched per query: nprobe = nlist / NPROBE_DIVISOR.
NPROBE_DIVISOR = 8
# Candidates re-ranked at full precision, per neighbor asked for (`k_factor` of FAISS).
RERANK_FACTOR = 8
# PQ bits per code; a code holds two dimensions, so a template of d dimensions takes d/4 bytes.
PQ_BITS = 4
# Templates per list that train k-means and PQ. FAISS warns below 39; more did not raise recall.
TRAINING_SIZE_PER_LIST = 40
_SEED = 0


@dataclass(frozen=True, eq=False)
class Ranking:
    """The k most similar people of each of m probes, best first.

    Attributes:
        indices: (m, k) int64, positions in `TemplateIndex.names`; -1 where fewer than k people were found.
        similarities: (m, k) float32, inner products; minus infinity where the index is -1.
    """

    indices: np.ndarray
    similarities: np.ndarray


class TemplateIndex:
    """A FAISS index over one template per person; `select_index` returns its kind.

    Attributes:
        names: the people.
        moments: moments of the templates.
    """

    def __init__(self, embeddings: np.ndarray, identities: Sequence[str], weights: np.ndarray | None = None) -> None:
        """Build the templates and the index.

        Args:
            embeddings: (n, d) float32, one row per enrolled face.
            identities: the n names of the rows.
            weights: (n,) template weight of each row; equal by default.
        """
        self._build(*make_person_templates(embeddings, identities, weights))

    @classmethod
    def from_templates(cls, names: list[str], templates: np.ndarray) -> "TemplateIndex":
        """Build the index of people with templates (n, d) float32, L2-normalized."""
        index = cls.__new__(cls)
        index._build(names, templates)
        return index

    def _build(self, names: list[str], templates: np.ndarray) -> None:
        self.names = names
        self.moments = TemplateMoments(templates, len(templates))
        self._index = _build_index(templates)

    def search(self, probes: np.ndarray, count: int = 2) -> Ranking:
        """Find the `count` most similar people of each probe (m, d) float32."""
        similarities, indices = self._index.search(np.ascontiguousarray(probes, np.float32), count)
        return Ranking(indices, np.where(indices < 0, -np.inf, similarities).astype(np.float32, copy=False))


def select_index(num_people: int, num_gpus: int) -> Literal["flat", "ivf", "gpu"]:
    """Return the index for a number of people and a number of cards; "gpu" is a flat index on a card."""
    if num_gpus > 0 and num_people >= MIN_GPU_SIZE:
        return "gpu"
    return "flat" if num_people < MAX_FLAT_SIZE else "ivf"


def _build_index(rows: np.ndarray) -> faiss.Index | GpuIndex:
    """Build the index for rows (n, d) float32; on the CPU where the memory of the card is too small."""
    kind = select_index(len(rows), count_gpus())
    if kind == "gpu":
        try:
            return GpuIndex(build_flat_index(rows))
        except RuntimeError as error:
            logger.warning("FAISS cannot use the card (%s): the gallery is searched on the CPU", _first_line(error))
            kind = select_index(len(rows), 0)
    return build_flat_index(rows) if kind == "flat" else add_reranking(build_ivf_index(rows), rows)


def _first_line(error: Exception) -> str:
    return str(error).partition("\n")[0]


def build_flat_index(rows: np.ndarray) -> faiss.Index:
    """Build an exact inner-product index over rows (n, d) float32."""
    index = faiss.IndexFlatIP(rows.shape[1])
    index.add(rows)
    return index


def build_ivf_index(rows: np.ndarray) -> faiss.Index:
    """Build an IVF-PQ fast-scan index with about 2 sqrt(n) lists over rows (n, d) float32, d even.

    The k-means seed is fixed, so equal rows give an equal index.
    """
    nlist = 2 ** max(3, round(np.log2(2 * np.sqrt(len(rows)))))
    dim = rows.shape[1]
    quantizer = faiss.IndexFlatIP(dim)
    index = faiss.IndexIVFPQFastScan(quantizer, dim, nlist, dim // 2, PQ_BITS, faiss.METRIC_INNER_PRODUCT)
    index.cp.seed, index.cp.spherical = _SEED, True
    training = np.random.default_rng(_SEED).permutation(len(rows))[: TRAINING_SIZE_PER_LIST * nlist]
    index.train(rows[np.sort(training)])
    index.add(rows)
    index.nprobe = nlist // NPROBE_DIVISOR
    return index


def add_reranking(index: faiss.Index, rows: np.ndarray) -> faiss.Index:
    """Wrap an index so that its candidates are re-ranked by exact inner product with rows (n, d) float32."""
    reranked = faiss.IndexRefineFlat(index, faiss.swig_ptr(rows))  # FAISS copies the rows
    reranked.k_factor = RERANK_FACTOR
    return reranked
