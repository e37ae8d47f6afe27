"""The command `onelook`, a file for every kind of command.

What needs torch or FAISS is imported inside the commands, so that help and mistyped commands answer at once.
"""

import sys
from typing import TextIO, cast

import typer

from onelook.cli import copy, export_model, gallery, identify, media, page, preset, registry
from onelook.cli.common import complain
from onelook.errors import OnelookError
from onelook.interrupts import redeliver_interrupts

app = typer.Typer(
    help="Find every face in a photo and say who it is.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
for part in (identify, gallery, media, page, registry, copy, preset, export_model):
    for name, command in part.COMMANDS.items():
        app.command(name)(command)


def main() -> None:
    """Run the command; an OnelookError ends it with its line on stderr and exit code 1, Ctrl-C with 130."""
    for stream in (sys.stdout, sys.stderr):
        # A name that the terminal's encoding lacks is shown escaped instead of ending the command.
        cast("TextIO", stream).reconfigure(errors="backslashreplace")  # type: ignore[attr-defined]
    try:
        with redeliver_interrupts():
            app()
    except OnelookError as error:
        complain(error)
        sys.exit(1)
    except KeyboardInterrupt:
        sys.exit(130)
