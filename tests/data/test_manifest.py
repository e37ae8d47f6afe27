from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from onelook.data.manifest import MANIFEST, Face, Scene, read_manifest, write_manifest
from onelook.errors import DataError, OnelookError


def scene(name: str = "a.jpg", split: str = "train", identity: str | None = "ann", role: str = "scene") -> Scene:
    landmarks = np.arange(10, dtype=np.float32).reshape(5, 2) + 0.125
    landmarks[3] = np.nan
    faces = (
        Face(np.array([1, 2, 30.5, 40], np.float32), landmarks, identity, "photo 1"),
        Face(np.zeros(4, np.float32)),
    )
    return Scene(name, 64, 48, split, role, faces, "somewhere", "free")  # type: ignore[arg-type]


def test_written_scenes_are_read_back(tmp_path: Path) -> None:
    write_manifest(tmp_path, [scene(), scene("b.jpg", "test", "bob", "enroll")])
    manifest = read_manifest(tmp_path)
    first = manifest.scenes[0]
    assert (first.image, first.width, first.height, first.source, first.license) == (
        "a.jpg",
        64,
        48,
        "somewhere",
        "free",
    )
    np.testing.assert_array_equal(first.faces[0].box, scene().faces[0].box)
    np.testing.assert_array_equal(first.faces[0].landmarks, scene().faces[0].landmarks)
    assert first.faces[0].identity == "ann" and first.faces[1].identity is None
    assert np.isnan(first.faces[1].landmarks).all()
    assert [s.image for s in manifest.select("test", "enroll")] == ["b.jpg"] and manifest.select("test") == []
    assert manifest.identities("train") == ["ann"] and manifest.identities("validation") == []


def test_the_same_scenes_give_the_same_bytes(tmp_path: Path) -> None:
    for folder in ("one", "two"):
        (tmp_path / folder).mkdir()
        write_manifest(tmp_path / folder, [scene(), scene("b.jpg")])
    assert (tmp_path / "one" / MANIFEST).read_bytes() == (tmp_path / "two" / MANIFEST).read_bytes()


def test_a_person_in_two_splits_is_refused(tmp_path: Path) -> None:
    write_manifest(tmp_path, [scene(), scene("b.jpg", "test")])
    with pytest.raises(DataError, match="ann is in both train and test; splits must not share people"):
        read_manifest(tmp_path)


SCENE = (
    '{"image": %s, "width": 1, "height": 1, "split": "test", "role": "scene", '
    '"source": "s", "license": "l", "faces": %s}'
)


@pytest.mark.parametrize(
    "line",
    [
        *("{", "[]", "{}", '{"image": "a.jpg"}', '"text"', "[" * 100_000),
        *(SCENE % (image, "[]") for image in ("1", '"\\ud800"', '"a\\u0000"', '"a\\nb"')),
        *(SCENE % ('"a.jpg"', faces) for faces in ("null", "[1]", '[{"box": [1, 2, 3, 1e300]}]')),
    ],
)
def test_the_error_names_a_damaged_line(tmp_path: Path, line: str) -> None:
    write_manifest(tmp_path, [scene()])
    with (tmp_path / MANIFEST).open("a") as stream:
        stream.write(line + "\n")
    with pytest.raises(DataError, match="line 2: not a scene"):
        read_manifest(tmp_path)


def test_an_unknown_split_is_refused(tmp_path: Path) -> None:
    write_manifest(tmp_path, [scene(split="holdout")])
    with pytest.raises(DataError, match="line 1"):
        read_manifest(tmp_path)


def test_the_error_for_a_missing_manifest_names_the_command(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="dvc repro prepare"):
        read_manifest(tmp_path)


def test_an_image_outside_the_folder_is_refused(tmp_path: Path) -> None:
    write_manifest(tmp_path, [scene("../secret.jpg")])
    manifest = read_manifest(tmp_path)
    with pytest.raises(OnelookError, match="leaves the data folder"):
        manifest.path(manifest.scenes[0])


def test_ignored_boxes_are_read_back_and_written_only_if_there_are_some(tmp_path: Path) -> None:
    ignored = np.array([[1, 2, 3, 4.5], [5, 6, 7, 8]], np.float32)
    write_manifest(tmp_path, [scene(), replace(scene("b.jpg"), ignored=ignored)])
    first, second = read_manifest(tmp_path).scenes
    assert first.ignored.shape == (0, 4) and first.ignored.dtype == np.float32
    np.testing.assert_array_equal(second.ignored, ignored)
    lines = (tmp_path / MANIFEST).read_text().splitlines()
    assert '"ignored"' not in lines[0] and '"ignored": [[1.0, 2.0, 3.0, 4.5], [5.0, 6.0, 7.0, 8.0]]' in lines[1]


def test_a_manifest_is_detection_only_if_no_face_has_an_identity(tmp_path: Path) -> None:
    write_manifest(tmp_path, [scene(identity=None)])
    assert read_manifest(tmp_path).detection_only
    write_manifest(tmp_path, [scene(identity=None), scene("b.jpg", role="enroll")])
    assert not read_manifest(tmp_path).detection_only
