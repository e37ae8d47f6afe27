"""Erasure of a person from the records of a video."""

import json

from onelook.erasure.journal_records import erase_records
from onelook.erasure.person import Person

DETECTED = {"box": [1.0, 2.0, 3.0, 4.0], "score": 0.9, "size": 30.0, "sharpness": 0.5}
FILE = {"bytes": 1, "mtime_ns": 2, "error": None}
NOBODY = {"name": None, "nearest": None, "similarity": None, "margin": None, "confidence": None, "reason": None}


def identified(track: int, name: str | None, nearest: str | None) -> dict:
    return {"track": track, **DETECTED, **NOBODY, "name": name, "nearest": nearest, "similarity": 0.5, "margin": 0.1}


def test_the_tracks_of_a_person_leave_the_records_of_a_video() -> None:
    people = [identified(0, "Grace", "Grace"), identified(1, None, "Grace"), identified(2, None, None)]
    common = {"source": "film.mp4", "more": True}
    frames = [
        {"what": "frame", **common, "frame": 0, "time": 0.0, "faces": [dict(people[0]), dict(people[1])]},
        {"what": "frame", **common, "frame": 1, "time": 0.1, "faces": [dict(people[0])]},
        {"what": "frame", **common, "frame": 2, "time": 0.2, "faces": [dict(people[2])]},
    ]
    best = {"frame": 2, **DETECTED, "others": []}
    tracks = [
        {"what": "track", **common, **person, "best": best, "row": row}
        for person, row in zip(people, (None, 0, 1), strict=True)
    ]
    video = {"what": "video", "source": "film.mp4", **FILE, "tracks": 3, "picture": "pictures/film.mp4", "more": False}
    untouched = {"what": "photo", "source": "a.jpg", **FILE, "faces": [], "picture": "pictures/a.jpg", "more": False}
    lines = [json.dumps(record).encode() + b"\n" for record in [*frames, *tracks, video, untouched]]
    erased = erase_records(b"".join(lines) + b'{"what": "ph', Person("Grace", None, []), {1})
    now = [json.loads(line) for line in erased.lines]
    assert [record["what"] for record in now] == ["frame", "track", "video", "photo"]
    assert [face["track"] for face in now[0]["faces"]] == [1]
    assert now[1]["track"] == 1 and now[1]["nearest"] is None and now[1]["similarity"] is None
    assert now[2]["tracks"] == 1 and now[2]["picture"] is None
    assert erased.lines[3] == lines[-1]
    assert erased.pictures == ["pictures/film.mp4"]
    assert erased.faces == {("film.mp4", 2, (1.0, 2.0, 3.0, 4.0))}
