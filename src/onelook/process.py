"""Process-wide settings of the programs: OpenMP spinning and glibc's allocator.

Only the command line (`onelook.cli`) and the stages (`onelook.experiment.stage_main`) call this module. Importing
`onelook` or loading a predictor changes nothing in the process of the caller.
"""

import ctypes
import mmap
import os
import sys
from functools import cache

# glibc's malloc.h.
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3
_RETAINED_BYTES = 1 << 30
# Address space that is advised to use huge pages. A page takes memory only when it is first written.
_HUGE_PAGE_BYTES = 1 << 28
_HUGE_PAGE = 1 << 21
# libgomp's threads spin this many rounds before they sleep.
_SPIN_COUNT = "10000"


def configure_process() -> None:
    """Configure OpenMP and the allocator for inference in this process.

    - Sets the environment variable `GOMP_SPINCOUNT`, unless it is set. libgomp reads it once, when torch is loaded:
      call this before the first import of torch. Otherwise only child processes are affected. Threads that spin
      while they wait take the cores from other processes on a busy machine.
    - Calls `retain_freed_memory`.
    """
    os.environ.setdefault("GOMP_SPINCOUNT", _SPIN_COUNT)
    retain_freed_memory()


@cache
def retain_freed_memory() -> None:
    """Retain up to 1 GiB of freed memory in the process, in huge pages.

    Inference on a VGA image allocates and frees tens of megabytes. By default glibc returns each large block to the
    kernel, which zeroes every page again at the next allocation: up to a fifth of the time of a prediction. Pages of
    2 MiB instead of 4 KiB also need fewer TLB entries (`docs/profile.md`, `benchmarks/profile_pass.py`). Does nothing
    where the C library is not glibc.
    """
    if sys.platform == "linux" and hasattr(library := ctypes.CDLL(None), "mallopt"):
        library.mallopt(_M_TRIM_THRESHOLD, _RETAINED_BYTES)
        library.mallopt(_M_MMAP_THRESHOLD, _RETAINED_BYTES)
        _advise_huge_pages(library)


def _advise_huge_pages(library: ctypes.CDLL) -> None:
    """Grow the heap, advise huge pages for the added range, and free it again."""
    library.malloc.restype = ctypes.c_void_p
    start = library.malloc(ctypes.c_size_t(_HUGE_PAGE_BYTES))
    if start is not None:
        first = -(-start // _HUGE_PAGE) * _HUGE_PAGE
        length = start + _HUGE_PAGE_BYTES - first
        library.madvise(ctypes.c_void_p(first), ctypes.c_size_t(length), mmap.MADV_HUGEPAGE)
        library.free(ctypes.c_void_p(start))
