from collections import Counter
from dataclasses import replace
from itertools import groupby
from pathlib import Path
from tempfile import TemporaryDirectory

import cv2
import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from helpers.aligned_crops import embed_aligned
from onelook.data import face_dataset
from onelook.data.augment import Sample
from onelook.data.batched_photometric import distort_images
from onelook.data.face_crops import write_face_crops
from onelook.data.face_dataset import FaceDataset, crop_face
from onelook.data.label_arrays import TEACHER_EMBEDDINGS, write_teacher_embeddings
from onelook.data.loader import DEFAULT_LOADER, LoaderOptions
from onelook.data.manifest import Face, Manifest, Role, Scene, Split, missing_landmarks, select_training_scenes
from onelook.errors import DataError
from onelook.geometry.alignment import REFERENCE_LANDMARKS, similarity_transform
from onelook.geometry.boxes import box_sizes
from onelook.settings import AugmentSettings, DegradeSettings, FaceBatchSettings

SETTINGS = FaceBatchSettings(
    batch_size=4,
    crop_size=96,
    labeled_fraction=0.5,
    images_per_identity=1,
    rotation_std=10,
    scale_std=0.2,
    downscale_prob=0.3,
)
STILL = AugmentSettings(
    crop_size=64,
    zoom=(1, 1),
    short_edge=None,
    min_identity_size=20,
    photometric=0,
    landmark_jitter=0,
    predicted_landmark_fraction=0,
)


def draw_dots(scale: float, degrees: float, x: float, y: float) -> Sample:
    """A gray photo with a white dot on each landmark of one face."""
    turn = np.radians(degrees)
    linear = scale * np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
    landmarks = (REFERENCE_LANDMARKS @ linear.T + (x, y)).astype(np.float32)
    image = np.full((400, 400, 3), 40, np.uint8)
    for point in landmarks:
        center = np.round((point - 0.5) * 16).astype(int)
        cv2.circle(image, center.tolist(), round(3.5 * scale * 16), (255, 255, 255), -1, cv2.LINE_AA, shift=4)
    box = np.concatenate([landmarks.min(0) - 20 * scale, landmarks.max(0) + 20 * scale])[None].astype(np.float32)
    return Sample(image, box, landmarks[None], np.array([0]))


@given(st.integers(0, 1000), st.floats(0.6, 2.4), st.floats(-20, 20))
def test_landmarks_lie_on_their_dots_and_the_face_is_centered(seed: int, scale: float, degrees: float) -> None:
    sample = draw_dots(scale, degrees, 80, 60)
    cut = crop_face(sample, SETTINGS, np.random.default_rng(seed))
    assert cut.image.shape == (96, 96, 3) and cut.image.dtype == np.uint8
    template = similarity_transform(REFERENCE_LANDMARKS.astype(np.float64), cut.landmarks[0].astype(np.float64))
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


def test_large_faces_are_scaled_down_to_the_aligned_crop_and_small_ones_keep_their_size() -> None:
    plain = SETTINGS.model_copy(update={"rotation_std": 0, "scale_std": 0, "downscale_prob": 0})
    for scale, wanted in ((2.4, 1.0), (1.5, 1.0), (0.5, 0.5)):
        cut = crop_face(draw_dots(scale, 0, 60, 60), plain, np.random.default_rng(0))
        template = similarity_transform(REFERENCE_LANDMARKS.astype(np.float64), cut.landmarks[0].astype(np.float64))
        assert np.hypot(template[0, 0], template[1, 0]) == pytest.approx(wanted, rel=1e-3)


@given(st.integers(0, 1000), st.floats(0.4, 2.0))
def test_a_face_gets_a_size_within_the_set_range(seed: int, scale: float) -> None:
    settings = SETTINGS.model_copy(update={"size": (20.0, 70.0)})
    sample = draw_dots(scale, 10, 80, 60)
    cut = crop_face(sample, settings, np.random.default_rng(seed))
    size = box_sizes(cut.boxes)[0]
    assert size * 1.001 >= 20 and size <= 70 * 1.001
    # Landmarks and box are scaled alike.
    eyes, scaled_eyes = (np.linalg.norm(points[0, 0] - points[0, 1]) for points in (sample.landmarks, cut.landmarks))
    assert scaled_eyes / eyes == pytest.approx(size / box_sizes(sample.boxes)[0], rel=1e-3)


def test_sizes_are_uniform_in_their_logarithm() -> None:
    settings = SETTINGS.model_copy(update={"size": (20.0, 70.0)})
    sample, rng = draw_dots(1.0, 0, 60, 60), np.random.default_rng(0)
    sizes = [float(box_sizes(crop_face(sample, settings, rng).boxes)[0]) for _ in range(400)]
    quartiles = np.quantile(np.log(np.array(sizes) / 20) / np.log(70 / 20), [0.25, 0.5, 0.75])
    np.testing.assert_allclose(quartiles, [0.25, 0.5, 0.75], atol=0.08)


