from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from helpers.aligned_crops import embed_aligned
from onelook.data.batched_photometric import distort_images
from onelook.data.label_arrays import write_teacher_embeddings
from onelook.data.loader import LoaderOptions
from onelook.data.manifest import Face, Scene, read_manifest, select_training_scenes, write_manifest
from onelook.data.rng import Stream, make_rng
from onelook.data.scene_dataset import SceneBatch, SceneDataset, read_training_image, shard_batch, stack_images
from onelook.data.splits import SPLITS
from onelook.data.synthesis.compose import sample_subjects
from onelook.errors import DataError
from onelook.settings import AugmentSettings, ComposeSettings

SETTINGS = AugmentSettings(
    crop_size=64,
    zoom=(0.9, 1.1),
    short_edge=None,
    min_identity_size=0.0,
    photometric=0.5,
    landmark_jitter=0.0,
    predicted_landmark_fraction=0.0,
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


def batches(root: Path, seed: int, epoch: int) -> list[SceneBatch]:
    return list(SceneDataset(read_manifest(root), SETTINGS, seed).batches(epoch, 2))


def test_only_training_people_are_in_training_scenes(root: Path) -> None:
    scenes = SceneDataset(read_manifest(root), SETTINGS, 0)
    assert scenes.identities == ["ann", "zoe"]
    assert all(scene.split == "train" for scene in scenes.scenes)
    identities = {int(i) for batch in scenes.batches(0, 2) for row in batch.identities for i in row}
    assert identities <= {-1, 0, 1}


def test_any_epoch_can_be_replayed_and_epochs_differ(root: Path) -> None:
    first, again, later = batches(root, 1, 4), batches(root, 1, 4), batches(root, 1, 5)
    assert len(first) == 3 and first[0].images.shape == (2, 3, 64, 64)
    assert all(a.images.equal(b.images) for a, b in zip(first, again, strict=True))
    assert not any(a.images.equal(b.images) for a, b in zip(first, later, strict=True))


def test_no_epoch_begins_with_the_scenes_that_prepare_left_empty(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(cv2.imencode(".png", np.zeros((64, 64, 3), np.uint8))[1].tobytes())
    rng = make_rng(0, Stream.SUBJECTS, SPLITS.index("train"))
    is_empty = [not people for people in sample_subjects(60, {"ann": [0]}, ComposeSettings(empty_fraction=0.2), rng)]
    faces = (Face(np.array([16, 16, 48, 48], np.float32), identity="ann"),)
    scenes = [Scene("a.png", 64, 64, "train", "scene", () if empty else faces, "", "") for empty in is_empty]
    write_manifest(tmp_path, scenes)
    dataset = SceneDataset(read_manifest(tmp_path), SETTINGS, 0)
    for epoch in range(10):
        first = next(dataset.batches(epoch, sum(is_empty)))
        assert max(first.face_counts) > 0


TENSORS = ("images", "boxes", "landmarks", "identities")


@pytest.mark.parametrize("threads", [2, 7])
def test_batches_are_the_same_for_any_number_of_threads(root: Path, threads: int) -> None:
    datasets = [
        SceneDataset(read_manifest(root), SETTINGS, 1, LoaderOptions(threads=number)) for number in (1, threads)
    ]
    for epoch in range(3):
        for one, other in zip(*(dataset.batches(epoch, 2) for dataset in datasets), strict=True):
            for name in TENSORS:
                assert getattr(one, name).numpy().tobytes() == getattr(other, name).numpy().tobytes()


@pytest.mark.parametrize("threads", [1, 3])
def test_a_deferred_distortion_gives_the_batches_of_the_loader(root: Path, threads: int) -> None:
    loader = LoaderOptions(threads=threads, defer_photometric=True)
    by_loader = SceneDataset(read_manifest(root), SETTINGS, 1)
    deferred = SceneDataset(read_manifest(root), SETTINGS, 1, loader)
    for one, other in zip(by_loader.batches(2, 6), deferred.batches(2, 6), strict=True):
        assert one.photometric is None and other.photometric is not None
        images = distort_images(other.images, other.photometric)
        noiseless = other.photometric.params[:, 7] == 0
        assert noiseless.any() and not images.equal(other.images)
        difference = (images.int() - one.images.int()).abs()[noiseless]
        assert difference.max() <= 1 and (difference > 0).float().mean() < 1e-3
        for name in TENSORS[1:]:
            assert getattr(one, name).numpy().tobytes() == getattr(other, name).numpy().tobytes()


@pytest.mark.parametrize("suffix", [".png", ".jpg"])
@pytest.mark.parametrize("shape", [(40, 50, 3), (40, 50)])
def test_a_training_image_is_rgb(tmp_path: Path, suffix: str, shape: tuple[int, ...]) -> None:
    path = tmp_path / f"image{suffix}"
    cv2.imwrite(str(path), np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8))
    np.testing.assert_array_equal(read_training_image(path), cv2.imread(str(path))[:, :, ::-1])


def test_fewer_scenes_than_a_batch_make_one_batch(root: Path) -> None:
    scenes = SceneDataset(read_manifest(root), SETTINGS, 0)
    assert scenes.num_batches(100) == 1
    assert [len(batch.images) for batch in scenes.batches(0, 100)] == [6]


@pytest.mark.parametrize("threads", [1, 3])
def test_the_error_names_a_damaged_image(root: Path, threads: int) -> None:
    (root / "train3.png").write_bytes(b"no picture")
    scenes = SceneDataset(read_manifest(root), SETTINGS, 0, LoaderOptions(threads=threads))
    with pytest.raises(DataError, match=r"train3\.png: missing or damaged"):
        list(scenes.batches(0, 2))


def test_training_without_scenes_is_refused(tmp_path: Path) -> None:
    write_manifest(tmp_path, [Scene("a.png", 64, 64, "test", "scene", (), "", "")])
    with pytest.raises(DataError, match="no scene in the training split"):
        SceneDataset(read_manifest(tmp_path), SETTINGS, 0)


def test_faces_have_their_own_teacher_embedding_and_small_ones_have_none(root: Path) -> None:
    """Three faces a scene, each of its own gray and size; the teacher embedding is the gray."""
    manifest = read_manifest(root)
    scenes = []
    for number, scene in enumerate(manifest.scenes):
        image = np.zeros((64, 64, 3), np.uint8)
        faces = []
        for place, (x, y, side) in enumerate([(2, 2, 28), (34, 2, 28), (20, 40, 8)]):
            image[y : y + side, x : x + side] = 12 * number + 4 * place + 3
            points = np.array([[8, 8], [20, 8], [14, 14], [9, 20], [19, 20]], np.float32) * side / 28 + (x, y)
            box = np.array([x, y, x + side, y + side], np.float32)
            faces.append(Face(box, points.astype(np.float32), scene.faces[0].identity if place else None))
        cv2.imwrite(str(root / scene.image), image)
        scenes.append(replace(scene, faces=tuple(faces)))
    write_manifest(root, scenes)

    def embed_crops(crops: np.ndarray) -> np.ndarray:
        return crops[:, 56:60, 56:60].mean((2, 3)).repeat(2, 1)[:, :3].astype(np.float32)

    manifest = read_manifest(root)
    write_teacher_embeddings(root, select_training_scenes(manifest.scenes), embed_aligned(embed_crops))
    settings = SETTINGS.model_copy(update={"zoom": (1, 1), "photometric": 0.0, "min_identity_size": 12.0})
    scenes_of = SceneDataset(manifest, settings, 0)
    assert scenes_of.embedding_dim == 3
    for batch in scenes_of.batches(1, 2):
        assert batch.teacher_embeddings is not None
        for image, boxes, who, teacher_embeddings in zip(
            batch.images, batch.boxes, batch.identities, batch.teacher_embeddings, strict=True
        ):
            assert teacher_embeddings.isfinite().all(-1).tolist() == [True, True, False]
            centers = ((boxes[:, :2] + boxes[:, 2:]) / 2).int()
            grays = image[0, centers[:, 1], centers[:, 0]].float()
            torch.testing.assert_close(teacher_embeddings[:2, 0], grays[:2], atol=1.0, rtol=0)
            assert who[0] == -1 and who[2] == -1


def test_batches_have_the_ignored_boxes_of_their_scenes(root: Path) -> None:
    manifest = read_manifest(root)
    box = np.array([[10, 10, 50, 50]], np.float32)
    write_manifest(
        root, [replace(scene, ignored=box if scene.faces[0].identity else scene.ignored) for scene in manifest.scenes]
    )
    settings = SETTINGS.model_copy(update={"zoom": (1, 1)})
    dataset = SceneDataset(read_manifest(root), settings, 0)
    batches = [batch for epoch in range(4) for batch in dataset.batches(epoch, 2)]
    assert {batch.ignored is None for batch in batches} == {True, False}
    for batch in batches:
        if batch.ignored is None:
            assert (batch.identities < 0).all()
            continue
        for ignored, who in zip(batch.ignored, batch.identities, strict=True):
            boxes = [[10, 10, 50, 50]], [[14, 10, 54, 50]]
            assert ignored.tolist() in (boxes if who[0] >= 0 else ([[0, 0, 0, 0]],))


def test_detection_only_scenes_make_batches(root: Path) -> None:
    nobody = [replace(scene, faces=()) for scene in read_manifest(root).scenes]
    write_manifest(root, nobody)
    scenes = SceneDataset(read_manifest(root), SETTINGS, 0)
    assert scenes.identities == [] and len(list(scenes.batches(0, 2))) == 3


@given(count=st.integers(1, 40), parts=st.integers(1, 40))
def test_shards_partition_a_batch_in_order_with_lengths_that_differ_by_one_at_most(count: int, parts: int) -> None:
    batch = np.arange(count)[::-1]
    if count < parts:
        with pytest.raises(DataError, match=f"a batch of {count} cannot be sharded over {parts} processes"):
            shard_batch(batch, (0, parts))
        return
    each = [shard_batch(batch, (number, parts)) for number in range(parts)]
    assert np.concatenate(each).tolist() == batch.tolist()
    assert max(map(len, each)) - min(map(len, each)) <= 1


def test_stacked_images_are_channels_last() -> None:
    images = list(np.random.default_rng(0).integers(0, 256, (2, 4, 5, 3), dtype=np.uint8))
    batch = stack_images(images)
    assert batch.shape == (2, 3, 4, 5) and batch.is_contiguous(memory_format=torch.channels_last)
    assert all(
        batch[i, channel].equal(torch.from_numpy(image[..., channel]))
        for i, image in enumerate(images)
        for channel in range(3)
    )
