import json
import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from filelock import FileLock

from helpers.coded_faces import CodedPredictor
from helpers.painted import PaintedPredictor, paint
from helpers.run_folder import read_all_files, read_journal, read_table
from onelook.data.image_io import read_image, write_image
from onelook.errors import OnelookError
from onelook.gallery import storage
from onelook.gallery.data import GalleryMetadata
from onelook.gallery.faiss_backend import FaissBackend
from onelook.gallery.gallery import Gallery
from onelook.media.discovery import find_media_files
from onelook.media.embeddings_file import read_embeddings
from onelook.media.identify_all import identify_all
from onelook.media.journal import read_records

PhotoMaker = Callable[..., Path]
VideoMaker = Callable[..., Path]
GalleryMaker = Callable[..., Gallery]


def test_results_do_not_depend_on_the_batch_size(
    make_gallery: GalleryMaker, painted_predictor: PaintedPredictor, make_video: VideoMaker, tmp_path: Path
) -> None:
    for i in range(20):
        write_image(tmp_path / f"in/{i:02}.png", paint((1 + i % 4, 10 + i, 10)))
    make_video("in/film.mp4", [paint((1, 10 + i, 10), (3, 200, 10 + i)) for i in range(20)])
    gallery = make_gallery(painted_predictor, Anna=1, Bob=2)
    results = []
    for size in (1, 16):
        painted_predictor.min_batch_size = size
        out = tmp_path / f"out{size}"
        identify_all(gallery, find_media_files([tmp_path / "in"], out), out)
        records = [{key: value for key, value in record.items() if key != "more"} for record in read_journal(out)]
        results.append((records, read_table(out), read_embeddings(out, "a" * 64)))
    (records, table, embeddings), (records_of_16, table_of_16, embeddings_of_16) = results
    assert records == records_of_16 and table == table_of_16 and len(table) > 20
    np.testing.assert_array_equal(embeddings, embeddings_of_16)


def test_records_and_table_equal_the_results_of_identify(
    coded_gallery: Gallery, photo: PhotoMaker, tmp_path: Path
) -> None:
    for i in range(10):
        photo(3 + i % 3, 8, variant=i, path=f"in/{i}.png")
    photo(path="in/wall.png")
    (tmp_path / "in/broken.jpg").write_bytes(b"broken")
    errors: list[str] = []
    totals = identify_all(
        coded_gallery,
        find_media_files([tmp_path / "in"], tmp_path / "out"),
        tmp_path / "out",
        on_file=lambda _, error: errors.append(error),
    )
    records = read_journal(tmp_path / "out")
    with pytest.raises(OnelookError, match="made with model"):
        read_embeddings(tmp_path / "out", "b" * 64)
    assert [Path(record["source"]).name for record in records] == [
        *(f"{i}.png" for i in range(10)),
        "broken.jpg",
        "wall.png",
    ]
    embeddings = read_embeddings(tmp_path / "out", "a" * 64)
    for i, record in enumerate(records[:10]):
        image = read_image(tmp_path / f"in/{i}.png")
        faces = coded_gallery.identify(image)
        for stored, face in zip(record["faces"], faces, strict=True):
            assert {key: stored[key] for key in face.to_dict()} == face.to_dict()
            quality = face.quality
            assert (stored["size"], stored["sharpness"]) == (round(quality.size, 3), round(quality.sharpness, 6))
            assert stored["profile"] == round(quality.profile or 0, 6)
            assert (stored["row"] is None) == (face.name is not None)
            if stored["row"] is not None:
                np.testing.assert_allclose(embeddings[stored["row"]], face.embedding, atol=1e-6)
    assert [face["name"] for face in records[0]["faces"]] == ["Anna", None]
    assert len(embeddings) == 10 + 3
    assert "not a photo" in records[10]["error"] and "no face found" in records[11]["error"]
    assert [error for error in errors if error] == [records[10]["error"], records[11]["error"]]
    assert totals == {"photos": 12, "named": 7, "unknown": 13, "failed": 2}
    rows = read_table(tmp_path / "out")
    assert len(rows) == 22
    assert rows[0]["name"] == "Anna" and rows[1]["name"] == ""
    assert float(rows[0]["x2"]) == records[0]["faces"][0]["box"][2]
    assert [row["error"] for row in rows[-2:]] == [records[10]["error"], records[11]["error"]]


