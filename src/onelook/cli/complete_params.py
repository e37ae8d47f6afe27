"""The command `complete-params`: add the settings that params.yaml lacks."""

from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import typer

from onelook.cli.common import print_rows
from onelook.cli.preset import PARAMS


def complete_params(
    params: Annotated[Path, typer.Argument(help="File of the settings.", metavar="FILE")] = PARAMS,
) -> None:
    """Add the settings that params.yaml lacks, with their defaults.

    DVC stops at a params.yaml that is older than one of the settings of its stages. Everything in the file is kept.
    Each added setting is printed with its value.
    """
    from onelook.settings.completion import complete_params as insert_missing

    added = insert_missing(params)
    if added:
        print_rows(f"{params}: added", ("key", "value"), added.items())
    else:
        print(f"{params}: nothing to add")


COMMANDS: dict[str, Callable[..., None]] = {"complete-params": complete_params}
