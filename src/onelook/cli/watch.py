"""The command `watch`: identify the people in a camera's picture or a stream while it runs."""

import json
import logging
from collections.abc import Callable
from contextlib import closing
from typing import Annotated

import typer

from onelook.cli.common import DeviceOption, FpirOption, GalleryOption, RegisteredModelOption, open_with_model

logger = logging.getLogger(__name__)


def watch(
    source: Annotated[
        str,
        typer.Argument(
            help="Number of a camera (0, 1, …), rtsp:// or http:// address of a stream, or a video file.",
            metavar="SOURCE",
            show_default=False,
        ),
    ],
    gallery: GalleryOption = None,
    model: RegisteredModelOption = None,
    device: DeviceOption = "auto",
    fpir: FpirOption = None,
    every: Annotated[int, typer.Option("--every", min=1, metavar="N", help="Process every Nth frame.")] = 1,
    appearances: Annotated[
        bool, typer.Option("--appearances", help="Print a line, too, as soon as somebody in the picture has a name.")
    ] = False,
    reconnect: Annotated[
        float,
        typer.Option(
            "--reconnect",
            min=0,
            metavar="SECONDS",
            help="Time after which a broken stream is given up; until then it is opened again.",
        ),
    ] = 60,
) -> None:
    """Identify the people in a camera's picture, a stream or a video while it runs.

    Prints a line of JSON when a track ends: the appearance of one person in consecutive frames, identified once. Of a
    live stream, the newest frame is processed, and frames that arrive meanwhile are dropped. Nothing is stored.

    Ctrl-C prints the open tracks and ends the command with exit code 0.

    Exit code 1: the source cannot be opened, a file breaks off, or a stream ended and could not be opened again.
    """
    from onelook.interrupts import catch_stop_signals
    from onelook.media.stream_source import parse_source
    from onelook.media.watching import Watcher

    parsed = parse_source(source)
    opened = open_with_model(gallery, model, device, fpir)
    with catch_stop_signals() as should_stop:
        watcher = Watcher(
            opened,
            parsed,
            every=every,
            reconnect_seconds=reconnect,
            appearances=appearances,
            should_stop=should_stop,
        )
        try:
            with closing(watcher.records()) as records:
                for record in records:
                    print(json.dumps(record, allow_nan=False), flush=True)
        finally:
            if watcher.frames_dropped:
                dropped = f"{watcher.frames_dropped} of {watcher.frames_read} frames"
                logger.warning("%s: %s dropped, because identification is slower than the stream", parsed, dropped)


COMMANDS: dict[str, Callable[..., None]] = {"watch": watch}