def test_only_new_and_changed_files_are_identified_again(
    coded_gallery: Gallery, predictor: CodedPredictor, photo: PhotoMaker, tmp_path: Path
) -> None:
    for i in range(3):
        photo(8, variant=i, path=f"in/{i}.png")
    out = tmp_path / "out"

    def run() -> int:
        predictor.predicted = 0
        identify_all(coded_gallery, find_media_files([tmp_path / "in"], out), out)
        return predictor.predicted

    assert run() == 3
    before = read_all_files(out)
    assert run() == 0
    assert read_all_files(out) == before
    photo(4, path="in/new.png")
    assert run() == 1
    photo(3, 4, path="in/1.png")
    os.utime(tmp_path / "in/1.png", ns=(1, 1))
    assert run() == 1
    assert [Path(record["source"]).name for record in read_records(out)] == ["0.png", "2.png", "new.png", "1.png"]
    assert [(Path(row["source"]).name, row["name"]) for row in read_table(out)] == [
        ("0.png", ""),
        ("2.png", ""),
        ("new.png", "Bob"),
        ("1.png", "Anna"),
        ("1.png", "Bob"),
    ]
    assert run() == 0


def test_run_with_other_options_is_rejected(
    coded_gallery: Gallery,
    predictor: CodedPredictor,
    make_gallery: GalleryMaker,
    photo: PhotoMaker,
    tmp_path: Path,
) -> None:
    photo(3, path="in/1.png")
    out = tmp_path / "out"

    def run(gallery: Gallery = coded_gallery, **options: object) -> None:
        identify_all(gallery, find_media_files([tmp_path / "in"], out), out, **options)  # type: ignore[arg-type]

    run()
    before = read_all_files(out)
    cases = [
        ("held something else", lambda: run(make_gallery(predictor, "other", Anna=3))),
        ("another model", lambda: run(with_other_model(tmp_path))),
        ("--every 1", lambda: run(every=2)),
        ("no --pictures", lambda: run(pictures=True)),
    ]
    for message, action in cases:
        with pytest.raises(OnelookError, match=message) as caught:
            action()
        assert "\n" not in str(caught.value)
    assert read_all_files(out) == before
    options = json.loads((out / "run.json").read_bytes())
    for key in ("every", "fpir"):
        (out / "run.json").write_text(json.dumps(options | {key: "line\n" * 5000}))
        with pytest.raises(OnelookError, match=f"was begun with --{key} ") as caught:
            run()
        assert "\n" not in str(caught.value) and len(str(caught.value)) < 400
    (out / "run.json").write_bytes(json.dumps(options, indent=2).encode() + b"\n")
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine/thesis.txt").write_text("mine")
    with pytest.raises(OnelookError, match="already holds other files"):
        identify_all(coded_gallery, [], tmp_path / "mine")
    with FileLock(out / ".lock"), pytest.raises(OnelookError, match="another process"):
        run()
    text = (out / "faces.jsonl").read_text()
    (out / "faces.jsonl").write_text("{}\n" + text)
    with pytest.raises(OnelookError, match="line 1: damaged"):
        run()


def with_other_model(root: Path) -> Gallery:
    data = storage.read(root / "gallery")
    metadata = data.metadata.model_copy(update={"fingerprint": "b" * 64})
    storage.create(root / "model", type(data)(metadata, data.faces, data.embeddings))
    return Gallery(FaissBackend(root / "model"), CodedPredictor("b" * 64))


def test_lost_embeddings_are_reported(coded_gallery: Gallery, photo: PhotoMaker, tmp_path: Path) -> None:
    photo(8, path="in/1.png")
    identify_all(coded_gallery, find_media_files([tmp_path / "in"], tmp_path / "out"), tmp_path / "out")
    file = tmp_path / "out/embeddings.safetensors"
    file.write_bytes(file.read_bytes()[:-4])
    with pytest.raises(OnelookError, match="lacks rows"):
        identify_all(coded_gallery, [], tmp_path / "out")


def test_gallery_without_a_folder_identifies_nobody(
    metadata: GalleryMetadata, predictor: CodedPredictor, photo: PhotoMaker, tmp_path: Path
) -> None:
    photo(8, path="in/1.png")

    def run(metadata: GalleryMetadata) -> object:
        gallery = Gallery(FaissBackend(tmp_path / "none", metadata), predictor)
        return identify_all(gallery, find_media_files([tmp_path / "in"], tmp_path / "out"), tmp_path / "out")

    assert run(metadata) == {"photos": 1, "unknown": 1, "failed": 0}
    with pytest.raises(OnelookError, match="held something else"):
        run(metadata.model_copy(update={"threshold": 0.7}))


