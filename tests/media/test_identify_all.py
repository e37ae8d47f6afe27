"""Identifying everybody in folders: what is written, and that it is the same however often it broke off."""

import csv
import json
import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from filelock import FileLock

from gallery.conftest import CodedLooker, direction
from helpers.painted import paint
from onelook.data.image_io import read_image, write_image
from onelook.errors import OnelookError
from onelook.gallery import storage
from onelook.gallery.data import GalleryMetadata, empty_gallery
from onelook.gallery.face_quality import Quality
from onelook.gallery.faiss_backend import FaissBackend
from onelook.gallery.gallery import Gallery
from onelook.media.discovery import find_sources
from onelook.media.embeddings_file import read_embeddings
from onelook.media.identify_all import identify_all
from onelook.media.journal import current_lines
from onelook.media.photo_identification import measure_faces

Photo = Callable[..., Path]
Video = Callable[..., Path]


def lines_of(out: Path) -> list[dict]:
    return [json.loads(line) for line in (out / "faces.jsonl").read_text("ascii").splitlines()]


def rows_of(out: Path) -> list[dict[str, str]]:
    with (out / "faces.csv").open(encoding="utf-8", newline="") as stream:
        return list(csv.DictReader(stream))


def everything(folder: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.name != ".lock"
    }


@pytest.fixture
def known(gallery_of: Callable[..., Gallery], looker: CodedLooker) -> Gallery:
    return gallery_of(looker, Anna=3, Bob=4)


def test_a_line_a_photo_and_a_row_a_face_say_what_identify_says(known: Gallery, photo: Photo, tmp_path: Path) -> None:
    for place in range(10):
        photo(3 + place % 3, 8, variant=place, path=f"in/{place}.png")
    photo(path="in/wall.png")
    (tmp_path / "in/broken.jpg").write_bytes(b"broken")
    errors: list[str] = []
    totals = identify_all(
        known,
        find_sources([tmp_path / "in"], tmp_path / "out"),
        tmp_path / "out",
        told=lambda _, error: errors.append(error),
    )
    lines = lines_of(tmp_path / "out")
    with pytest.raises(OnelookError, match="made with model"):
        read_embeddings(tmp_path / "out", "b" * 64)
    assert [Path(line["source"]).name for line in lines] == [*(f"{i}.png" for i in range(10)), "broken.jpg", "wall.png"]
    embeddings = read_embeddings(tmp_path / "out", "a" * 64)
    for place, line in enumerate(lines[:10]):
        image = read_image(tmp_path / f"in/{place}.png")
        faces = known.identify(image)
        (qualities,) = measure_faces([image], [faces], known.terms.detect.longest_side)
        for told, face, quality in zip(line["faces"], faces, qualities, strict=True):
            assert {key: told[key] for key in face.record()} == face.record()
            assert (told["size"], told["sharpness"]) == (round(quality.size, 3), round(quality.sharpness, 6))
            assert (told["row"] is None) == (face.name is not None)
            if told["row"] is not None:
                np.testing.assert_allclose(embeddings[told["row"]], face.embedding, atol=1e-6)
    assert [face["name"] for face in lines[0]["faces"]] == ["Anna", None]
    assert len(embeddings) == 10 + 3
    assert "not a photo" in lines[10]["error"] and "no face found" in lines[11]["error"]
    assert [error for error in errors if error] == [lines[10]["error"], lines[11]["error"]]
    assert totals == {"photos": 12, "labeled_fraction": 7, "unknown": 13, "failed": 2}
    rows = rows_of(tmp_path / "out")
    assert len(rows) == 22
    assert rows[0]["name"] == "Anna" and rows[1]["name"] == ""
    assert float(rows[0]["x2"]) == lines[0]["faces"][0]["box"][2]
    assert [row["error"] for row in rows[-2:]] == [lines[10]["error"], lines[11]["error"]]


