"""Open, create, copy and restore a gallery at a location: a folder (FAISS) or Milvus.

Milvus modules are imported only for a Milvus address, so that its packages stay optional.
"""

from dataclasses import replace
from pathlib import Path

from onelook.errors import GalleryError
from onelook.gallery import storage
from onelook.gallery.backend import GalleryBackend
from onelook.gallery.backup import write_backup
from onelook.gallery.data import GalleryData, GalleryMetadata
from onelook.gallery.faiss_backend import FaissBackend
from onelook.gallery.forgetting import Forgetting
from onelook.gallery.location import Location, MilvusAddress
from onelook.gallery.restoring import Restoration, kept_name


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
    return FaissBackend(location)


def create_backend(location: Location, metadata: GalleryMetadata) -> GalleryBackend:
    """Create an empty gallery, which the first enrollment writes.

    Raises:
        GalleryError: Milvus cannot be used.
    """
    if isinstance(location, MilvusAddress):
        from onelook.gallery.milvus_backend.backend import MilvusBackend

        return MilvusBackend(location, metadata)
    return FaissBackend(location, metadata)


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


def read_forgotten(location: Location) -> tuple[Forgetting, ...]:
    """Read the record of forgotten people of the gallery at a location; Milvus keeps none.

    Raises:
        GalleryError: it is damaged.
    """
    return () if isinstance(location, MilvusAddress) else storage.read_forgotten(location)


def restore_gallery(location: Location, data: GalleryData, *, with_forgotten: bool = False) -> Restoration:
    """Replace a gallery, damaged or not, by the content of a backup, atomically; see `storage.restore`.

    The present gallery is kept: that in a folder as a folder beside it, that in Milvus as a backup beside the database
    or, of a server, in the working directory. One in Milvus that cannot be read is not kept.

    Raises:
        GalleryError: the location cannot be written, or holds a gallery that the pipeline rebuilds.
    """
    if not isinstance(location, MilvusAddress):
        return storage.restore(location, data, with_forgotten=with_forgotten, keep=True)
    from onelook.gallery.milvus_backend.migration import write_gallery

    kept = _back_up_milvus(location) if is_gallery(location) else None
    write_gallery(location, data, replace=True)
    return Restoration(data, (), kept)


def _back_up_milvus(address: MilvusAddress) -> Path | None:
    folder = Path(address.uri).parent if address.is_embedded else Path()
    kept = folder / f"{kept_name(address.name)}.zip"
    try:
        data = open_backend(address).read_data()
    except GalleryError:  # damaged: the case that backups are for
        return None
    write_backup(kept, data)
    return kept
