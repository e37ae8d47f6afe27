"""Index over the templates of a gallery: exact flat search, or quantized search with exact re-ranking, by size.

| people | index | why (`benchmarks/gallery_search.py`) |
|---|---|---|
| under 200,000 | flat inner product | exact, no training |
| more | 4-bit codes of all templates, re-ranked exactly | a tenth of the time; recall of hard probes is measured |
| from 20,000, if FAISS can use a card | flat inner product on the card | exact; not yet measured on a card |

Among 200,000 people, IVF needs half of its lists for a recall@1 of 0.992, and takes as long as a scan of all codes.
HNSW has 0.792 with `efSearch` 64, 0.964 with 256, and takes 35 times as long to build.

Reference: Douze et al., "The Faiss library", 2024, section 5.
"""

import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from typing import Literal

import numpy as np

from onelook.face_templates import make_person_templates
from onelook.gallery.faiss_library import count_gpus, faiss
from onelook.gallery.gpu_index import GpuIndex
from onelook.gallery.quantized_index import QuantizedIndex, build_quantized_index
from onelook.gallery.ranking import Ranking
from onelook.gallery.template_moments import TemplateMoments

logger = logging.getLogger(__name__)

IndexKind = Literal["flat", "quantized", "gpu"]

MAX_FLAT_SIZE = 200_000
"""Number of people from which a quantized index replaces the flat one on the CPU."""
MIN_GPU_SIZE = 20_000
"""Number of people from which a card searches, where FAISS can use one.

Below it, the search on the CPU takes 0.2 ms per face and leaves a card little to gain. The number is not measured on a
card yet; `benchmarks/gpu.py` measures it.
"""
_DESCRIPTIONS: dict[IndexKind, str] = {
    "flat": "exact search",
    "quantized": "approximate search, re-ranked exactly",
    "gpu": "exact search on the card",
}


class TemplateIndex:
    """An index over one template per person; `select_index` returns its kind.

    Attributes:
        names: the people.
        moments: moments of the templates.
        kind: kind of the index.
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
        self.kind, self._index = _build_index(templates)

    def search(self, probes: np.ndarray, count: int = 2) -> Ranking:
        """Find the `count` most similar people of each probe (m, d) float32."""
        with _one_thread() if self.kind == "flat" and len(probes) == 1 else nullcontext():
            similarities, indices = self._index.search(np.ascontiguousarray(probes, np.float32), count)
        return Ranking(indices, np.where(indices < 0, -np.inf, similarities).astype(np.float32, copy=False))


@contextmanager
def _one_thread() -> Iterator[None]:
    """Let FAISS compute on this thread alone.

    For a single probe among 100,000 people, this takes 4.8 instead of 6.6 ms, and with the refresh 14 instead of 30 ms
    while another process enrolls: threads that wait for each other wait for that process, too
    (benchmarks/gallery_changes.py, on two cores).
    """
    before = faiss.omp_get_max_threads()  # of this thread, as the next line
    faiss.omp_set_num_threads(1)
    try:
        yield
    finally:
        faiss.omp_set_num_threads(before)


def select_index(num_people: int, num_gpus: int) -> IndexKind:
    """Return the index for a number of people and a number of cards; "gpu" is a flat index on a card."""
    if num_gpus > 0 and num_people >= MIN_GPU_SIZE:
        return "gpu"
    return "flat" if num_people < MAX_FLAT_SIZE else "quantized"


def describe_search(kind: IndexKind) -> str:
    """Describe the search of an index in a few words for users."""
    return _DESCRIPTIONS[kind]


def _build_index(rows: np.ndarray) -> tuple[IndexKind, faiss.Index | GpuIndex | QuantizedIndex]:
    """Build the index for rows (n, d) float32; on the CPU where the memory of the card is too small."""
    kind = select_index(len(rows), count_gpus())
    if kind == "gpu":
        try:
            return kind, GpuIndex(build_flat_index(rows))
        except RuntimeError as error:
            logger.warning("FAISS cannot use the card (%s): the gallery is searched on the CPU", _first_line(error))
            kind = select_index(len(rows), 0)
    if kind == "quantized":
        index = build_quantized_index(rows)
        if index is not None:
            return kind, index
        logger.warning("quantized templates lose too many matches in this gallery: its search is exact, and slower")
    return "flat", build_flat_index(rows)


def _first_line(error: Exception) -> str:
    return str(error).partition("\n")[0]


def build_flat_index(rows: np.ndarray) -> faiss.Index:
    """Build an exact inner-product index over rows (n, d) float32."""
    index = faiss.IndexFlatIP(rows.shape[1])
    index.add(rows)
    return index
