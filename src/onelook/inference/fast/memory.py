"""Memory that a look at a photo takes, kept for the next look."""

import ctypes
import mmap
import sys
from functools import cache

# As in glibc's malloc.h.
_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3
_KEPT = 1 << 30
# Address space that looks find most of their memory in; none of it is taken before it is used.
_LARGE_PAGED = 1 << 28
_LARGE_PAGE = 1 << 21


@cache
def retain_freed_memory() -> None:
    """Let freed memory, up to a gigabyte, stay with this process instead of going back to the system at once.

    A look at a VGA photo takes and frees some tens of megabytes. Asked for anew, every page of them is cleared by the
    system first, which took up to a fifth of the look; and in pages of four kilobytes it is more pages than a processor
    knows the places of at a time, so pages of two megabytes are asked for (`docs/profile.md`). Does nothing where C's
    library is not glibc.
    """
    if sys.platform == "linux" and hasattr(library := ctypes.CDLL(None), "mallopt"):
        library.mallopt(_TRIM_THRESHOLD, _KEPT)
        library.mallopt(_MMAP_THRESHOLD, _KEPT)
        _ask_for_large_pages(library)


def _ask_for_large_pages(library: ctypes.CDLL) -> None:
    """Grow the heap, tell the system of what was added, and leave it to whoever asks for memory next."""
    library.malloc.restype = ctypes.c_void_p
    start = library.malloc(ctypes.c_size_t(_LARGE_PAGED))
    if start is not None:
        first = -(-start // _LARGE_PAGE) * _LARGE_PAGE
        length = start + _LARGE_PAGED - first
        library.madvise(ctypes.c_void_p(first), ctypes.c_size_t(length), mmap.MADV_HUGEPAGE)
        library.free(ctypes.c_void_p(start))
