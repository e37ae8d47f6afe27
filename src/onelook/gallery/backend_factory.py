"""Open, create, copy and restore a gallery at a location: a folder (FAISS) or Milvus.

Milvus modules are imported only for a Milvus address, so that its packages stay optional.
"""

from dataclasses import replace

from onelook.gallery import storage
from onelook.gallery.backend import GalleryBackend
from onelook.gallery.data import GalleryData, GalleryMetadata, empty_gallery
from onelook.gallery.faiss_backend import FaissBackend
from onelook.gallery.location import Location, MilvusAddress


def is_gallery(location: Location) -> bool:
    """Return whether the location is occupied by a gallery, or by something that must be refused as one.

    Raises:
        GalleryError: Milvus cannot be used.
    """
    if isinstance(location, MilvusAddress):
        from onelook.gallery.milvus_backend.migration import has_gallery

        return has_gallery(location)
    return storage.is_gallery(location)


def open_backend(location: Location) -> GalleryBackend:
    """Open an existing gallery.

    Raises:
        GalleryError: it is missing or damaged, or Milvus cannot be used.
    """
    if isinstance(location, MilvusAddress):
        from onelook.gallery.milvus_backend.backend import MilvusBackend

        return MilvusBackend(location)
    return FaissBackend(location, storage.read(location))


def create_backend(location: Location, metadata: GalleryMetadata) -> GalleryBackend:
    """Create an empty gallery, which the first enrollment writes.

    Raises:
        GalleryError: Milvus cannot be used.
    """
    if isinstance(location, MilvusAddress):
        from onelook.gallery.milvus_backend.backend import MilvusBackend

        return MilvusBackend(location, metadata)
    return FaissBackend(location, empty_gallery(metadata))


def write_gallery(location: Location, data: GalleryData) -> None:
    """Write a new unmanaged gallery atomically.

    Raises:
        GalleryError: the location is occupied, or cannot be written.
    """
    if isinstance(location, MilvusAddress):
        from onelook.gallery.milvus_backend.migration import write_gallery

        write_gallery(location, data, replace=False)
    else:
        metadata = data.metadata.model_copy(update={"managed": False})
        storage.create(location, replace(data, metadata=metadata))


def restore_gallery(location: Location, data: GalleryData) -> None:
    """Replace a gallery, damaged or not, by the content of a backup, atomically.

    Raises:
        GalleryError: the location cannot be written, or holds a gallery that the pipeline rebuilds.
    """
    if isinstance(location, MilvusAddress):
        from onelook.gallery.milvus_backend.migration import write_gallery

        write_gallery(location, data, replace=True)
    else:
        storage.restore(location, data)
