"""The command `forget`: remove a person from a gallery."""

from collections.abc import Callable

from onelook.cli.common import DEFAULT_GALLERY, NameArgument, WritableGalleryOption


def forget(name: NameArgument, gallery: WritableGalleryOption = DEFAULT_GALLERY) -> None:
    """Remove a person and all their data from a gallery.

    Backups and exports of the gallery are not changed.
    """
    from onelook.gallery.backend_factory import open_backend
    from onelook.gallery.names import normalize_name

    normalized = normalize_name(name)
    open_backend(gallery).forget(normalized)
    print(f"{normalized}: forgotten, nothing of it is left in {gallery}")


COMMANDS: dict[str, Callable[..., None]] = {"forget": forget}
