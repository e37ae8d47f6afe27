import csv
from pathlib import Path

from onelook.media.results_table import COLUMNS, write_results_table


def make_face(name: str | None) -> dict:
    return {"box": [1.0, 2.0, 3.0, 4.0], "score": 0.9, "size": 2.0, "sharpness": 1.0, "name": name, "similarity": 0.5}


def test_table_has_a_row_per_face_and_per_error(tmp_path: Path) -> None:
    unsure = make_face(None) | {"reason": "22 px, blurred"}
    photo = {"what": "photo", "source": "a.jpg", "faces": [make_face("Anna"), make_face(None), unsure], "error": None}
    broken = {"what": "photo", "source": "b\n.jpg", "faces": [], "error": "b\n.jpg: not a photo"}
    frame = {"what": "frame", "source": "c.mp4", "frame": 3, "time": 0.5, "faces": [make_face("Bob") | {"track": 1}]}
    track = {"what": "track", "source": "c.mp4", "track": 1, "name": "Bob"}
    video = {"what": "video", "source": "c.mp4", "error": None}
    totals = write_results_table(tmp_path / "faces.csv", [photo, broken, frame, track, video])
    assert totals == {"photos": 2, "videos": 1, "failed": 1, "named": 2, "unknown": 1, "unsure": 1}
    with (tmp_path / "faces.csv").open(encoding="utf-8", newline="") as stream:
        table = csv.DictReader(stream)
        assert tuple(table.fieldnames or ()) == COLUMNS
        rows = list(table)
    assert [(row["name"], row["frame"], row["track"], row["x2"]) for row in rows] == [
        ("Anna", "", "", "3.0"),
        ("", "", "", "3.0"),
        ("", "", "", "3.0"),
        ("", "", "", ""),
        ("Bob", "3", "1", "3.0"),
    ]
    assert "not a photo" in rows[3]["error"] and "\n" not in rows[3]["source"] + rows[3]["error"]
    assert [row["reason"] for row in rows] == ["", "", "22 px, blurred", "", ""]
