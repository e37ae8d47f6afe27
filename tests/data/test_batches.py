from pathlib import Path

import cv2
import numpy as np
import pytest

from onelook.data.batches import Batch, TrainingScenes
from onelook.data.scene import Face, Scene, read_manifest, write_manifest
from onelook.errors import DataError
from onelook.settings import Augment

SETTINGS = Augment(
    crop=64, zoom=(0.9, 1.1), smallest_identity=0.0, photometric=0.5, landmark_jitter=0.0, predicted_share=0.0
)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    rng = np.random.default_rng(0)
    people = {"train": ["zoe", "ann", None], "validation": ["vic"], "test": ["tom"]}
    scenes = []
    for split, names in people.items():
        for i in range(6):
            name = names[i % len(names)]
            image = f"{split}{i}.png"
            cv2.imwrite(str(tmp_path / image), rng.integers(0, 256, (64, 64, 3), dtype=np.uint8))
            points = np.array([[24, 24], [40, 24], [32, 32], [26, 40], [38, 40]], np.float32)
            face = Face(np.array([16, 16, 48, 48], np.float32), points, name)
            scenes.append(Scene(image, 64, 64, split, "scene", (face,), "", ""))  # type: ignore[arg-type]
    write_manifest(tmp_path, scenes)
    return tmp_path


def batches(root: Path, seed: int, epoch: int) -> list[Batch]:
    return list(TrainingScenes(read_manifest(root), SETTINGS, seed).batches(epoch, 2))


def test_only_training_people_are_in_training_scenes(root: Path) -> None:
    scenes = TrainingScenes(read_manifest(root), SETTINGS, 0)
    assert scenes.identities == ["ann", "zoe"]
    assert all(scene.split == "train" for scene in scenes.scenes)
    seen = {int(i) for batch in scenes.batches(0, 2) for who in batch.identities for i in who}
    assert seen <= {-1, 0, 1}


def test_any_epoch_can_be_replayed_and_no_two_are_alike(root: Path) -> None:
    first, again, later = batches(root, 1, 4), batches(root, 1, 4), batches(root, 1, 5)
    assert len(first) == 3 and first[0].images.shape == (2, 3, 64, 64)
    assert all(a.images.equal(b.images) for a, b in zip(first, again, strict=True))
    assert not any(a.images.equal(b.images) for a, b in zip(first, later, strict=True))


def test_fewer_scenes_than_a_batch_make_one_batch(root: Path) -> None:
    scenes = TrainingScenes(read_manifest(root), SETTINGS, 0)
    assert scenes.count(100) == 1
    assert [len(batch.images) for batch in scenes.batches(0, 100)] == [6]


def test_a_damaged_image_is_named(root: Path) -> None:
    (root / "train3.png").write_bytes(b"no picture")
    with pytest.raises(DataError, match=r"train3\.png: missing or damaged"):
        batches(root, 0, 0)


def test_training_without_people_is_refused(tmp_path: Path) -> None:
    write_manifest(tmp_path, [Scene("a.png", 64, 64, "train", "scene", (), "", "")])
    with pytest.raises(DataError, match="no training scene holds a person"):
        TrainingScenes(read_manifest(tmp_path), SETTINGS, 0)
