"""Single faces as batches: each cut out of its photo with what is around it, for training identity at small cost."""

from collections.abc import Iterator
from dataclasses import dataclass

import cv2
import numpy as np
import torch
from torch import Tensor

from onelook.data.augment import Sample, horizontal_flip, photometric_distortion
from onelook.data.manifest import Manifest, Scene
from onelook.data.scene_dataset import WHOLE, Shard, read_sample, shard_batch, stack_images
from onelook.data.teacher_embeddings import read_teacher_embeddings, training_scenes
from onelook.geometry.alignment import CROP, TEMPLATE, apply_transform, similarity_transform
from onelook.settings import AugmentSettings, FaceBatchSettings

# Least of a face's size that a shrunk one keeps, and how far a face lies from the middle, in pixels.
_SMALLEST_SHARE = 0.3
_SHIFT = 5.0


@dataclass(frozen=True, eq=False)
class FaceBatch:
    """One face per image.

    Attributes:
        images: (B, 3, side, side) uint8, RGB.
        landmarks: (B, 5, 2) float32 in pixels of the images.
        identities: (B,) int64, -1 for no identity.
        taught: (B, d) float32, the teacher's embeddings, NaN where there is none; None without a teacher.
    """

    images: Tensor
    landmarks: Tensor
    identities: Tensor
    taught: Tensor | None


@dataclass(frozen=True)
class _Entry:
    scene: Scene
    face: int
    row: int


