"""Drawing of identified faces into a copy of a video."""

from collections.abc import Iterable
from contextlib import ExitStack
from pathlib import Path

import numpy as np

from onelook.drawing import ORANGE, SKY, draw_boxes
from onelook.errors import VideoError
from onelook.media.journal import Record
from onelook.media.video_io import VideoReader, VideoWriter


def draw_video(path: Path, video: Path, frame_records: Iterable[Record]) -> None:
    """Write an MP4 copy of a video with the identified faces drawn in.

    A frame without a record shows the faces of the last frame that has one.

    Args:
        path: path of the MP4 file.
        video: video to copy, read from its beginning.
        frame_records: records of the processed frames, in order.

    Raises:
        VideoError: the file cannot be written.
    """
    remaining = iter(frame_records)
    next_record = next(remaining, None)
    faces: list[Record] = []
    with VideoReader(video) as reader, ExitStack() as stack:
        writer = None
        for frame in reader.frames():
            if writer is None:
                writer = stack.enter_context(VideoWriter(path, reader.fps, frame.image.shape))
            if next_record is not None and next_record["frame"] == frame.number:
                faces, next_record = next_record["faces"], next(remaining, None)
            writer.write(_draw_frame(frame.image, faces))
    _check_frame_count(path, reader.frames_read)


def _check_frame_count(path: Path, frame_count: int) -> None:
    """Reopen the written file to detect a full disk, which OpenCV does not report."""
    try:
        with VideoReader(path) as written:
            is_complete = written.frame_count == frame_count
    except VideoError:
        is_complete = False
    if not is_complete:
        raise VideoError(f"{path}: cannot be written completely; free disk space and run it again, it continues")


def _draw_frame(image: np.ndarray, faces: list[Record]) -> np.ndarray:
    """Draw the boxes and names of faces on a copy; faces without a name show the id of their track."""
    is_anonymous = [face["name"] is None for face in faces]
    return draw_boxes(
        image,
        np.asarray([face["box"] for face in faces]).reshape(-1, 4),
        labels=[f"track {face['track']}" if face["name"] is None else face["name"] for face in faces],
        colors=[ORANGE if anonymous else SKY for anonymous in is_anonymous],
        thin=is_anonymous,
    )
