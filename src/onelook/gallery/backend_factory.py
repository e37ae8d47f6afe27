"""Open, create and restore the backend of a gallery, given its location."""

from onelook.gallery import storage
from onelook.gallery.backend import GalleryBackend
from onelook.gallery.data import GalleryData, GalleryMetadata, empty_gallery
from onelook.gallery.faiss_backend import FaissBackend
from onelook.gallery.location import Location, MilvusAddress


def is_gallery(place: Location) -> bool:
    """Whether anything is there that must be read, or refused, as a gallery.

    Raises:
        GalleryError: Milvus cannot be used.
    """
    if isinstance(place, MilvusAddress):
        from onelook.gallery.milvus_backend.migration import has_gallery

        return has_gallery(place)
    return storage.is_gallery(place)


def open_backend(place: Location) -> GalleryBackend:
    """The people of a gallery that is there.

    Raises:
        GalleryError: it is missing or damaged, or Milvus cannot be used.
    """
    if isinstance(place, MilvusAddress):
        from onelook.gallery.milvus_backend.backend import MilvusBackend

        return MilvusBackend(place)
    return FaissBackend(place, storage.read(place))


def create_backend(place: Location, terms: GalleryMetadata) -> GalleryBackend:
    """Nobody yet; the first enrollment begins the gallery.

    Raises:
        GalleryError: Milvus cannot be used.
    """
    if isinstance(place, MilvusAddress):
        from onelook.gallery.milvus_backend.backend import MilvusBackend

        return MilvusBackend(place, terms)
    return FaissBackend(place, empty_gallery(terms))


def write_gallery(place: Location, contents: GalleryData) -> None:
    """Write a new gallery, which is there whole or not at all, for changes by hand.

    Raises:
        GalleryError: something is there already, or it cannot be written.
    """
    if isinstance(place, MilvusAddress):
        from onelook.gallery.milvus_backend.migration import write_gallery

        write_gallery(place, contents, replace=False)
    else:
        terms = contents.terms.model_copy(update={"managed": False})
        storage.create(place, GalleryData(terms, contents.entries, contents.embeddings))


def restore_gallery(place: Location, contents: GalleryData) -> None:
    """Put back what a backup holds, in one step, in the place of what is there, damaged or not.

    Raises:
        GalleryError: it cannot be written there, or is a gallery that the pipeline rebuilds.
    """
    if isinstance(place, MilvusAddress):
        from onelook.gallery.milvus_backend.migration import write_gallery

        write_gallery(place, contents, replace=True)
    else:
        storage.restore(place, contents)