class FaceDataset:
    """The faces of the training people that have landmarks, from scenes and crops; nobody of another split.

    An epoch shows every face with a name once, and as many others, drawn anew, as `settings.named` asks for. With
    `settings.per_person` above 1, as many faces with a name are shown, but people are drawn alike (see `_balanced`).
    """

    def __init__(
        self,
        manifest: Manifest,
        index: dict[str, int],
        settings: FaceBatchSettings,
        augmenting: AugmentSettings,
        seed: int,
    ) -> None:
        """`index` numbers the identities.

        Raises:
            DataError: the teacher's embeddings are damaged.
        """
        self.manifest = manifest
        self._index = index
        self._settings = settings
        self._augmenting = augmenting
        self._seed = seed
        self._taught = read_teacher_embeddings(manifest)
        self._named: list[_Entry] = []
        self._nameless: list[_Entry] = []
        row = 0
        for scene in training_scenes(manifest.scenes):
            for number, face in enumerate(scene.faces):
                known = face.identity is not None and face.size >= augmenting.min_identity_size
                if np.isfinite(face.landmarks).all() and (known or self._taught is not None):
                    (self._named if known else self._nameless).append(_Entry(scene, number, row))
                row += 1

    @property
    def teaching_size(self) -> int | None:
        """Length of the teacher's embeddings; None without a teacher."""
        return None if self._taught is None else self._taught.shape[1]

    def count(self) -> int:
        """Batches in an epoch; at least one."""
        return max(1, (len(self._named) + self._others()) // self._settings.batch_size)

    def batches(self, epoch: int, part: Shard = WHOLE) -> Iterator[FaceBatch]:
        """The batches of one epoch, in a random order of its own; the last, smaller one is left out.

        Raises:
            DataError: a batch has fewer faces than there are parts.
        """
        rng = np.random.default_rng([self._seed, epoch, 2])
        drawn = rng.permutation(np.resize(rng.permutation(len(self._nameless)), self._others()))
        others = [self._nameless[i] for i in drawn]
        named = self._balanced(rng) if self._settings.images_per_identity > 1 else range(len(self._named))
        order = _spread(len(named), len(others), rng, together=self._settings.images_per_identity)
        entries = [self._named[i] for i in named] + others
        size = self._settings.batch_size
        for start in range(0, self.count() * size, size):
            chosen = shard_batch(order[start : start + size], part)
            yield self._collate([entries[i] for i in chosen], [[self._seed, epoch, 3, int(i)] for i in chosen])

    def _balanced(self, rng: np.random.Generator) -> list[int]:
        """As many faces with a name as there are, `per_person` of one person after the other.

        Everyone's turn comes equally often; who has fewer photos is shown some again.
        """
        people: dict[str | None, list[int]] = {}
        for i, entry in enumerate(self._named):
            people.setdefault(entry.scene.faces[entry.face].identity, []).append(i)
        own = list(people.values())
        faces: list[int] = []
        while own and len(faces) < len(self._named):
            for person in rng.permutation(len(own)):
                faces += np.resize(rng.permutation(own[person]), self._settings.images_per_identity).tolist()
        return faces[: len(self._named)]

    def _others(self) -> int:
        if not self._nameless:
            return 0
        share = self._settings.labeled_fraction
        return len(self._nameless) if share == 0 else round(len(self._named) * (1 - share) / share)

    def _collate(self, entries: list[_Entry], seeds: list[list[int]]) -> FaceBatch:
        samples = [self._sample(entry, np.random.default_rng(seed)) for entry, seed in zip(entries, seeds, strict=True)]
        taught = None if self._taught is None else self._taught[[entry.row for entry in entries]]
        return FaceBatch(
            images=stack_images([sample.image for sample in samples]),
            landmarks=torch.from_numpy(np.concatenate([sample.landmarks for sample in samples])),
            identities=torch.from_numpy(np.concatenate([sample.identities for sample in samples])),
            taught=None if taught is None else torch.from_numpy(taught),
        )

    def _sample(self, entry: _Entry, rng: np.random.Generator) -> Sample:
        whole = read_sample(self.manifest, entry.scene, self._index)
        part = slice(entry.face, entry.face + 1)
        face = Sample(whole.image, whole.boxes[part], whole.landmarks[part], whole.identities[part])
        face = crop_face(face, self._settings, rng)
        if rng.random() < 0.5:
            face = horizontal_flip(face)
        image = photometric_distortion(face.image, self._augmenting.photometric, rng)
        noise = rng.standard_normal(face.landmarks.shape, np.float32) * np.float32(self._augmenting.landmark_jitter)
        sizes = np.sqrt((face.boxes[:, 2:] - face.boxes[:, :2]).prod(axis=1))
        landmarks = (face.landmarks + noise * sizes[:, None, None]).astype(np.float32)
        return Sample(image, face.boxes, landmarks, face.identities)


def _spread(named: int, others: int, rng: np.random.Generator, *, together: int) -> np.ndarray:
    """A random order of `named` + `others` numbers in which runs of `together` named ones stay in one piece."""
    runs = np.split(np.arange(named), range(together, named, together)) if named else []
    runs += np.split(np.arange(named, named + others), range(1, others)) if others else []
    return np.concatenate([runs[i] for i in rng.permutation(len(runs))]) if runs else np.zeros(0, np.int64)


def crop_face(sample: Sample, settings: FaceBatchSettings, rng: np.random.Generator) -> Sample:
    """Turn and scale a photo about its one face and cut a square of `settings.side` around it, its edge mirrored.

    A face larger than ArcFace's crop of 112 pixels is brought down to about that, a smaller one stays about as it is.
    """
    template = TEMPLATE.astype(np.float64)
    upright = similarity_transform(template, sample.landmarks[0].astype(np.float64))
    native = np.hypot(upright[0, 0], upright[1, 0])  # pixels of the photo per pixel of the crop
    scale = min(1.0, native) / native * np.exp(rng.normal(0, settings.scale_std))
    if rng.random() < settings.downscale_prob:
        scale *= rng.uniform(_SMALLEST_SHARE, 1)
    angle = np.radians(rng.normal(0, settings.rotation_std))
    linear = scale * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    center = apply_transform(upright, np.array([[CROP / 2, CROP / 2]]))[0]
    offset = settings.crop_size / 2 + rng.uniform(-_SHIFT, _SHIFT, 2) - linear @ center
    image = _warp(sample.image, linear, offset, scale, settings.crop_size)
    corners = sample.boxes.reshape(-1, 2, 2).astype(np.float64)
    extent = (corners[:, 1] - corners[:, 0]) * scale
    middle = corners.mean(1) @ linear.T + offset
    return Sample(
        image,
        np.concatenate([middle - extent / 2, middle + extent / 2], axis=1).astype(np.float32),
        (sample.landmarks @ linear.T + offset).astype(np.float32),
        sample.identities,
    )


def _warp(photo: np.ndarray, linear: np.ndarray, offset: np.ndarray, scale: float, side: int) -> np.ndarray:
    if scale < 0.5:
        # warpAffine reads four pixels however much it shrinks; a photo reduced beforehand keeps it from aliasing.
        height, width = photo.shape[:2]
        size = np.maximum(np.round(np.array([width, height]) * scale), 1)
        photo = cv2.resize(photo, size.astype(int).tolist(), interpolation=cv2.INTER_AREA)
        linear = linear * (np.array([width, height]) / size)
    # OpenCV puts pixel centers at whole numbers.
    matrix = np.column_stack([linear, offset + linear @ (0.5, 0.5) - 0.5])
    return cv2.warpAffine(photo, matrix, (side, side), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT_101)
