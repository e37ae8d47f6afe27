"""Batches of training scenes, augmented and shuffled from per-epoch seeds.

Any epoch can be replayed: the order depends on the seed and the epoch, an augmentation also on the scene.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import cv2
import numpy as np
import torch
from torch import Tensor

from onelook.data.augment import Sample, augment
from onelook.data.batched_photometric import PhotometricBatch, stack_photometric
from onelook.data.label_arrays import read_meshes, read_teacher_embeddings
from onelook.data.loader import DEFAULT_LOADER, LoaderOptions, load_batches
from onelook.data.manifest import Manifest, Scene, select_training_scenes
from onelook.data.rng import Stream, make_rng
from onelook.errors import DataError
from onelook.settings import AugmentSettings


@dataclass(frozen=True, eq=False)
class SceneBatch:
    """Batch of scenes of one size with their face labels.

    Labels are padded to M faces per image, the most of any, at least 1. Padding looks like a face without labels: an
    empty box, no landmarks, no identity.

    Attributes:
        images: (B, 3, side, side) uint8, RGB, channels last in memory.
        boxes: (B, M, 4) float32, zeros in the padding.
        landmarks: (B, M, 5, 2) float32, NaN where absent.
        identities: (B, M) int64, -1 for no identity.
        teacher_embeddings: (B, M, d) float32, NaN where absent; None without a teacher.
        meshes: (B, M, 468, 3) float32, NaN where absent; None where none were labeled.
        ignored: (B, K, 4) float32, boxes of uncertain faces, zeros in the padding; None where there are none at all.
        face_counts: number of faces of each image, without the padding.
        photometric: distortion that `distort_images` is still to apply to the images; None where the loader has.
    """

    images: Tensor
    boxes: Tensor
    landmarks: Tensor
    identities: Tensor
    teacher_embeddings: Tensor | None
    meshes: Tensor | None
    ignored: Tensor | None
    face_counts: tuple[int, ...]
    photometric: PhotometricBatch | None = None


Shard = tuple[int, int]
"""Index from 0 and number of the shards of a batch: each process trains on one."""

FULL_BATCH: Shard = (0, 1)
"""The only shard of a single process."""


def shard_batch(batch: np.ndarray, shard: Shard) -> np.ndarray:
    """Return one shard (k,) of the indices (n,) of a batch.

    The lengths of a batch's shards differ by one at most.

    Raises:
        DataError: the batch has fewer items than there are shards.
    """
    index, shards = shard
    if len(batch) < shards:
        raise DataError(
            f"a batch of {len(batch)} cannot be sharded over {shards} processes; set train.batch_size and "
            f"train.faces.batch_size to {shards} or more and prepare as many photos, or lower train.processes"
        )
    return np.array_split(batch, shards)[index]


class SceneDataset:
    """Training scenes of a manifest as augmented batches.

    Attributes:
        manifest: manifest of the data folder.
        scenes: scenes of the training split.
        identities: sorted names of the training split; the position of a name is its class index.
        index: class index by name.
    """

    def __init__(
        self, manifest: Manifest, settings: AugmentSettings, seed: int, loader: LoaderOptions = DEFAULT_LOADER
    ) -> None:
        self.manifest = manifest
        self.scenes = manifest.select("train")
        self.identities = manifest.identities("train")
        self.index = {name: i for i, name in enumerate(self.identities)}
        self._settings = settings
        self._seed = seed
        self._loader = loader
        self._teacher_embeddings = read_teacher_embeddings(manifest)
        self._meshes = read_meshes(manifest)
        # First row of each scene's faces in the teacher's embeddings.
        rows = np.cumsum([0, *(len(scene.faces) for scene in select_training_scenes(manifest.scenes))])
        self._rows = {
            scene.image: int(row) for scene, row in zip(select_training_scenes(manifest.scenes), rows, strict=False)
        }
        if not self.scenes and not self.identities:
            raise DataError(f"{manifest.root}: no scene in the training split; prepare photos with a training split")

    @property
    def has_meshes(self) -> bool:
        """Return True if faces have mesh labels."""
        return self._meshes is not None

    @property
    def embedding_dim(self) -> int | None:
        """Return the length of the teacher's embeddings; None without a teacher."""
        return None if self._teacher_embeddings is None else self._teacher_embeddings.shape[1]

    def batches(self, epoch: int, size: int, shard: Shard = FULL_BATCH, first: int = 0) -> Iterator[SceneBatch]:
        """Yield the batches of an epoch in its random order, without a last, smaller one.

        Args:
            epoch: number of the epoch; it seeds the order and the augmentation.
            size: scenes in a batch of all processes.
            shard: part of every batch to return.
            first: number of the first batch to return; those before are not loaded.

        Raises:
            DataError: a batch has fewer scenes than there are shards.
        """
        order = make_rng(self._seed, Stream.SCENE_ORDER, epoch).permutation(len(self.scenes))
        starts = range(first * size, self.num_batches(size) * size, size)
        batches = [shard_batch(order[start : start + size], shard) for start in starts]
        with closing(load_batches(partial(self._sample, epoch), batches, self._loader.threads)) as loaded:
            for batch in loaded:
                samples, teacher_embeddings = zip(*batch, strict=True)
                yield collate(samples, None if self._teacher_embeddings is None else teacher_embeddings)

    def num_batches(self, size: int) -> int:
        """Return the number of batches in an epoch, at least one."""
        return max(1, len(self.scenes) // size)

    def _sample(self, epoch: int, index: int) -> tuple[Sample, np.ndarray]:
        """Return an augmented scene and the teacher's embeddings (n, d) of its faces.

        A face that augmentation makes too small or cuts off has no identity and a row of NaN.
        """
        scene = self.scenes[index]
        original = read_sample(self.manifest, scene, self.index)
        # Augmentation sets the identity of some faces to -1 and drops others. Face numbers in place of identities show
        # afterwards which face of the scene each row is.
        meshes = None if self._meshes is None else self._meshes[scene.image]
        numbered = replace(original, identities=np.arange(len(original.identities)), meshes=meshes)
        rng = make_rng(self._seed, Stream.SCENE_AUGMENTATION, epoch, index)
        sample = augment(numbered, self._settings, rng, defer_photometric=self._loader.defer_photometric)
        is_recognizable = sample.identities >= 0
        identities = np.where(
            is_recognizable, original.identities[sample.identities] if len(is_recognizable) else -1, -1
        )
        teacher_embeddings = np.full((len(is_recognizable), self.embedding_dim or 0), np.nan, np.float32)
        if self._teacher_embeddings is not None:
            teacher_embeddings[is_recognizable] = self._teacher_embeddings[
                self._rows[scene.image] + sample.identities[is_recognizable]
            ]
        return replace(sample, identities=identities), teacher_embeddings


def read_training_image(path: Path) -> np.ndarray:
    """Read an image of the data folder as RGB (H, W, 3) uint8.

    Raises:
        DataError: the image is missing or damaged.
    """
    image = cv2.imread(str(path), cv2.IMREAD_COLOR_RGB)
    if image is None:
        raise DataError(f"{path}: missing or damaged; run `dvc repro -f prepare`")
    return image


def read_sample(
    manifest: Manifest, scene: Scene, index: dict[str, int], read: Callable[[Path], np.ndarray] = read_training_image
) -> Sample:
    """Read the image and labels of a scene; a name outside `index` has identity -1.

    Args:
        manifest: manifest of the data folder.
        scene: a scene of it.
        index: class index by name.
        read: reads the image.

    Raises:
        DataError: the image is missing or damaged.
    """
    return Sample(
        image=read(manifest.path(scene)),
        boxes=np.array([face.box for face in scene.faces], np.float32).reshape(-1, 4),
        landmarks=np.array([face.landmarks for face in scene.faces], np.float32).reshape(-1, 5, 2),
        identities=np.array([index.get(face.identity or "", -1) for face in scene.faces], np.int64),
        ignored=scene.ignored,
    )


def stack_images(images: Sequence[np.ndarray]) -> Tensor:
    """Stack B images (H, W, 3) to a tensor (B, 3, H, W) in channels-last memory."""
    return torch.from_numpy(np.stack(images)).permute(0, 3, 1, 2)


def pad_faces(rows: Sequence[np.ndarray], padding: float) -> Tensor:
    """Stack the rows (n_i, ...) of B images to a tensor (B, M, ...), M the largest n_i, at least 1.

    Args:
        rows: per image, with the same trailing shape and dtype.
        padding: value of the rows that an image has fewer than M.
    """
    padded = np.full((len(rows), max(1, *map(len, rows)), *rows[0].shape[1:]), padding, rows[0].dtype)
    for own, values in zip(padded, rows, strict=True):
        own[: len(values)] = values
    return torch.from_numpy(padded)


def collate(samples: Sequence[Sample], teacher_embeddings: Sequence[np.ndarray] | None) -> SceneBatch:
    """Make a batch of samples, and of the teacher's embeddings (n_i, d) of their faces."""
    meshes = [sample.meshes for sample in samples if sample.meshes is not None]
    ignored = [sample.ignored for sample in samples]
    photometric = [sample.photometric for sample in samples if sample.photometric is not None]
    return SceneBatch(
        images=stack_images([sample.image for sample in samples]),
        boxes=pad_faces([sample.boxes for sample in samples], 0),
        landmarks=pad_faces([sample.landmarks for sample in samples], np.nan),
        identities=pad_faces([sample.identities for sample in samples], -1),
        teacher_embeddings=None if teacher_embeddings is None else pad_faces(teacher_embeddings, np.nan),
        meshes=pad_faces(meshes, np.nan) if meshes else None,
        ignored=pad_faces(ignored, 0) if any(map(len, ignored)) else None,
        face_counts=tuple(len(sample.boxes) for sample in samples),
        photometric=stack_photometric(photometric) if photometric else None,
    )