def test_what_is_known_is_not_looked_at_again_and_what_changed_is(known: Gallery, photo: Photo, tmp_path: Path) -> None:
    for place in range(3):
        photo(8, variant=place, path=f"in/{place}.png")
    out, looker = tmp_path / "out", known._looker

    def go() -> int:
        looker.seen = 0
        identify_all(known, find_sources([tmp_path / "in"], out), out)
        return looker.seen

    assert go() == 3
    before = everything(out)
    assert go() == 0
    assert everything(out) == before
    photo(4, path="in/new.png")
    assert go() == 1
    photo(3, 4, path="in/1.png")
    os.utime(tmp_path / "in/1.png", ns=(1, 1))
    assert go() == 1
    assert [Path(line["source"]).name for line in current_lines(out)] == ["0.png", "2.png", "new.png", "1.png"]
    assert [(Path(row["source"]).name, row["name"]) for row in rows_of(out)] == [
        ("0.png", ""),
        ("2.png", ""),
        ("new.png", "Bob"),
        ("1.png", "Anna"),
        ("1.png", "Bob"),
    ]
    assert go() == 0


def test_two_kinds_of_results_are_not_mixed(
    known: Gallery, gallery_of: Callable[..., Gallery], photo: Photo, tmp_path: Path
) -> None:
    photo(3, path="in/1.png")
    out = tmp_path / "out"

    def go(gallery: Gallery = known, **options: object) -> None:
        identify_all(gallery, find_sources([tmp_path / "in"], out), out, **options)  # type: ignore[arg-type]

    go()
    before = everything(out)
    cases = [
        ("held something else", lambda: go(gallery_of(known._looker, "other", Anna=3))),
        ("another model", lambda: go(changed_model(known, tmp_path))),
        ("--every 1", lambda: go(every=2)),
        ("no --pictures", lambda: go(pictures=True)),
    ]
    for what, action in cases:
        with pytest.raises(OnelookError, match=what) as caught:
            action()
        assert "\n" not in str(caught.value)
    assert everything(out) == before
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine/thesis.txt").write_text("mine")
    with pytest.raises(OnelookError, match="already holds something"):
        identify_all(known, [], tmp_path / "mine")
    with FileLock(out / ".lock"), pytest.raises(OnelookError, match="another process"):
        go()
    text = (out / "faces.jsonl").read_text()
    (out / "faces.jsonl").write_text("{}\n" + text)
    with pytest.raises(OnelookError, match="line 1: damaged"):
        go()


def changed_model(known: Gallery, root: Path) -> Gallery:
    contents = storage.read(known.folder)
    terms = contents.terms.model_copy(update={"fingerprint": "b" * 64})
    storage.create(root / "model", type(contents)(terms, contents.entries, contents.embeddings))
    return Gallery(FaissBackend(root / "model", storage.read(root / "model")), CodedLooker("b" * 64))


def test_lost_embeddings_are_told(known: Gallery, photo: Photo, tmp_path: Path) -> None:
    photo(8, path="in/1.png")
    identify_all(known, find_sources([tmp_path / "in"], tmp_path / "out"), tmp_path / "out")
    file = tmp_path / "out/embeddings.safetensors"
    file.write_bytes(file.read_bytes()[:-4])
    with pytest.raises(OnelookError, match="lacks rows"):
        identify_all(known, [], tmp_path / "out")


def test_a_gallery_in_no_folder_knows_nobody(
    terms: GalleryMetadata, looker: CodedLooker, photo: Photo, tmp_path: Path
) -> None:
    photo(8, path="in/1.png")

    def go(terms: GalleryMetadata) -> object:
        gallery = Gallery(FaissBackend(tmp_path / "none", empty_gallery(terms)), looker)
        return identify_all(gallery, find_sources([tmp_path / "in"], tmp_path / "out"), tmp_path / "out")

    assert go(terms) == {"photos": 1, "unknown": 1, "failed": 0}
    with pytest.raises(OnelookError, match="held something else"):
        go(terms.model_copy(update={"threshold": 0.7}))


