"""Batches of single training faces, each cropped with its surroundings."""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass

import cv2
import numpy as np
import torch
from torch import Tensor

from onelook.data.augment import Sample, apply_photometric, horizontal_flip, warp_image
from onelook.data.batched_photometric import PhotometricBatch, stack_photometric
from onelook.data.degradation import degrade_image, shift_landmarks
from onelook.data.face_crops import read_face_crops
from onelook.data.image_cache import ImageCache
from onelook.data.label_arrays import read_teacher_embeddings
from onelook.data.loader import DEFAULT_LOADER, LoaderOptions, load_batches
from onelook.data.manifest import Manifest, Scene, select_training_scenes
from onelook.data.photometric import draw_photometric
from onelook.data.rng import Stream, make_rng
from onelook.data.scene_dataset import FULL_BATCH, Shard, read_sample, read_training_image, shard_batch, stack_images
from onelook.errors import DataError
from onelook.geometry.alignment import CROP_SIZE, REFERENCE_LANDMARKS, align_crop, apply_transform, similarity_transform
from onelook.geometry.boxes import box_sizes
from onelook.settings import AugmentSettings, FaceBatchSettings

_MIN_DOWNSCALE = 0.3
"""Smallest factor of the random downscaling (`downscale_prob`)."""
_MAX_SHIFT = 5.0
"""Largest random shift of a face from the center of the crop, in pixels."""
_CACHE_BYTES = 2 * 2**30
"""Memory of a process for decoded images: 40,000 crops of 128 pixels, or 11,000 photos of 250 pixels."""


@dataclass(frozen=True, eq=False)
class FaceBatch:
    """Batch of images with a single face each.

    Attributes:
        images: (B, 3, side, side) uint8, RGB.
        landmarks: (B, 5, 2) float32 in pixels of the images.
        identities: (B,) int64, -1 for no identity.
        teacher_embeddings: (B, d) float32, NaN where absent; None without a teacher.
        photometric: distortion that `distort_images` is still to apply to the images; None where the loader has.
    """

    images: Tensor
    landmarks: Tensor
    identities: Tensor
    teacher_embeddings: Tensor | None
    photometric: PhotometricBatch | None = None


@dataclass(frozen=True)
class _Entry:
    """Position of a face: index in its scene and row in the teacher's embeddings."""

    scene: Scene
    face: int
    row: int


