"""Memory that a look at a photo takes, kept for the next look."""

import ctypes
import sys

# As in glibc's malloc.h.
_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3
_KEPT = 1 << 30


def keep_freed_memory() -> None:
    """Let freed memory, up to a gigabyte, stay with this process instead of going back to the system at once.

    A look at a VGA photo takes and frees some tens of megabytes. Asked for anew, every page of them is cleared by the
    system first, which took up to a fifth of the look (`docs/profile.md`). Does nothing where C's library is not glibc.
    """
    if sys.platform == "linux":
        mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
        if mallopt is not None:
            mallopt(_TRIM_THRESHOLD, _KEPT)
            mallopt(_MMAP_THRESHOLD, _KEPT)