def write_scene(root: Path, split: Split, role: Role, *names: str | None, points: bool = True) -> Scene:
    number = len(list(root.glob("*.png")))
    cv2.imwrite(str(root / f"{number}.png"), np.full((128, 128, 3), number + 1, np.uint8))
    landmarks = REFERENCE_LANDMARKS.astype(np.float32) if points else missing_landmarks()
    faces = tuple(Face(np.array([20, 20, 90, 100], np.float32), landmarks, name) for name in names)
    return Scene(f"{number}.png", 128, 128, split, role, faces, "painted", "none")


@pytest.fixture
def manifest(tmp_path: Path) -> Manifest:
    scenes = [write_scene(tmp_path, "train", "scene", f"p{i % 3}", None) for i in range(6)]
    scenes += [write_scene(tmp_path, "train", "crop", None) for _ in range(3)]
    scenes += [write_scene(tmp_path, "train", "scene", "p0", points=False)]
    scenes += [write_scene(tmp_path, "test", "scene", "stranger"), write_scene(tmp_path, "train", "enroll", "p1")]
    manifest = Manifest(tmp_path, tuple(scenes))

    def embed_crops(crops: np.ndarray) -> np.ndarray:
        return np.stack([crops.mean((1, 2, 3)), crops.mean((1, 2, 3)) * 0 + 1], axis=1).astype(np.float32)

    write_teacher_embeddings(tmp_path, select_training_scenes(scenes), embed_aligned(embed_crops))
    return manifest


def make_dataset(
    manifest: Manifest, loader: LoaderOptions = DEFAULT_LOADER, photometric: float = 0, **changes: object
) -> FaceDataset:
    index = {name: i for i, name in enumerate(manifest.identities("train"))}
    augment = STILL.model_copy(update={"photometric": photometric})
    return FaceDataset(manifest, index, SETTINGS.model_copy(update=changes), augment, seed=1, loader=loader)


def batch_bytes(faces: FaceDataset, epoch: int) -> list[bytes]:
    """Return the images and landmarks of the batches of an epoch."""
    return [tensor.numpy().tobytes() for batch in faces.batches(epoch) for tensor in (batch.images, batch.landmarks)]


def test_an_epoch_has_each_labeled_face_once_and_the_set_fraction_of_unlabeled_faces(manifest: Manifest) -> None:
    faces = make_dataset(manifest)
    assert faces.num_batches() == 3  # 6 named and 6 others in fours
    batches = list(faces.batches(0))
    identities = torch.cat([batch.identities for batch in batches])
    assert sorted(identities.tolist()) == [-1] * 6 + [0, 0, 1, 1, 2, 2]
    named = torch.cat([batch.images for batch in batches])[identities >= 0]
    # Each photo is of one gray level: none comes twice, and none is of the test person or an enrollment.
    assert sorted(named[:, 0, 48, 48].tolist()) == [1, 2, 3, 4, 5, 6]


def test_every_face_has_its_own_teacher_embedding(manifest: Manifest) -> None:
    for batch in make_dataset(manifest).batches(3):
        torch.testing.assert_close(batch.teacher_embeddings[:, 0], batch.images[:, 0, 48, 48].float())


def test_an_epoch_can_be_replayed_and_the_next_one_differs(manifest: Manifest) -> None:
    def pixels(epoch: int) -> torch.Tensor:
        return torch.cat([batch.landmarks for batch in make_dataset(manifest).batches(epoch)])

    assert pixels(0).equal(pixels(0)) and not pixels(0).equal(pixels(1))


@pytest.mark.parametrize("threads", [2, 7])
def test_batches_are_the_same_for_any_number_of_threads(manifest: Manifest, threads: int) -> None:
    one, several = (make_dataset(manifest, LoaderOptions(threads=number), 1.0) for number in (1, threads))
    for epoch in range(2):
        assert batch_bytes(one, epoch) == batch_bytes(several, epoch)