class FaceDataset:
    """Training faces with landmarks, from scenes and crops, as augmented batches.

    - A face is labeled if it has an identity and is large enough.
    - An epoch has every labeled face once. With `images_per_identity` above 1 it has as many labeled faces, but
      the same number of runs for every identity.
    - With a teacher it also has a random sample of unlabeled faces, so that `labeled_fraction` of all are labeled.
      Those of a set with `repeats` count as many times.
    - Faces are read from the array of crops where `prepare` wrote one. Else photos are decoded, and decoded images are
      kept in memory, up to a bound.
    """

    def __init__(
        self,
        manifest: Manifest,
        index: dict[str, int],
        settings: FaceBatchSettings,
        augment: AugmentSettings,
        seed: int,
        loader: LoaderOptions = DEFAULT_LOADER,
    ) -> None:
        """Select the faces.

        Args:
            manifest: manifest of the data folder.
            index: class index by name.
            settings: the section `train.faces`.
            augment: the section `train.augment`.
            seed: seed of the order and the augmentation.
            loader: threads, and what is left to the device.

        Raises:
            DataError: the teacher's embeddings are damaged, or a set of `repeats` is missing.
        """
        self.manifest = manifest
        self._index = index
        self._settings = settings
        self._augment = augment
        self._seed = seed
        self._loader = loader
        self._images = ImageCache(read_training_image, _CACHE_BYTES)
        self._crops = read_face_crops(manifest)
        self._teacher_embeddings = read_teacher_embeddings(manifest)
        self._labeled: list[_Entry] = []
        self._unlabeled: list[_Entry] = []
        row = 0
        scenes = select_training_scenes(manifest.scenes)
        _check_sets(scenes, settings.repeats)
        for scene in scenes:
            repeats = settings.repeats.get(scene.face_set, 1)
            for number, face in enumerate(scene.faces):
                is_labeled = face.identity is not None and face.size >= augment.min_identity_size
                if np.isfinite(face.landmarks).all() and (is_labeled or self._teacher_embeddings is not None):
                    entries = self._labeled if is_labeled else self._unlabeled
                    entries += [_Entry(scene, number, row)] * repeats
                row += 1

    @property
    def embedding_dim(self) -> int | None:
        """Return the length of the teacher's embeddings; None without a teacher."""
        return None if self._teacher_embeddings is None else self._teacher_embeddings.shape[1]

    def num_batches(self) -> int:
        """Return the number of batches in an epoch, at least one."""
        return max(1, (len(self._labeled) + self._num_unlabeled()) // self._settings.batch_size)

    def batches(self, epoch: int, shard: Shard = FULL_BATCH, first: int = 0) -> Iterator[FaceBatch]:
        """Yield the batches of an epoch in its random order, without a last, smaller one.

        Args:
            epoch: number of the epoch; it seeds the selection, the order and the augmentation.
            shard: part of every batch to return.
            first: number of the first batch to return; those before are not loaded.

        Raises:
            DataError: a batch has fewer faces than there are shards.
        """
        rng = make_rng(self._seed, Stream.FACE_ORDER, epoch)
        sampled = rng.permutation(np.resize(rng.permutation(len(self._unlabeled)), self._num_unlabeled()))
        unlabeled = [self._unlabeled[i] for i in sampled]
        labeled = self._sample_balanced(rng) if self._settings.images_per_identity > 1 else range(len(self._labeled))
        order = _shuffle_runs(len(labeled), len(unlabeled), rng, run_length=self._settings.images_per_identity)
        entries = [self._labeled[i] for i in labeled] + unlabeled
        size = self._settings.batch_size
        starts = range(first * size, self.num_batches() * size, size)
        batches = [shard_batch(order[start : start + size], shard) for start in starts]

        def load(index: int) -> Sample:
            return self._sample(entries[index], make_rng(self._seed, Stream.FACE_AUGMENTATION, epoch, index))

        with closing(load_batches(load, batches, self._loader.threads)) as loaded:
            for batch, samples in zip(batches, loaded, strict=True):
                yield self._collate([entries[i] for i in batch], samples)

    def _sample_balanced(self, rng: np.random.Generator) -> list[int]:
        """Return indices of labeled faces in runs of one identity.

        A run has `images_per_identity` faces; in all there are as many as labeled faces. Every identity has a run in
        each round; one with fewer faces repeats some.
        """
        by_identity: dict[str | None, list[int]] = {}
        for i, entry in enumerate(self._labeled):
            by_identity.setdefault(entry.scene.faces[entry.face].identity, []).append(i)
        groups = list(by_identity.values())
        faces: list[int] = []
        while groups and len(faces) < len(self._labeled):
            for group in rng.permutation(len(groups)):
                faces += np.resize(rng.permutation(groups[group]), self._settings.images_per_identity).tolist()
        return faces[: len(self._labeled)]

    def _num_unlabeled(self) -> int:
        if not self._unlabeled:
            return 0
        fraction = self._settings.labeled_fraction
        return len(self._unlabeled) if fraction == 0 else round(len(self._labeled) * (1 - fraction) / fraction)

    def _collate(self, entries: list[_Entry], samples: Sequence[Sample]) -> FaceBatch:
        photometric = [sample.photometric for sample in samples if sample.photometric is not None]
        teacher_embeddings = (
            None if self._teacher_embeddings is None else self._teacher_embeddings[[entry.row for entry in entries]]
        )
        return FaceBatch(
            images=stack_images([sample.image for sample in samples]),
            landmarks=torch.from_numpy(np.concatenate([sample.landmarks for sample in samples])),
            identities=torch.from_numpy(np.concatenate([sample.identities for sample in samples])),
            teacher_embeddings=None if teacher_embeddings is None else torch.from_numpy(teacher_embeddings),
            photometric=stack_photometric(photometric) if photometric else None,
        )

    def _read_face(self, entry: _Entry) -> Sample:
        """Return the photo or the stored crop of a face, with this face alone."""
        if self._crops is None:
            scene = read_sample(self.manifest, entry.scene, self._index, self._images.read)
            own = slice(entry.face, entry.face + 1)
            return Sample(scene.image, scene.boxes[own], scene.landmarks[own], scene.identities[own])
        own = slice(entry.row, entry.row + 1)
        identity = self._index.get(entry.scene.faces[entry.face].identity or "", -1)
        return Sample(
            self._crops.images[entry.row], self._crops.boxes[own], self._crops.landmarks[own], np.array([identity])
        )

    def _sample(self, entry: _Entry, rng: np.random.Generator) -> Sample:
        face = crop_face(self._read_face(entry), self._settings, rng)
        if rng.random() < 0.5:
            face = horizontal_flip(face)
        photometric = draw_photometric(self._augment.photometric, rng, self._augment.hue_saturation)
        noise = rng.standard_normal(face.landmarks.shape, np.float32) * np.float32(self._augment.landmark_jitter)
        sizes = box_sizes(face.boxes)
        landmarks = (face.landmarks + noise * sizes[:, None, None]).astype(np.float32)
        image = degrade_image(face.image, face.landmarks[0], float(sizes[0]), self._settings.degrade, rng)
        if rng.random() < self._settings.degrade.off_center:
            landmarks = shift_landmarks(landmarks, float(sizes[0]), rng)
        sample = Sample(image, face.boxes, landmarks, face.identities, photometric=photometric)
        return sample if self._loader.defer_photometric else apply_photometric(sample)


def _check_sets(scenes: Sequence[Scene], names: Iterable[str]) -> None:
    """Raise a DataError if the scenes lack a set of extra faces."""
    sets = {scene.face_set for scene in scenes} - {""}
    for name in names:
        if name not in sets:
            raise DataError(f"train.faces.repeats: no set {name!r}; prepared are: {', '.join(sorted(sets)) or 'none'}")


def _shuffle_runs(labeled: int, unlabeled: int, rng: np.random.Generator, *, run_length: int) -> np.ndarray:
    """Return a random order of labeled + unlabeled indices, runs of labeled ones intact."""
    runs = np.split(np.arange(labeled), range(run_length, labeled, run_length)) if labeled else []
    runs += np.split(np.arange(labeled, labeled + unlabeled), range(1, unlabeled)) if unlabeled else []
    return np.concatenate([runs[i] for i in rng.permutation(len(runs))]) if runs else np.zeros(0, np.int64)


def crop_face(sample: Sample, settings: FaceBatchSettings, rng: np.random.Generator) -> Sample:
    """Rotate and scale an image about its only face and crop a square around it.

    - The square has `settings.crop_size` pixels a side; pixels outside the image are mirrored.
    - The face gets a size drawn from `settings.size`. Without that range, a face larger than in ArcFace's aligned crop
      of 112 pixels is scaled down to that size, and a smaller one keeps its size, up to a random scaling.
    - Rotation and shift are random.
    - A rotated face keeps the size of its box, with its center rotated.
    """
    template = REFERENCE_LANDMARKS.astype(np.float64)
    upright = similarity_transform(template, sample.landmarks[0].astype(np.float64))
    if settings.size is None:
        native = np.hypot(upright[0, 0], upright[1, 0])  # image pixels per pixel of the aligned crop
        scale = min(1.0, native) / native * np.exp(rng.normal(0, settings.scale_std))
        if rng.random() < settings.downscale_prob:
            scale *= rng.uniform(_MIN_DOWNSCALE, 1)
    else:
        scale = np.exp(rng.uniform(*np.log(settings.size))) / float(box_sizes(sample.boxes)[0])
    angle = np.radians(rng.normal(0, settings.rotation_std))
    linear = scale * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    center = apply_transform(upright, np.array([[CROP_SIZE / 2, CROP_SIZE / 2]]))[0]
    offset = settings.crop_size / 2 + rng.uniform(-_MAX_SHIFT, _MAX_SHIFT, 2) - linear @ center
    image = _warp(sample.image, linear, offset, scale, settings.crop_size)
    corners = sample.boxes.reshape(-1, 2, 2).astype(np.float64)
    extent = (corners[:, 1] - corners[:, 0]) * scale
    box_center = corners.mean(1) @ linear.T + offset
    return Sample(
        image,
        np.concatenate([box_center - extent / 2, box_center + extent / 2], axis=1).astype(np.float32),
        (sample.landmarks @ linear.T + offset).astype(np.float32),
        sample.identities,
    )


def _warp(image: np.ndarray, linear: np.ndarray, offset: np.ndarray, scale: float, side: int) -> np.ndarray:
    if scale < 0.5:
        # warpAffine interpolates between four pixels at any scale; area averaging beforehand prevents aliasing.
        height, width = image.shape[:2]
        size = np.maximum(np.round(np.array([width, height]) * scale), 1)
        image = cv2.resize(image, size.astype(int).tolist(), interpolation=cv2.INTER_AREA)
        linear = linear * (np.array([width, height]) / size)
    # OpenCV has pixel centers at integer coordinates, this package half a pixel further.
    matrix = np.column_stack([linear, offset + linear @ (0.5, 0.5) - 0.5])
    return warp_image(image, matrix, side, cv2.BORDER_REFLECT_101)


def read_aligned_crops(manifest: Manifest, count: int) -> np.ndarray:
    """Read up to `count` aligned crops (n, 112, 112, 3) uint8 of training faces.

    They are the first faces with landmarks, in manifest order.
    """
    from onelook.data.image_io import read_image  # with Pillow, which training does not need

    crops: list[np.ndarray] = []
    for scene in select_training_scenes(manifest.scenes):
        image = read_image(manifest.path(scene))
        crops += [align_crop(image, face.landmarks) for face in scene.faces if np.isfinite(face.landmarks).all()]
        if len(crops) >= count:
            break
    return np.array(crops[:count])
