"""The command line `onelook`: one subcommand per function of the modules of this package.

The functions import torch, FAISS and OpenCV inside their bodies, so that `onelook --help` starts without them.
"""

import functools
import inspect
import logging
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, TextIO, cast

import typer

import onelook
from onelook.cli import (
    backup,
    collect_faces,
    complete_params,
    copy,
    detect,
    export_model,
    forget,
    gallery,
    identify,
    match,
    media,
    page,
    preset,
    registry,
    turn_faces,
    watch,
)
from onelook.cli.extras import with_extra_named
from onelook.errors import OnelookError, is_out_of_memory
from onelook.interrupts import raise_on_sigterm, redeliver_interrupts
from onelook.logs import configure_logging
from onelook.process import configure_process

logger = logging.getLogger(__name__)

VerboseOption = Annotated[
    int,
    typer.Option(
        "--verbose", "-v", count=True, show_default=False, help="Show info messages; -vv: show debug messages too."
    ),
]
QuietOption = Annotated[bool, typer.Option("--quiet", "-q", help="Show errors only.")]


def with_verbosity(command: Callable[..., None]) -> Callable[..., None]:
    """Add the options -v and -q to a command."""

    @functools.wraps(command)
    def configured(*args: Any, verbose: int, quiet: bool, **kwargs: Any) -> None:
        configure_logging(-1 if quiet else verbose)
        command(*args, **kwargs)

    options = {"verbose": (VerboseOption, 0), "quiet": (QuietOption, False)}
    signature = inspect.signature(command)
    extra = [
        inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=annotation)
        for name, (annotation, default) in options.items()
    ]
    configured.__signature__ = signature.replace(parameters=[*signature.parameters.values(), *extra])  # type: ignore[attr-defined]
    configured.__annotations__ = command.__annotations__ | {
        name: annotation for name, (annotation, _) in options.items()
    }
    return configured


def _print_version(is_wanted: bool) -> None:
    if is_wanted:
        print(f"onelook {onelook.__version__}")
        raise typer.Exit


app = typer.Typer(
    help="Detect the faces in photos and videos, and identify the people.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)


@app.callback()
def _options(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Show the version and exit.")
    ] = False,
) -> None:
    """Take the options before the command, which act by themselves."""


for module in (
    *(detect, match, identify, gallery, media, watch, page),
    *(forget, backup, registry, copy, preset, complete_params, export_model, collect_faces, turn_faces),
):
    for name, command in module.COMMANDS.items():
        app.command(name)(with_verbosity(with_extra_named(name, command)))


def main() -> None:
    """Run a command, and end in one line where it fails.

    Exit codes: 1 after an OnelookError, a failed output or too little memory, 130 after Ctrl-C, 143 after SIGTERM.
    """
    configure_process()
    configure_logging()
    if sys.stdout is None or sys.stderr is None:  # closed by the caller, as by `onelook ... >&-`
        nowhere = Path(os.devnull).open("w")  # noqa: SIM115
        sys.stdout, sys.stderr = sys.stdout or nowhere, sys.stderr or nowhere
    for stream in (sys.stdout, sys.stderr):
        # A character that the terminal's encoding lacks is escaped instead of ending the command with an error.
        cast("TextIO", stream).reconfigure(errors="backslashreplace")  # type: ignore[attr-defined]
    try:
        with redeliver_interrupts(), raise_on_sigterm():
            _run_and_flush()
    except OnelookError as error:
        logger.error("%s", error)
        sys.exit(1)
    except OSError as error:
        if error.filename is not None:  # not of standard output
            logger.error("%s: cannot be read or written (%s)", os.fsdecode(error.filename), error.strerror or error)
            sys.exit(1)
        _discard_output()
        if not isinstance(error, BrokenPipeError):  # the reader, such as `head`, has what it wanted
            logger.error("the output cannot be written (%s)", error.strerror or error)
        sys.exit(1)
    except Exception as error:
        if not is_out_of_memory(error):
            raise
        logger.error("out of memory; close other programs, or use fewer or smaller photos at a time")
        sys.exit(1)
    except KeyboardInterrupt:
        sys.exit(130)


def _run_and_flush() -> None:
    """Run the command of the arguments; write what is left in the buffer while an error can still be caught."""
    try:
        app(prog_name="onelook")
    finally:
        sys.stdout.flush()


def _discard_output() -> None:
    """Point standard output at nothing, so that Python does not fail again when it exits."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
