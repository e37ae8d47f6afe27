"""Faces cut out for training: where their points end up, who is among them, and that an epoch can be replayed."""

from itertools import groupby
from pathlib import Path
from tempfile import TemporaryDirectory

import cv2
import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from onelook.data.augment import Sample
from onelook.data.face_dataset import FaceDataset, crop_face
from onelook.data.manifest import Face, Manifest, Role, Scene, Split, missing_landmarks
from onelook.data.teacher_embeddings import training_scenes, write_teacher_embeddings
from onelook.geometry.alignment import TEMPLATE, similarity_transform
from onelook.settings import AugmentSettings, FaceBatchSettings

SETTINGS = FaceBatchSettings(batch=4, side=96, named=0.5, per_person=1, rotation=10, scale=0.2, shrunk=0.3)
STILL = AugmentSettings(
    crop=64,
    zoom=(1, 1),
    short_edge=None,
    smallest_identity=20,
    photometric=0,
    landmark_jitter=0,
    predicted_share=0,
)


def dotted(scale: float, degrees: float, x: float, y: float) -> Sample:
    """A gray photo with a white dot on each landmark of one face."""
    turn = np.radians(degrees)
    linear = scale * np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
    landmarks = (TEMPLATE @ linear.T + (x, y)).astype(np.float32)
    image = np.full((400, 400, 3), 40, np.uint8)
    for point in landmarks:
        center = np.round((point - 0.5) * 16).astype(int)
        cv2.circle(image, center.tolist(), round(3.5 * scale * 16), (255, 255, 255), -1, cv2.LINE_AA, shift=4)
    box = np.concatenate([landmarks.min(0) - 20 * scale, landmarks.max(0) + 20 * scale])[None].astype(np.float32)
    return Sample(image, box, landmarks[None], np.array([0]))


@given(st.integers(0, 1000), st.floats(0.6, 2.4), st.floats(-20, 20))
def test_the_points_lie_on_their_dots_and_the_face_in_the_middle(seed: int, scale: float, degrees: float) -> None:
    sample = dotted(scale, degrees, 80, 60)
    cut = crop_face(sample, SETTINGS, np.random.default_rng(seed))
    assert cut.image.shape == (96, 96, 3) and cut.image.dtype == np.uint8
    template = similarity_transform(TEMPLATE.astype(np.float64), cut.landmarks[0].astype(np.float64))
    pixels = np.hypot(template[0, 0], template[1, 0])
    for x, y in cut.landmarks[0]:
        reach = max(2, round(5 * pixels))
        left, top = round(x) - reach, round(y) - reach
        if min(left, top) < 0 or max(round(x), round(y)) + reach > 96:
            continue
        window = cut.image[top : top + 2 * reach, left : left + 2 * reach, 0].astype(np.float64) - 40
        rows, columns = np.mgrid[0 : 2 * reach, 0 : 2 * reach] + 0.5
        center = (columns * window).sum() / window.sum() + left, (rows * window).sum() / window.sum() + top
        assert np.hypot(center[0] - x, center[1] - y) < 0.6
    middle = template[:, :2] @ (56, 56) + template[:, 2]
    assert np.abs(middle - 48).max() <= 5.01


def test_large_faces_come_down_to_the_crop_and_small_ones_stay() -> None:
    plain = SETTINGS.model_copy(update={"rotation": 0, "scale": 0, "downscale_prob": 0})
    for scale, wanted in ((2.4, 1.0), (1.5, 1.0), (0.5, 0.5)):
        cut = crop_face(dotted(scale, 0, 60, 60), plain, np.random.default_rng(0))
        template = similarity_transform(TEMPLATE.astype(np.float64), cut.landmarks[0].astype(np.float64))
        assert np.hypot(template[0, 0], template[1, 0]) == pytest.approx(wanted, rel=1e-3)