def test_batches_are_the_same_with_and_without_memory_for_images(
    manifest: Manifest, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept = make_dataset(manifest, photometric=1.0)
    monkeypatch.setattr(face_dataset, "_CACHE_BYTES", 0)
    read_again = make_dataset(manifest, photometric=1.0)
    epochs = [batch_bytes(read_again, epoch) for epoch in range(3)]
    assert [batch_bytes(kept, epoch) for epoch in range(3)] == epochs


def test_images_are_decoded_once(manifest: Manifest) -> None:
    faces = make_dataset(manifest)
    expected = batch_bytes(faces, 0)
    for path in manifest.root.glob("*.png"):
        path.unlink()
    assert batch_bytes(faces, 0) == expected


def test_a_deferred_distortion_gives_the_batches_of_the_loader(manifest: Manifest) -> None:
    by_loader = make_dataset(manifest, photometric=1.0)
    deferred = make_dataset(manifest, LoaderOptions(2, defer_photometric=True), 1.0)
    for one, other in zip(by_loader.batches(0), deferred.batches(0), strict=True):
        assert one.photometric is None and other.photometric is not None
        noiseless = other.photometric.params[:, 7] == 0
        difference = (distort_images(other.images, other.photometric).int() - one.images.int()).abs()[noiseless]
        assert difference.numel() == 0 or difference.max() <= 1
        assert one.landmarks.equal(other.landmarks) and one.identities.equal(other.identities)


def test_degraded_faces_keep_their_teacher_embedding(manifest: Manifest) -> None:
    degrade = DegradeSettings(low_light=1, mask=1, off_center=1)
    for batch, clean in zip(
        make_dataset(manifest, degrade=degrade).batches(0), make_dataset(manifest).batches(0), strict=True
    ):
        assert batch.teacher_embeddings is not None and clean.teacher_embeddings is not None
        assert batch.teacher_embeddings.equal(clean.teacher_embeddings) and batch.identities.equal(clean.identities)
        assert not batch.images.equal(clean.images) and not batch.landmarks.equal(clean.landmarks)


def test_faces_are_read_from_the_array_of_crops(manifest: Manifest) -> None:
    scenes = select_training_scenes(manifest.scenes)
    write_face_crops(manifest.root, scenes, sum(len(scene.faces) for scene in scenes), 128)
    expected = make_dataset(manifest, scale_std=0.0, downscale_prob=0.0)
    for path in manifest.root.glob("*.png"):
        path.unlink()
    for batch in expected.batches(0):
        assert batch.teacher_embeddings is not None
        torch.testing.assert_close(batch.teacher_embeddings[:, 0], batch.images[:, 0, 48, 48].float())
        spread = (batch.landmarks - batch.landmarks.mean(1, keepdim=True)).norm(dim=2).mean(1)
        assert (spread > 10).all() and ((batch.landmarks.mean(1) - 48).abs() < 25).all()
    identities = torch.cat([batch.identities for batch in expected.batches(0)])
    assert sorted(identities.tolist()) == [-1] * 6 + [0, 0, 1, 1, 2, 2]


@pytest.mark.parametrize("from_array", [False, True])
def test_faces_of_a_set_come_as_often_as_it_repeats(manifest: Manifest, from_array: bool) -> None:
    number = 6  # of the first crop
    scene = manifest.scenes[number]
    (manifest.root / "crops-profiles").mkdir()
    (manifest.root / scene.image).rename(manifest.root / "crops-profiles" / scene.image)
    moved = replace(scene, image=f"crops-profiles/{scene.image}")
    scenes = (*manifest.scenes[:number], moved, *manifest.scenes[number + 1 :])
    repeated = Manifest(manifest.root, scenes)
    if from_array:
        training = select_training_scenes(scenes)
        write_face_crops(manifest.root, training, sum(len(each.faces) for each in training), 128)
    faces = make_dataset(repeated, labeled_fraction=0, batch_size=1, repeats={"profiles": 3})
    shades = Counter(int(batch.images[0, 0, 48, 48]) for batch in faces.batches(0))
    named_twice = dict.fromkeys(range(1, 7), 2)  # an identity and another face in each photo
    assert shades == {**named_twice, 7: 3, 8: 1, 9: 1}


def test_a_repeated_set_that_is_missing_is_refused_in_one_line(manifest: Manifest) -> None:
    with pytest.raises(DataError, match=r"train\.faces\.repeats: no set 'profiles'") as caught:
        make_dataset(manifest, repeats={"profiles": 3})
    assert "\n" not in str(caught.value)


def test_without_a_teacher_batches_have_labeled_faces_only(manifest: Manifest) -> None:
    (manifest.root / TEACHER_EMBEDDINGS).unlink()
    faces = make_dataset(manifest, batch_size=2)
    assert faces.embedding_dim is None and faces.num_batches() == 3
    for batch in faces.batches(0):
        assert (batch.identities >= 0).all() and batch.teacher_embeddings is None


@given(st.lists(st.integers(1, 6), min_size=1, max_size=5), st.integers(2, 4), st.integers(0, 5))
def test_balanced_batches_have_the_same_number_of_runs_for_every_identity(
    photos: list[int], each: int, epoch: int
) -> None:
    with TemporaryDirectory() as folder:
        root = Path(folder)
        scenes = [
            write_scene(root, "train", "scene", f"p{person}") for person, n in enumerate(photos) for _ in range(n)
        ]
        faces = make_dataset(Manifest(root, tuple(scenes)), batch_size=1, images_per_identity=each)
        identities = [int(batch.identities) for batch in faces.batches(epoch)]
    assert len(identities) == len(scenes)
    runs = [len(list(group)) for _, group in groupby(identities)]
    assert all(run % each == 0 for run in runs) or len(scenes) % each  # what is left over may be fewer
    turns = [-(-identities.count(person) // each) for person in range(len(photos))]
    assert max(turns) - min(turns) <= 1
