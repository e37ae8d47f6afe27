"""The command `preset`: apply the settings of a paper to params.yaml."""

import logging
from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import typer

from onelook.cli.common import print_rows

logger = logging.getLogger(__name__)

PARAMS = Path("params.yaml")


def preset(
    name: Annotated[
        str | None, typer.Argument(help="Name of the preset; without it, the presets are listed.", metavar="NAME")
    ] = None,
) -> None:
    """Apply the settings of a paper to params.yaml.

    Without a name, the presets are listed. Comments in params.yaml are kept. Each changed setting is printed with its
    old and new value.
    """
    from onelook.settings.presets import apply_preset, presets

    if name is None:
        print_rows("presets", ("preset", "description"), presets().items())
        return
    changes = apply_preset(name, PARAMS)
    print_rows(f"{PARAMS}: {name}", ("key", "old", "new"), [(change.key, change.old, change.new) for change in changes])
    if not changes:
        logger.warning("%s: %s is set already", PARAMS, name)


COMMANDS: dict[str, Callable[..., None]] = {"preset": preset}
