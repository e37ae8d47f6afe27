"""Import FAISS, and count the cards that it can use."""

import logging
from functools import cache

from onelook.errors import OnelookError
from onelook.forks import compute_alone_after_fork

try:
    import faiss
except ImportError as error:
    raise OnelookError(f"galleries need FAISS ({error}); `pip install faiss-cpu`") from error

__all__ = ["count_gpus", "faiss"]

logger = logging.getLogger(__name__)

compute_alone_after_fork()


@cache
def count_gpus() -> int:
    """Count the cards that FAISS can use; warn, once per process, where a GPU build finds none."""
    if "GPU" not in faiss.get_compile_options().split():
        return 0
    count: int = faiss.get_num_gpus()
    if count == 0:
        logger.warning("faiss-gpu finds no NVIDIA driver or no card: galleries are searched on the CPU")
    return count
