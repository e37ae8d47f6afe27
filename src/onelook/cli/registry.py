"""The command that keeps a gallery and its model in MLflow's registry."""

from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import typer

from onelook.cli.common import ModelFolder, ReadGallery, reading
from onelook.errors import GalleryError


def register(
    gallery: ReadGallery = None,
    model: ModelFolder = None,
    alias: Annotated[
        str | None, typer.Option("--alias", help="a name for this version, taken from the one that had it")
    ] = None,
) -> None:
    """Keep a copy of a gallery and its model in MLflow's registry, as a new version of the model "onelook".

    `onelook identify --model models:/onelook@ALIAS`, or models:/onelook/VERSION, then uses both.
    """
    from onelook.experiment import registry
    from onelook.gallery.gallery import open_gallery, own_model

    folder = reading(gallery)
    if not isinstance(folder, Path):
        raise GalleryError(f"{folder}: only a folder can be registered; `onelook copy` makes one of it")
    opened = open_gallery(folder, model=model)  # what cannot be opened is not registered
    version = registry.register(folder, own_model(opened.terms) if model is None else model, alias)
    named = "" if alias is None else f", models:/{registry.REGISTERED}@{alias}"
    print(f"{folder}: models:/{registry.REGISTERED}/{version}{named}")


COMMANDS: dict[str, Callable[..., None]] = {"register": register}
