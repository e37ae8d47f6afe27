"""The command `register`: register a gallery and its model in MLflow's model registry."""

from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import typer

from onelook.cli.common import GalleryOption, ModelOption, resolve_gallery
from onelook.errors import GalleryError


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
    from onelook.experiment.registry import REGISTERED_MODEL, register_gallery
    from onelook.gallery.gallery import default_model, open_gallery

    folder = resolve_gallery(gallery)
    if not isinstance(folder, Path):
        raise GalleryError(f"{folder}: only a folder can be registered; make one with `onelook copy`")
    # A gallery that cannot be opened is not registered.
    metadata = open_gallery(folder, model=model, device="cpu").metadata
    version = register_gallery(folder, default_model(metadata) if model is None else model, alias)
    alias_uri = "" if alias is None else f", models:/{REGISTERED_MODEL}@{alias}"
    print(f"{folder}: models:/{REGISTERED_MODEL}/{version}{alias_uri}")


COMMANDS: dict[str, Callable[..., None]] = {"register": register}
