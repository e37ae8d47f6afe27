"""Stages on photos without identities: scenes are prepared from labels, and no gallery is filled."""

import json
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

from helpers.stages import load_stage
from onelook.data.manifest import read_manifest
from onelook.data.prepare import PreparedData, prepare
from onelook.detections import Detections
from onelook.errors import DataError
from onelook.settings import PrepareSettings, load_settings


def refuse_to_detect(photo: np.ndarray) -> Detections:
    raise AssertionError("labeled photos are not annotated")


@pytest.fixture
def settings(project: Path, tmp_path: Path) -> PrepareSettings:
    """Eight photos, each with a labeled face that crosses the border, and an unlabeled face."""
    (tmp_path / "labeled/images").mkdir(parents=True)
    label = {"boxes_xywh": [[30, 5, 20, 20]], "unlabelled_xywh": [[2, 2, 9, 9]]}
    for number in range(8):
        cv2.imwrite(str(tmp_path / f"labeled/images/{number}.png"), np.full((32, 48, 3), 20 * number, np.uint8))
    (tmp_path / "labeled/annotations.json").write_text(json.dumps({f"{number}.png": label for number in range(8)}))
    given = load_settings(project / "params.yaml").prepare
    annotations = given.json_annotations.model_copy(update={"path": str(tmp_path / "labeled")})
    return given.model_copy(update={"reader": "json_annotations", "json_annotations": annotations})


@pytest.fixture
def prepared(settings: PrepareSettings, tmp_path: Path) -> PreparedData:
    return prepare(settings, 0, refuse_to_detect, tmp_path / "scenes")


def test_labeled_photos_become_scenes_of_three_splits(project: Path, prepared: PreparedData, tmp_path: Path) -> None:
    manifest = read_manifest(tmp_path / "scenes")
    assert manifest.detection_only and len(manifest.scenes) == 8
    for scene in manifest.scenes:
        assert [face.box.tolist() for face in scene.faces] == [[30, 5, 48, 25]]
        assert scene.ignored.tolist() == [[2, 2, 11, 11]]
    counts = load_stage(project, "prepare")._split_counts(prepared)
    assert (counts["boxes.clipped"], counts["boxes.unlabeled"], counts["photos.skipped"]) == (8, 8, 0)
    assert [counts[f"{split}.scenes"] for split in ("train", "validation", "test")] == [4, 2, 2]


def test_the_same_seed_gives_the_same_bytes(prepared: PreparedData, settings: PrepareSettings, tmp_path: Path) -> None:
    prepare(settings, 0, refuse_to_detect, tmp_path / "again")
    for path in (tmp_path / "scenes").rglob("*"):
        if path.is_file():
            assert (tmp_path / "again" / path.relative_to(tmp_path / "scenes")).read_bytes() == path.read_bytes()


def test_there_is_no_gallery_to_fill(
    project: Path, prepared: PreparedData, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    arguments = ["--model", "build/model", "--scenes", str(tmp_path / "scenes")]
    arguments += ["--evaluation", "build/evaluation", "--out", str(tmp_path / "gallery")]
    monkeypatch.chdir(project)  # where params.yaml is
    monkeypatch.setattr(sys, "argv", ["index.py", *arguments])
    with pytest.raises(DataError, match="nobody has a name, so there is no gallery to fill") as caught:
        load_stage(project, "index").main()
    assert "\n" not in str(caught.value) and not (tmp_path / "gallery").exists()
