"""The commands `register` and `unregister`: galleries with their models in MLflow's model registry."""

from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import typer

from onelook.cli.common import GalleryOption, ModelOption, YesOption, confirm, pluralize, resolve_gallery
from onelook.errors import GalleryError, OnelookError


def register(
    gallery: GalleryOption = None,
    model: ModelOption = None,
    alias: Annotated[
        str | None,
        typer.Option("--alias", metavar="ALIAS", help="Alias of the new version, moved from the version that had it."),
    ] = None,
) -> None:
    """Register a gallery and its model in MLflow's registry.

    Both are copied into a new version of the registered model "onelook". To use them, run `onelook identify --model
    models:/onelook@ALIAS` or `--model models:/onelook/VERSION`.
    """
    from onelook.experiment.gallery_copies import REGISTERED_MODEL
    from onelook.experiment.registry import register_gallery
    from onelook.gallery.gallery import default_model, open_gallery

    folder = resolve_gallery(gallery)
    if not isinstance(folder, Path):
        raise GalleryError(f"{folder}: only a folder can be registered; make one with `onelook copy`")
    # A gallery that cannot be opened is not registered.
    metadata = open_gallery(folder, model=model, device="cpu").metadata
    version = register_gallery(folder, default_model(metadata) if model is None else model, alias)
    alias_uri = "" if alias is None else f", models:/{REGISTERED_MODEL}@{alias}"
    print(f"{folder}: models:/{REGISTERED_MODEL}/{version}{alias_uri}")


def unregister(
    versions: Annotated[
        list[str] | None,
        typer.Argument(
            help="Numbers of versions, or models:/onelook@ALIAS.", metavar="[VERSION]...", show_default=False
        ),
    ] = None,
    deleted: Annotated[
        bool, typer.Option("--deleted", help="Remove the files of versions that were deleted in MLflow, too.")
    ] = False,
    yes: YesOption = False,
) -> None:
    """Remove registered versions and their files for good.

    A version that is deleted in MLflow's pages keeps its files, and the people in them; --deleted removes these.
    """
    from onelook.experiment.gallery_copies import REGISTERED_MODEL
    from onelook.experiment.version_removal import remove_orphans, remove_version

    if not versions and not deleted:
        raise OnelookError("name a version, as in `onelook unregister 3`, or --deleted")
    uris = [f"models:/{REGISTERED_MODEL}/{each}" if each.isdecimal() else each for each in versions or []]
    targets = uris + (["the files of deleted versions"] if deleted else [])
    confirm(f"Remove {', '.join(targets)} for good?", yes)
    for uri in uris:
        print(f"{uri}: version {remove_version(uri)} removed with its files")
    if deleted:
        print(f"files of {pluralize(remove_orphans(), 'deleted version')} removed")


COMMANDS: dict[str, Callable[..., None]] = {"register": register, "unregister": unregister}
