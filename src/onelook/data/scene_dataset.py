"""Scenes as batches: decoded, augmented and shuffled, each from its own seed, so that any epoch can be replayed."""

from collections import deque
from collections.abc import Generator, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import TypeVar

import cv2
import numpy as np
import torch
from torch import Tensor

from onelook.data.augment import Sample, augment
from onelook.data.manifest import Manifest, Scene
from onelook.data.mesh_labels import read_meshes
from onelook.data.teacher_embeddings import read_teacher_embeddings, training_scenes
from onelook.errors import DataError
from onelook.settings import AugmentSettings


@dataclass(frozen=True, eq=False)
class SceneBatch:
    """Scenes of one size and their faces.

    Attributes:
        images: (B, 3, side, side) uint8, RGB.
        boxes: per image (n, 4) float32.
        landmarks: per image (n, 5, 2) float32, NaN where absent.
        identities: per image (n,) int64, -1 for no identity.
        taught: per image (n, d) float32, the teacher's embeddings, NaN where there is none; None without a teacher.
        meshes: per image (n, 468, 3) float32, NaN where absent; None where none were labeled.
        ignored: per image (k, 4) float32, boxes of what may be a face or not; None where there are none at all.
    """

    images: Tensor
    boxes: list[Tensor]
    landmarks: list[Tensor]
    identities: list[Tensor]
    taught: list[Tensor] | None
    meshes: list[Tensor] | None = None
    ignored: list[Tensor] | None = None


Shard = tuple[int, int]
"""Which part of a batch, from 0, and of how many: processes that train together share each batch."""
WHOLE: Shard = (0, 1)


def shard_batch(batch: np.ndarray, part: Shard) -> np.ndarray:
    """One part (k,) of a batch (n,) of numbers: a piece as long as the others, or by one longer.

    Raises:
        DataError: nothing is left for a part.
    """
    number, parts = part
    if len(batch) < parts:
        raise DataError(
            f"a batch of {len(batch)} cannot be shared by {parts} processes; set train.batch_size and train.faces.batch_size to "
            f"{parts} or more and prepare as many photos, or train.processes to fewer"
        )
    return np.array_split(batch, parts)[number]


class SceneDataset:
    """The training scenes of a manifest; nobody of another split can be among them.

    Attributes:
        identities: sorted names; a face's identity index is its place here.
        index: that place by name.
    """

    def __init__(self, manifest: Manifest, settings: AugmentSettings, seed: int) -> None:
        self.manifest = manifest
        self.scenes = manifest.select("train")
        self.identities = manifest.identities("train")
        self.index = {name: i for i, name in enumerate(self.identities)}
        self._settings = settings
        self._seed = seed
        self._taught = read_teacher_embeddings(manifest)
        self._meshes = read_meshes(manifest)
        # Where each scene's faces begin among those that were taught.
        rows = np.cumsum([0, *(len(scene.faces) for scene in training_scenes(manifest.scenes))])
        self._rows = {scene.image: int(row) for scene, row in zip(training_scenes(manifest.scenes), rows, strict=False)}
        if not self.scenes and not self.identities:
            raise DataError(f"{manifest.root}: no scene is for training; prepare photos with a training split")

    @property
    def meshes(self) -> bool:
        """Whether faces have meshes as labels."""
        return self._meshes is not None

    @property
    def teaching_size(self) -> int | None:
        """Length of the teacher's embeddings; None without a teacher."""
        return None if self._taught is None else self._taught.shape[1]

    def batches(self, epoch: int, size: int, part: Shard = WHOLE) -> Iterator[SceneBatch]:
        """The batches of one epoch, in a random order of its own; the last, smaller one is left out.

        Raises:
            DataError: a batch has fewer scenes than there are parts.
        """
        order = np.random.default_rng([self._seed, epoch]).permutation(len(self.scenes))
        for start in range(0, self.count(size) * size, size):
            chosen = shard_batch(order[start : start + size], part)
            samples, taught = zip(*[self._sample(int(i), epoch) for i in chosen], strict=True)
            yield _collate(samples, None if self._taught is None else list(taught))

    def count(self, size: int) -> int:
        """Batches in an epoch; at least one, of whatever scenes there are."""
        return max(1, len(self.scenes) // size)

    def _sample(self, index: int, epoch: int) -> tuple[Sample, Tensor]:
        """A scene augmented, and what the teacher says of its faces (n, d); NaN of those too small or cut to know."""
        scene = self.scenes[index]
        whole = read_sample(self.manifest, scene, self.index)
        # In place of identities go the faces' numbers: what happens to them tells which faces are left to know.
        meshes = None if self._meshes is None else self._meshes[scene.image]
        numbered = replace(whole, identities=np.arange(len(whole.identities)), meshes=meshes)
        sample = augment(numbered, self._settings, np.random.default_rng([self._seed, epoch, index]))
        left = sample.identities >= 0
        identities = np.where(left, whole.identities[sample.identities] if len(left) else -1, -1)
        taught = np.full((len(left), self.teaching_size or 0), np.nan, np.float32)
        if self._taught is not None:
            taught[left] = self._taught[self._rows[scene.image] + sample.identities[left]]
        return replace(sample, identities=identities), torch.from_numpy(taught)


Item = TypeVar("Item")


def prefetch(batches: Iterator[Item], depth: int = 3) -> Generator[Item]:
    """The same batches in the same order, made in a thread of their own while earlier ones are worked on."""
    with ThreadPoolExecutor(1) as pool:
        pending = deque(pool.submit(next, batches, None) for _ in range(depth))
        while (batch := pending.popleft().result()) is not None:
            pending.append(pool.submit(next, batches, None))
            yield batch


def read_sample(manifest: Manifest, scene: Scene, index: dict[str, int]) -> Sample:
    """Read a scene whole; `index` numbers the identities, others get -1.

    Raises:
        DataError: the image is missing or damaged.
    """
    pixels = cv2.imread(str(manifest.path(scene)), cv2.IMREAD_COLOR)
    if pixels is None:
        raise DataError(f"{manifest.path(scene)}: missing or damaged; run `dvc repro -f prepare`")
    return Sample(
        image=cv2.cvtColor(pixels, cv2.COLOR_BGR2RGB),
        boxes=np.array([face.box for face in scene.faces], np.float32).reshape(-1, 4),
        landmarks=np.array([face.landmarks for face in scene.faces], np.float32).reshape(-1, 5, 2),
        identities=np.array([index.get(face.identity or "", -1) for face in scene.faces], np.int64),
        ignored=scene.ignored,
    )


def stack_images(images: Sequence[np.ndarray]) -> Tensor:
    """Images (side, side, 3) as (B, 3, side, side), the channels still innermost in memory, as networks train."""
    return torch.from_numpy(np.stack(images)).permute(0, 3, 1, 2)


def _collate(samples: Sequence[Sample], taught: list[Tensor] | None) -> SceneBatch:
    meshes = [torch.from_numpy(sample.meshes) for sample in samples if sample.meshes is not None]
    return SceneBatch(
        images=stack_images([sample.image for sample in samples]),
        boxes=[torch.from_numpy(sample.boxes) for sample in samples],
        landmarks=[torch.from_numpy(sample.landmarks) for sample in samples],
        identities=[torch.from_numpy(sample.identities) for sample in samples],
        taught=taught,
        meshes=meshes or None,
        ignored=[torch.from_numpy(sample.ignored) for sample in samples],
    )
