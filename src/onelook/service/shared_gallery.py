"""A gallery that page and API share: one model in memory, one thread at a time."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from onelook.gallery.backend_factory import is_gallery
from onelook.gallery.gallery import Gallery, create_gallery, open_gallery
from onelook.gallery.location import Location


class SharedGallery:
    """A gallery with a lock.

    Attributes:
        gallery: the gallery, for what needs no lock: its metadata and `Gallery.detect_all`.
    """

    def __init__(self, location: Location, *, model: Path | None = None, device: str = "auto") -> None:
        """Open a gallery, or prepare one that the first enrollment writes.

        Args:
            location: folder or Milvus address of the gallery.
            model: model folder or exported file; None: the gallery's model.
            device: of the model, see `open_gallery`.

        Raises:
            GalleryError: the gallery is damaged or was made with another model.
            ModelError: the model is missing or damaged.
        """
        open_or_create = open_gallery if is_gallery(location) else create_gallery
        self.gallery = open_or_create(location, model=model, device=device)
        self._lock = threading.Lock()

    @contextmanager
    def use(self) -> Iterator[Gallery]:
        """Hold the lock, and first load the changes of other processes.

        Raises:
            GalleryError: the gallery cannot be read any more.
        """
        with self._lock:
            self.gallery.refresh()
            yield self.gallery
