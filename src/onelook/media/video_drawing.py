"""A video with its people named, drawn once all of them are known."""

from collections.abc import Iterable
from contextlib import ExitStack
from pathlib import Path

import numpy as np

from onelook.drawing import ORANGE, SKY, draw_faces
from onelook.errors import VideoError
from onelook.media.journal import Line
from onelook.media.video_io import VideoReader, VideoWriter


def draw_video(path: Path, video: Path, lines: Iterable[Line]) -> None:
    """Write an MP4 with every frame of the video; a frame that was not looked at shows the faces of the one before.

    Args:
        path: of the MP4.
        video: it is read again from its beginning.
        lines: of the frames that were looked at, in their order.

    Raises:
        VideoError: it cannot be written.
    """
    rest = iter(lines)
    coming = next(rest, None)
    faces: list[Line] = []
    with VideoReader(video) as reader, ExitStack() as stack:
        writer = None
        for frame in reader.frames():
            if writer is None:
                writer = stack.enter_context(VideoWriter(path, reader.rate, frame.image.shape))
            if coming is not None and coming["frame"] == frame.number:
                faces, coming = coming["faces"], next(rest, None)
            writer.write(_draw(frame.image, faces))
    _check_whole(path, reader.read)


def _check_whole(path: Path, frames: int) -> None:
    """OpenCV does not say when a disk is full: what it wrote is opened again."""
    try:
        with VideoReader(path) as written:
            whole = written.told == frames
    except VideoError:
        whole = False
    if not whole:
        raise VideoError(f"{path}: cannot be written whole; make room on the disk and run it again, it goes on")


def _draw(image: np.ndarray, faces: list[Line]) -> np.ndarray:
    """A copy with a box and a name a face; whoever is unknown is told by the number of the track."""
    labels = [
        f"unknown, track {face['track']}" if face["name"] is None else f"{face['name']} {face['similarity']:.2f}"
        for face in faces
    ]
    return draw_faces(
        image,
        np.asarray([face["box"] for face in faces]).reshape(-1, 4),
        np.asarray([face["landmarks"] for face in faces]).reshape(-1, 5, 2),
        labels,
        [ORANGE if face["name"] is None else SKY for face in faces],
    )
