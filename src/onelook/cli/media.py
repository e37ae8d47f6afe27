"""The commands for folders and videos: identify all faces, and group the unknown ones."""

import logging
from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import typer

from onelook.cli.common import (
    DeviceOption,
    FpirOption,
    GalleryOption,
    RegisteredModelOption,
    open_with_model,
    pluralize,
    resolve_gallery,
)
from onelook.progress import progress_bar

logger = logging.getLogger(__name__)


def identify_all(
    sources: Annotated[
        list[Path], typer.Argument(help="Folders, photos and videos.", metavar="SOURCE", show_default=False)
    ],
    out: Annotated[
        Path, typer.Option("--out", metavar="FOLDER", help="Folder of the results: new, or of a run to continue.")
    ],
    gallery: GalleryOption = None,
    model: RegisteredModelOption = None,
    device: DeviceOption = "auto",
    fpir: FpirOption = None,
    pictures: Annotated[
        bool, typer.Option("--pictures", help="Write copies of the photos and videos with the faces drawn in.")
    ] = False,
    every: Annotated[int, typer.Option("--every", min=1, metavar="N", help="Process every Nth frame of a video.")] = 1,
) -> None:
    """Identify all faces in folders of photos and videos.

    Writes faces.jsonl (JSON lines) and faces.csv (a table) to the folder of the results. In videos, the detections of
    one face are linked to a track, and the track is identified once.

    If the command is interrupted, run it again: finished photos and videos are skipped, and an unfinished video starts
    again.

    Exit code 1: at least one photo or video cannot be read or shows no face.
    """
    from onelook.media.discovery import MediaFile, find_media_files
    from onelook.media.identify_all import identify_all
    from onelook.names import escape_unprintable

    opened = open_with_model(gallery, model, device, fpir)
    with progress_bar() as progress:
        file_bar = progress.add_task("photos and videos", total=sum(1 for _ in find_media_files(sources, out)))
        frame_bar = progress.add_task("frames", visible=False)

        def report_file(_: MediaFile, error: str | None) -> None:
            progress.advance(file_bar)
            if error is not None:
                logger.warning("left out: %s", escape_unprintable(error))

        def report_frames(frames_read: int, frame_count: int) -> None:
            progress.update(frame_bar, completed=frames_read, total=frame_count, visible=frames_read < frame_count)

        files = find_media_files(sources, out)
        totals = identify_all(
            opened, files, out, every=every, pictures=pictures, on_file=report_file, on_frames=report_frames
        )
    print(
        f"{out}: {pluralize(totals['photos'], 'photo')}, {pluralize(totals['videos'], 'video')}; "
        f"{totals['named']} named, {totals['unsure']} not sure, {totals['unknown']} unknown "
        f"(a track of a video is one); {totals['failed']} left out"
    )
    if totals["failed"]:
        raise typer.Exit(1)


def group(
    out: Annotated[
        Path,
        typer.Argument(help="Results folder of a finished `identify-all`.", metavar="FOLDER", show_default=False),
    ],
    gallery: GalleryOption = None,
    min_faces: Annotated[
        int, typer.Option("--min-faces", min=1, help="Smallest number of faces that make a group.")
    ] = 2,
) -> None:
    """Group the unknown faces of `identify-all` by person.

    Writes the face crops to groups/001, groups/002, … in the results folder. To name a group, move it into a new folder
    under the person's name, and run `onelook enroll-all` with the new folder.

    Exit code 1: at least one face cannot be cropped.
    """
    from onelook.gallery.backend_factory import open_backend
    from onelook.media.face_groups import write_groups

    with progress_bar() as progress:
        metadata = open_backend(resolve_gallery(gallery)).metadata
        report = write_groups(
            out, metadata, min_faces, lambda crops, total: progress.track(crops, total, description="crops")
        )
    for error in report.errors:
        logger.warning("left out: %s", error)
    print(
        f"{out}: {pluralize(report.groups, 'group')} of {pluralize(report.faces, 'face')}; "
        f"{report.faces_in_small_groups} in groups of fewer than {min_faces}, "
        f"{report.low_quality_faces} too unclear, small or blurred"
    )
    if report.errors:
        raise typer.Exit(1)


COMMANDS: dict[str, Callable[..., None]] = {"identify-all": identify_all, "group": group}
