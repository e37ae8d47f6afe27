from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from helpers.coded_faces import make_embedding
from helpers.painted import PaintedPredictor, paint
from helpers.run_folder import read_journal, read_table
from onelook.face_quality import Quality
from onelook.gallery.gallery import Gallery
from onelook.media.discovery import find_media_files
from onelook.media.embeddings_file import read_embeddings
from onelook.media.identify_all import identify_all

VideoMaker = Callable[..., Path]


def test_faces_of_a_video_are_tracked_and_identified_once(
    painted_gallery: Gallery, make_video: VideoMaker, tmp_path: Path
) -> None:
    # Anna and an unknown person (3) cross; another one (4) comes later. The similarity of 3 and 4 is 0.14.
    frames = [paint((1, 10 + 12 * t, 10), (3, 250 - 12 * t, 60), *([(4, 140, 60)] * (t > 14))) for t in range(20)]
    make_video("in/a.mp4", frames)
    (tmp_path / "in/b.avi").write_bytes(b"broken")
    make_video("in/dark.mp4", [paint()] * 3)
    out = tmp_path / "out"
    totals = identify_all(painted_gallery, find_media_files([tmp_path / "in"], out), out, pictures=True)
    assert totals == {"videos": 3, "named": 1, "unknown": 2, "failed": 2}
    records = [record for record in read_journal(out) if record["source"].endswith("a.mp4")]
    tracks = {record["track"]: record for record in records if record["what"] == "track"}
    assert [(t["name"], t["faces"], t["first"]["frame"], t["last"]["frame"]) for t in tracks.values()] == [
        ("Anna", 20, 0, 19),
        (None, 20, 0, 19),
        (None, 5, 15, 19),
    ]
    embeddings = read_embeddings(out, "a" * 64)
    for track_id, identity in ((2, 3), (3, 4)):
        np.testing.assert_allclose(embeddings[tracks[track_id]["row"]], make_embedding(identity), atol=1e-6)
    frame_records = [record for record in records if record["what"] == "frame"]
    assert [record["frame"] for record in frame_records] == list(range(20))
    assert [record["time"] for record in frame_records] == pytest.approx([t / 10 for t in range(20)])
    for record in frame_records:
        for face in record["faces"]:
            assert face["name"] == tracks[face["track"]]["name"]
            assert face["box"][0] == pytest.approx(
                {1: 10 + 12 * record["frame"], 2: 250 - 12 * record["frame"], 3: 140}[face["track"]], abs=3
            )
    best = tracks[2]["best"]
    Quality(score=best["score"], size=best["size"], sharpness=best["sharpness"])
    assert len(best["others"]) in (1, 2)
    assert records[-1]["what"] == "video" and records[-1]["frames"] == 20 and records[-1]["picture"] is not None
    assert (out / records[-1]["picture"]).stat().st_size > 1000
    assert len(read_table(out)) == 45 + 2
    assert not (out / ".frames.jsonl").exists()


def test_track_template_is_weighted_by_quality(
    painted_gallery: Gallery, make_video: VideoMaker, tmp_path: Path
) -> None:
    # The weight grows with the size of a face up to 64 pixels (`Quality.weight`): 40 / 64 for the small faces.
    make_video("in/a.mp4", [*[paint((3, 120, 40))] * 5, *[paint((3, 100, 20), side=80)] * 5])
    identify_all(painted_gallery, find_media_files([tmp_path / "in"], tmp_path / "out"), tmp_path / "out")
    total = 40 / 64 * make_embedding(3) + make_embedding(3, 1)
    (row,) = read_embeddings(tmp_path / "out", "a" * 64)
    np.testing.assert_allclose(row, total / np.linalg.norm(total), atol=0.01)
    (track,) = (record for record in read_journal(tmp_path / "out") if record["what"] == "track")
    assert track["best"]["frame"] >= 5


def test_frame_step_skips_frames(
    painted_gallery: Gallery, painted_predictor: PaintedPredictor, make_video: VideoMaker, tmp_path: Path
) -> None:
    make_video("in/a.mp4", [paint((1, 10 + 4 * t, 10)) for t in range(20)])
    frame_counts: list[tuple[int, int]] = []
    identify_all(
        painted_gallery,
        find_media_files([tmp_path / "in"], tmp_path / "out"),
        tmp_path / "out",
        every=6,
        on_frames=lambda *counts: frame_counts.append(counts),
    )
    assert frame_counts == [(20, 20)], "the four frames are one batch, for which the whole video is read"
    frames = [record["frame"] for record in read_journal(tmp_path / "out") if record["what"] == "frame"]
    assert frames == [0, 6, 12, 18]
    assert painted_predictor.predicted == 4
