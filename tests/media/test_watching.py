"""Tracks of files, of streams of a real HTTP server, and of streams that break."""

import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest

from helpers.growing_capture import GrowingCapture
from helpers.painted import PaintedPredictor, paint
from helpers.run_folder import read_journal
from helpers.stream_server import serve_camera, serve_folder
from onelook.detections import Detections
from onelook.errors import VideoError
from onelook.gallery.gallery import Gallery
from onelook.media.discovery import find_media_files
from onelook.media.identify_all import identify_all
from onelook.media.journal import Record
from onelook.media.stream_source import StreamSource
from onelook.media.watching import Watcher
from onelook.settings import DetectSettings

VideoMaker = Callable[..., Path]
# Anna walks to the right and an unknown person to the left.
WALK = [paint((1, 10 + 12 * t, 10), (3, 250 - 12 * t, 60)) for t in range(20)]


def test_tracks_of_a_file_are_those_of_identify_all(
    painted_gallery: Gallery, make_video: VideoMaker, tmp_path: Path
) -> None:
    # Anna leaves for more than a second, and her first track ends before the last one does.
    frames = [*WALK, *[paint((3, 20, 60))] * 15, *WALK[:5]]
    path = make_video("in/a.avi", frames)
    identify_all(painted_gallery, find_media_files([path]), tmp_path / "out", every=2)
    expected = [record for record in read_journal(tmp_path / "out") if record["what"] == "track"]
    assert [record["name"] for record in expected] == ["Anna", None, "Anna"]
    for record in expected:
        del record["more"], record["row"]
    watcher = Watcher(painted_gallery, path, every=2)
    records = list(watcher.records())
    assert records[0] == expected[0]
    assert sorted(records, key=lambda record: record["track"]) == expected
    assert (watcher.frames_read, watcher.frames_dropped) == (40, 0)
    with serve_folder(path.parent) as address:
        served = list(Watcher(painted_gallery, StreamSource(f"{address}/a.avi"), every=2).records())
    assert [record | {"source": str(path)} for record in served] == records, "no frame of a recording is dropped"


def test_a_broken_stream_ends_its_tracks_and_is_opened_again(
    painted_gallery: Gallery, caplog: pytest.LogCaptureFixture
) -> None:
    records: list[Record] = []
    with serve_camera(WALK[:8], WALK[8:14]) as server:
        watcher = Watcher(painted_gallery, StreamSource(server.url), reconnect_seconds=1.2, appearances=True)
        with pytest.raises(VideoError) as caught:
            for record in watcher.records():
                records.append(record)
    assert str(caught.value) == f"{server.url}: ended after 14 frames; check it, and run this again"
    assert caplog.messages == [
        f"{server.url}: interrupted after {number} frames; connecting again" for number in (8, 14)
    ]
    assert [(r["what"], r["track"], r["name"]) for r in records] == [
        ("appearance", 1, "Anna"),
        ("track", 1, "Anna"),
        ("track", 2, None),
        ("appearance", 3, "Anna"),
        ("track", 3, "Anna"),
        ("track", 4, None),
    ]
    assert records[1]["last"]["frame"] < 8 <= records[3]["first"]["frame"]
    times = [records[1]["first"]["utc"], records[1]["last"]["utc"], records[3]["first"]["utc"]]
    assert times == sorted(times) and times[0].startswith("20") and times[0].endswith("+00:00")


class SlowPredictor(PaintedPredictor):
    """A predictor that takes longer than the time between two frames."""

    def predict(self, images: Sequence[np.ndarray], detect: DetectSettings, *, embed: bool = True) -> list[Detections]:
        """Decode the faces of each image, slowly."""
        time.sleep(0.1)
        return super().predict(images, detect, embed=embed)


def test_a_slow_reader_drops_frames_and_sees_the_newest(make_gallery: Callable[..., Gallery]) -> None:
    predictor = SlowPredictor()
    gallery = make_gallery(predictor, Anna=1)
    deadline = time.monotonic() + 1.5
    with serve_camera(WALK, fps=100, repeats=True) as server:
        watcher = Watcher(gallery, StreamSource(server.url), should_stop=lambda: time.monotonic() > deadline)
        records = list(watcher.records())
    assert records, "stopping ends the open tracks"
    last = max(record["last"]["frame"] for record in records)
    assert watcher.frames_dropped > 2 * predictor.predicted
    assert watcher.frames_read - last < 40, "the last processed frame is one of the newest"
    assert watcher.frames_read >= watcher.frames_dropped + predictor.predicted


@pytest.mark.parametrize(
    ("source", "message"),
    [
        (StreamSource("http://user:secret@127.0.0.1:1/x?token=1&a=2"), "http://127.0.0.1:1/x?token=***&a=2: cannot be"),
        (StreamSource(97), "camera 97: cannot be opened; connect it"),
        (Path("absent.mp4"), "absent.mp4: no such video"),
    ],
)
def test_a_source_that_cannot_be_opened_is_one_line_at_once(
    painted_gallery: Gallery, source: StreamSource | Path, message: str, capfd: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(VideoError) as caught:
        list(Watcher(painted_gallery, source).records())
    assert str(caught.value).startswith(message) and "\n" not in str(caught.value)
    assert capfd.readouterr().err == "", "OpenCV and FFmpeg are silent"


@pytest.mark.parametrize("shapes", [[(10, 10), (10, 10), (10, 11), (10, 10)], [(10, 11)]])
def test_a_stream_whose_frames_are_or_become_too_large_ends_in_one_line(
    painted_gallery: Gallery, shapes: list[tuple[int, int]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("onelook.media.video_io.MAX_PIXELS", 100)
    monkeypatch.setattr("onelook.media.stream_reader.open_capture", lambda *_: GrowingCapture(shapes))
    watcher = Watcher(painted_gallery, StreamSource(0))
    with pytest.raises(VideoError, match=r"^camera 0: frames of more than 64 megapixels; scale it down$"):
        list(watcher.records())
    assert watcher.frames_read == len(shapes) - 1, "no further frame is read, and no connection made"