def test_strange_names_are_kept_and_found_again(known: Gallery, photo: Photo, tmp_path: Path) -> None:
    names = ["new\nline.png", "ünïcode ☃.png", os.fsdecode(b"latin-\xe9.png"), "a,b;'\".png"]
    (tmp_path / "in").mkdir()
    for name in names:
        (tmp_path / "in" / name).write_bytes(photo(3).read_bytes())
    out = tmp_path / "out"
    identify_all(known, find_sources([tmp_path / "in"], out), out)
    assert sorted(Path(line["source"]).name for line in lines_of(out)) == sorted(names)
    assert all("\n" not in row["source"] and row["name"] == "Anna" for row in rows_of(out))
    known._looker.seen = 0
    identify_all(known, find_sources([tmp_path / "in"], out), out)
    assert known._looker.seen == 0


def test_faces_of_a_video_are_linked_and_named_once(painted: Gallery, video: Video, tmp_path: Path) -> None:
    """Anna and a stranger cross; a second stranger comes later. The stranger (3) is 0.14 like the other one (4)."""
    frames = [paint((1, 10 + 12 * t, 10), (3, 250 - 12 * t, 60), *([(4, 140, 60)] * (t > 14))) for t in range(20)]
    video("in/a.mp4", frames)
    (tmp_path / "in/b.avi").write_bytes(b"broken")
    video("in/dark.mp4", [paint()] * 3)
    out = tmp_path / "out"
    totals = identify_all(painted, find_sources([tmp_path / "in"], out), out, pictures=True)
    assert totals == {"videos": 3, "labeled_fraction": 1, "unknown": 2, "failed": 2}
    lines = [line for line in lines_of(out) if line["source"].endswith("a.mp4")]
    tracks = {line["track"]: line for line in lines if line["what"] == "track"}
    assert [(t["name"], t["faces"], t["first"]["frame"], t["last"]["frame"]) for t in tracks.values()] == [
        ("Anna", 20, 0, 19),
        (None, 20, 0, 19),
        (None, 5, 15, 19),
    ]
    embeddings = read_embeddings(out, "a" * 64)
    for number, identity in ((2, 3), (3, 4)):
        np.testing.assert_allclose(embeddings[tracks[number]["row"]], direction(identity), atol=1e-6)
    seen = [line for line in lines if line["what"] == "frame"]
    assert [line["frame"] for line in seen] == list(range(20))
    assert [line["time"] for line in seen] == pytest.approx([t / 10 for t in range(20)])
    for line in seen:
        for face in line["faces"]:
            assert face["name"] == tracks[face["track"]]["name"]
            assert face["box"][0] == pytest.approx(
                {1: 10 + 12 * line["frame"], 2: 250 - 12 * line["frame"], 3: 140}[face["track"]], abs=3
            )
    best = tracks[2]["best"]
    Quality(score=best["score"], size=best["size"], sharpness=best["sharpness"])
    assert len(best["others"]) in (1, 2)
    assert lines[-1]["what"] == "video" and lines[-1]["frames"] == 20 and lines[-1]["picture"] is not None
    assert (out / lines[-1]["picture"]).stat().st_size > 1000
    assert len(rows_of(out)) == 45 + 2
    assert not (out / ".sightings.jsonl").exists()


def test_a_track_is_the_mean_of_its_faces_by_their_quality(painted: Gallery, video: Video, tmp_path: Path) -> None:
    """A stranger comes nearer: of the large faces each counts 64 / 40 times as much (`gallery.quality`)."""
    video("in/a.mp4", [*[paint((3, 120, 40))] * 5, *[paint((3, 100, 20), side=80)] * 5])
    identify_all(painted, find_sources([tmp_path / "in"], tmp_path / "out"), tmp_path / "out")
    total = 40 / 64 * direction(3) + direction(3, 1)
    (row,) = read_embeddings(tmp_path / "out", "a" * 64)
    np.testing.assert_allclose(row, total / np.linalg.norm(total), atol=0.01)
    (track,) = (line for line in lines_of(tmp_path / "out") if line["what"] == "track")
    assert track["best"]["frame"] >= 5


