"""Decoded images kept in memory up to a bound."""

from collections.abc import Callable
from pathlib import Path
from threading import Lock

import numpy as np


class ImageCache:
    """Reader of images that keeps the first ones it reads.

    Once the memory is full, other images are read each time. An epoch reads every image once, so eviction would only
    exchange images that are needed equally often. Threads may share a cache.
    """

    def __init__(self, read: Callable[[Path], np.ndarray], max_bytes: int) -> None:
        """Create an empty cache.

        Args:
            read: returns the image of a path.
            max_bytes: most memory of the images that are kept.
        """
        self._read = read
        self._free_bytes = max_bytes
        self._images: dict[Path, np.ndarray] = {}
        self._lock = Lock()

    def read(self, path: Path) -> np.ndarray:
        """Return the image of a path, which the caller must not change."""
        image = self._images.get(path)
        if image is None:
            image = self._read(path)
            with self._lock:
                if path not in self._images and image.nbytes <= self._free_bytes:
                    self._images[path] = image
                    self._free_bytes -= image.nbytes
        return image