def write_scene(root: Path, split: Split, role: Role, *names: str | None, points: bool = True) -> Scene:
    number = len(list(root.glob("*.png")))
    cv2.imwrite(str(root / f"{number}.png"), np.full((128, 128, 3), number + 1, np.uint8))
    landmarks = TEMPLATE.astype(np.float32) if points else missing_landmarks()
    faces = tuple(Face(np.array([20, 20, 90, 100], np.float32), landmarks, name) for name in names)
    return Scene(f"{number}.png", 128, 128, split, role, faces, "painted", "none")


@pytest.fixture
def manifest(tmp_path: Path) -> Manifest:
    scenes = [write_scene(tmp_path, "train", "scene", f"p{i % 3}", None) for i in range(6)]
    scenes += [write_scene(tmp_path, "train", "crop", None) for _ in range(3)]
    scenes += [write_scene(tmp_path, "train", "scene", "p0", points=False)]
    scenes += [write_scene(tmp_path, "test", "scene", "stranger"), write_scene(tmp_path, "train", "enroll", "p1")]
    manifest = Manifest(tmp_path, tuple(scenes))

    def teach(crops: np.ndarray) -> np.ndarray:
        return np.stack([crops.mean((1, 2, 3)), crops.mean((1, 2, 3)) * 0 + 1], axis=1).astype(np.float32)

    write_teacher_embeddings(tmp_path, training_scenes(scenes), teach)
    return manifest


def faces_of(manifest: Manifest, **changes: object) -> FaceDataset:
    index = {name: i for i, name in enumerate(manifest.identities("train"))}
    return FaceDataset(manifest, index, SETTINGS.model_copy(update=changes), STILL, seed=1)


def test_an_epoch_shows_each_named_face_once_and_as_many_others(manifest: Manifest) -> None:
    faces = faces_of(manifest)
    assert faces.count() == 3  # 6 named and 6 others in fours
    batches = list(faces.batches(0))
    identities = torch.cat([batch.identities for batch in batches])
    assert sorted(identities.tolist()) == [-1] * 6 + [0, 0, 1, 1, 2, 2]
    named = torch.cat([batch.images for batch in batches])[identities >= 0]
    # Each photo is of one gray level: none comes twice, and none is of the test person or an enrollment.
    assert sorted(named[:, 0, 48, 48].tolist()) == [1, 2, 3, 4, 5, 6]


def test_every_face_comes_with_its_own_lesson(manifest: Manifest) -> None:
    for batch in faces_of(manifest).batches(3):
        torch.testing.assert_close(batch.taught[:, 0], batch.images[:, 0, 48, 48].float())


def test_an_epoch_can_be_replayed_and_the_next_is_another(manifest: Manifest) -> None:
    def pixels(epoch: int) -> torch.Tensor:
        return torch.cat([batch.landmarks for batch in faces_of(manifest).batches(epoch)])

    assert pixels(0).equal(pixels(0)) and not pixels(0).equal(pixels(1))


def test_without_a_teacher_only_faces_with_a_name_are_shown(manifest: Manifest) -> None:
    (manifest.root / "teachings.safetensors").unlink()
    faces = faces_of(manifest, batch=2)
    assert faces.teaching_size is None and faces.count() == 3
    for batch in faces.batches(0):
        assert (batch.identities >= 0).all() and batch.taught is None


@given(st.lists(st.integers(1, 6), min_size=1, max_size=5), st.integers(2, 4), st.integers(0, 5))
def test_balanced_batches_show_people_alike_however_many_photos_they_have(
    photos: list[int], each: int, epoch: int
) -> None:
    with TemporaryDirectory() as folder:
        root = Path(folder)
        scenes = [
            write_scene(root, "train", "scene", f"p{person}") for person, n in enumerate(photos) for _ in range(n)
        ]
        faces = faces_of(Manifest(root, tuple(scenes)), batch=1, per_person=each)
        shown = [int(batch.identities) for batch in faces.batches(epoch)]
    assert len(shown) == len(scenes)
    runs = [len(list(group)) for _, group in groupby(shown)]
    assert all(run % each == 0 for run in runs) or len(scenes) % each  # what is left over may be fewer
    turns = [-(-shown.count(person) // each) for person in range(len(photos))]
    assert max(turns) - min(turns) <= 1