def test_of_a_video_every_so_many_frames_are_looked_at(painted: Gallery, video: Video, tmp_path: Path) -> None:
    video("in/a.mp4", [paint((1, 10 + 4 * t, 10)) for t in range(20)])
    watched: list[tuple[int, int]] = []
    identify_all(
        painted,
        find_sources([tmp_path / "in"], tmp_path / "out"),
        tmp_path / "out",
        every=6,
        watched=lambda *at: watched.append(at),
    )
    assert watched == [(20, 20)], "all four looked at in one pass, which took the whole video to read"
    frames = [line["frame"] for line in lines_of(tmp_path / "out") if line["what"] == "frame"]
    assert frames == [0, 6, 12, 18]
    assert painted._looker.seen == 4


@pytest.fixture
def mixed(video: Video, tmp_path: Path) -> Path:
    """Photos for three passes, of known and unknown people and of nobody, with a video in between."""
    for place in range(20):
        squares = [(1 + (place + i) % 4, 60 * i, 10) for i in range(place % 3)]
        write_image(tmp_path / f"in/{place:02d}.png", paint(*squares))
    video("in/07.mp4", [paint((1, 10 + 12 * t, 10), (3, 250 - 12 * t, 60)) for t in range(12)])
    return tmp_path / "in"


def test_a_run_cut_off_at_any_byte_ends_as_one_that_was_not(painted: Gallery, mixed: Path, tmp_path: Path) -> None:
    whole = tmp_path / "whole"
    identify_all(painted, find_sources([mixed], whole), whole)
    expected = everything(whole)
    journal = expected["faces.jsonl"]
    for place in [0, 1, len(journal) - 1, *np.random.default_rng(0).integers(0, len(journal), 6).tolist()]:
        out = tmp_path / f"cut{place}"
        out.mkdir()
        (out / "run.json").write_bytes(expected["identify_all.json"])
        (out / "faces.jsonl").write_bytes(journal[:place])
        # What the step that was cut off had added to the embeddings is there, to half of a row.
        (out / "embeddings.safetensors").write_bytes(expected["embeddings.safetensors"] + b"\1" * (place % 5))
        identify_all(painted, find_sources([mixed], out), out)
        assert everything(out) == expected, place


def test_a_kept_line_costs_no_look(painted: Gallery, mixed: Path, tmp_path: Path) -> None:
    """Eight photos are a pass, and the video comes after the seventh: a cut in the video's lines keeps the seven."""
    whole = tmp_path / "whole"
    identify_all(painted, find_sources([mixed], whole), whole)
    text = (whole / "faces.jsonl").read_bytes()
    (whole / "faces.jsonl").write_bytes(text[: text.index(b'"what": "track"')])
    painted._looker.seen = 0
    identify_all(painted, find_sources([mixed], whole), whole)
    assert painted._looker.seen == 12 + 13
    assert (whole / "faces.jsonl").read_bytes() == text


def test_nothing_is_left_of_a_step_whose_file_is_gone(painted: Gallery, mixed: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    identify_all(painted, find_sources([mixed], out), out)
    text = (out / "faces.jsonl").read_bytes()
    (out / "faces.jsonl").write_bytes(text[: text.index(b'"what": "track"')])
    for place in range(7, 20):
        (mixed / f"{place:02d}.png").unlink()
    (mixed / "07.mp4").unlink()
    identify_all(painted, find_sources([mixed], out), out)
    assert [Path(line["source"]).name for line in lines_of(out)] == [f"{place:02d}.png" for place in range(7)]
    assert len(read_embeddings(out, "a" * 64)) == sum(row["name"] == "" and row["error"] == "" for row in rows_of(out))
