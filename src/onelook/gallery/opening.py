"""A gallery by its place, a folder or an address in Milvus: whether it is there, opened, written new, put back."""

from onelook.gallery import store
from onelook.gallery.contents import Contents, Terms, empty
from onelook.gallery.engine import Engine
from onelook.gallery.folder_engine import FolderEngine
from onelook.gallery.place import MilvusAddress, Place


def is_gallery(place: Place) -> bool:
    """Whether anything is there that must be read, or refused, as a gallery.

    Raises:
        GalleryError: Milvus cannot be used.
    """
    if isinstance(place, MilvusAddress):
        from onelook.gallery.milvus.whole import has_gallery

        return has_gallery(place)
    return store.is_gallery(place)


def open_engine(place: Place) -> Engine:
    """The people of a gallery that is there.

    Raises:
        GalleryError: it is missing or damaged, or Milvus cannot be used.
    """
    if isinstance(place, MilvusAddress):
        from onelook.gallery.milvus.engine import MilvusEngine

        return MilvusEngine(place)
    return FolderEngine(place, store.read(place))


def new_engine(place: Place, terms: Terms) -> Engine:
    """Nobody yet; the first enrolment begins the gallery.

    Raises:
        GalleryError: Milvus cannot be used.
    """
    if isinstance(place, MilvusAddress):
        from onelook.gallery.milvus.engine import MilvusEngine

        return MilvusEngine(place, terms)
    return FolderEngine(place, empty(terms))


def write(place: Place, contents: Contents) -> None:
    """Write a new gallery, which is there whole or not at all, for changes by hand.

    Raises:
        GalleryError: something is there already, or it cannot be written.
    """
    if isinstance(place, MilvusAddress):
        from onelook.gallery.milvus.whole import write_gallery

        write_gallery(place, contents, replace=False)
    else:
        terms = contents.terms.model_copy(update={"managed": False})
        store.create(place, Contents(terms, contents.entries, contents.embeddings))


def restore(place: Place, contents: Contents) -> None:
    """Put back what a backup holds, in one step, in the place of what is there, damaged or not.

    Raises:
        GalleryError: it cannot be written there, or is a gallery that the pipeline rebuilds.
    """
    if isinstance(place, MilvusAddress):
        from onelook.gallery.milvus.whole import write_gallery

        write_gallery(place, contents, replace=True)
    else:
        store.restore(place, contents)
