"""Copy a FAISS index to a card, and search it there.

Only searches run on the card. A gallery is saved from its embeddings in the memory of the CPU.
"""

import threading
from functools import cache

import numpy as np

from onelook.gallery.faiss_library import faiss

# FAISS serves one call at a time per resources object, also for different indexes. Reentrant, since the garbage
# collector may delete an index in a thread that holds the lock.
_LOCK = threading.RLock()


class GpuIndex:
    """A copy of a CPU index in the memory of card 0; several threads may search it."""

    def __init__(self, index: faiss.Index) -> None:
        """Copy the index.

        Raises:
            RuntimeError: the memory of the card is too small.
        """
        with _LOCK:
            self._index = faiss.index_cpu_to_gpu(_resources(), 0, index)

    def search(self, probes: np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray]:
        """Search probes (m, d) float32 as a CPU index does; return similarities (m, count) and rows (m, count)."""
        with _LOCK:
            similarities, rows = self._index.search(probes, count)
        return similarities, rows

    def __del__(self) -> None:
        """Free the memory of the card."""
        with _LOCK:
            self.__dict__.pop("_index", None)


@cache
def _resources() -> "faiss.StandardGpuResources":  # which faiss-cpu lacks
    """Return the streams and the scratch memory of the card.

    All indexes of the process share them: they take up to 1.5 GiB, and a gallery is re-indexed after every change.
    """
    return faiss.StandardGpuResources()
