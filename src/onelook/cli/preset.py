"""The command that writes the settings of a paper."""

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import typer

from onelook.cli.common import print_rows

PARAMS = Path("params.yaml")


def preset(
    name: Annotated[str | None, typer.Argument(help="which preset; none: list them", metavar="[NAME]")] = None,
) -> None:
    """Write the settings of a paper into ./params.yaml, keeping its comments; without a name, list the presets."""
    from onelook.settings.presets import apply_preset, presets

    if name is None:
        print_rows("presets", ("preset", "what it is"), presets().items())
        return
    changes = apply_preset(name, PARAMS)
    print_rows(f"{PARAMS}: {name}", ("key", "old", "new"), [(each.key, each.old, each.new) for each in changes])
    if not changes:
        print(f"{PARAMS}: {name} is set already", file=sys.stderr)


COMMANDS: dict[str, Callable[..., None]] = {"preset": preset}