def test_unusual_file_names_are_escaped_and_found_again(
    coded_gallery: Gallery, predictor: CodedPredictor, photo: PhotoMaker, tmp_path: Path
) -> None:
    names = ["new\nline.png", "ünïcode ☃.png", os.fsdecode(b"latin-\xe9.png"), "a,b;'\".png"]
    (tmp_path / "in").mkdir()
    for name in names:
        (tmp_path / "in" / name).write_bytes(photo(3).read_bytes())
    out = tmp_path / "out"
    identify_all(coded_gallery, find_media_files([tmp_path / "in"], out), out)
    assert sorted(Path(record["source"]).name for record in read_journal(out)) == sorted(names)
    assert all("\n" not in row["source"] and row["name"] == "Anna" for row in read_table(out))
    predictor.predicted = 0
    identify_all(coded_gallery, find_media_files([tmp_path / "in"], out), out)
    assert predictor.predicted == 0


@pytest.fixture
def media_folder(make_video: VideoMaker, tmp_path: Path) -> Path:
    """Write photos for three batches, of enrolled and unknown people and of nobody, and a video in between."""
    for i in range(20):
        squares = [(1 + (i + j) % 4, 60 * j, 10) for j in range(i % 3)]
        write_image(tmp_path / f"in/{i:02d}.png", paint(*squares))
    make_video("in/07.mp4", [paint((1, 10 + 12 * t, 10), (3, 250 - 12 * t, 60)) for t in range(12)])
    return tmp_path / "in"


def test_run_cut_off_at_any_byte_ends_with_the_same_bytes(
    painted_gallery: Gallery, media_folder: Path, tmp_path: Path
) -> None:
    uncut = tmp_path / "uncut"
    identify_all(painted_gallery, find_media_files([media_folder], uncut), uncut)
    expected = read_all_files(uncut)
    journal = expected["faces.jsonl"]
    for size in [0, 1, len(journal) - 1, *np.random.default_rng(0).integers(0, len(journal), 6).tolist()]:
        out = tmp_path / f"cut{size}"
        out.mkdir()
        (out / "run.json").write_bytes(expected["run.json"])
        (out / "faces.jsonl").write_bytes(journal[:size])
        # The unfinished transaction left embeddings, the last one incomplete.
        (out / "embeddings.safetensors").write_bytes(expected["embeddings.safetensors"] + b"\1" * (size % 5))
        identify_all(painted_gallery, find_media_files([media_folder], out), out)
        assert read_all_files(out) == expected, size


def test_committed_records_are_not_predicted_again(
    painted_gallery: Gallery, painted_predictor: PaintedPredictor, media_folder: Path, tmp_path: Path
) -> None:
    # The video comes after the seventh photo: a cut in its records keeps the transaction of these seven photos.
    uncut = tmp_path / "uncut"
    identify_all(painted_gallery, find_media_files([media_folder], uncut), uncut)
    text = (uncut / "faces.jsonl").read_bytes()
    (uncut / "faces.jsonl").write_bytes(text[: text.index(b'"what": "track"')])
    painted_predictor.predicted = 0
    identify_all(painted_gallery, find_media_files([media_folder], uncut), uncut)
    assert painted_predictor.predicted == 12 + 13
    assert (uncut / "faces.jsonl").read_bytes() == text


def test_unfinished_transaction_of_a_removed_file_leaves_nothing(
    painted_gallery: Gallery, media_folder: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    identify_all(painted_gallery, find_media_files([media_folder], out), out)
    text = (out / "faces.jsonl").read_bytes()
    (out / "faces.jsonl").write_bytes(text[: text.index(b'"what": "track"')])
    for i in range(7, 20):
        (media_folder / f"{i:02d}.png").unlink()
    (media_folder / "07.mp4").unlink()
    identify_all(painted_gallery, find_media_files([media_folder], out), out)
    assert [Path(record["source"]).name for record in read_journal(out)] == [f"{i:02d}.png" for i in range(7)]
    assert len(read_embeddings(out, "a" * 64)) == sum(
        row["name"] == "" and row["error"] == "" for row in read_table(out)
    )


def test_results_are_private_whatever_the_umask(
    make_gallery: GalleryMaker, painted_predictor: PaintedPredictor, make_video: VideoMaker, tmp_path: Path
) -> None:
    write_image(tmp_path / "in/a.png", paint((1, 10, 10)))
    make_video("in/film.mp4", [paint((1, 10, 10))] * 2)
    gallery = make_gallery(painted_predictor, Anna=1)
    out = tmp_path / "out"
    before = os.umask(0)
    try:
        identify_all(gallery, find_media_files([tmp_path / "in"], out), out, pictures=True)
    finally:
        os.umask(before)
    modes = {path.name: path.stat().st_mode & 0o777 for path in [out, *out.rglob("*")] if path.name != ".lock"}
    assert {"pictures", "faces.csv", "faces.jsonl", "embeddings.safetensors", "run.json"} <= set(modes)
    folders = {path.name for path in [out, *out.rglob("*")] if path.is_dir()}
    assert modes == {name: 0o700 if name in folders else 0o600 for name in modes}
