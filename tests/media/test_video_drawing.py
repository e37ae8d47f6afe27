from collections.abc import Callable
from pathlib import Path

import numpy as np

from helpers.painted import paint
from onelook.media.video_drawing import draw_video
from onelook.media.video_io import VideoReader


def test_frame_without_a_record_shows_the_last_faces(tmp_path: Path, make_video: Callable[..., Path]) -> None:
    video = make_video("a.mp4", [paint()] * 4)
    face = {"box": [100, 20, 140, 60], "landmarks": [[120, 40]] * 5, "name": "Anna", "similarity": 0.9, "track": 1}
    draw_video(tmp_path / "drawn.mp4", video, [{"frame": 1, "faces": [face]}, {"frame": 3, "faces": []}])
    with VideoReader(tmp_path / "drawn.mp4") as reader:
        is_drawn = [bool(np.asarray(frame.image).max() > 100) for frame in reader.frames()]
    assert is_drawn == [False, True, True, False]
