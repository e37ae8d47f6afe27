"""Scenes as batches: decoded, augmented and shuffled, each from its own seed, so that any epoch can be replayed."""

from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TypeVar

import cv2
import numpy as np
import torch
from torch import Tensor

from onelook.data.augment import Sample, augment
from onelook.data.scene import Manifest, Scene
from onelook.errors import DataError
from onelook.settings import Augment


@dataclass(frozen=True, eq=False)
class Batch:
    """Scenes of one size and their faces.

    Attributes:
        images: (B, 3, side, side) uint8, RGB.
        boxes: per image (n, 4) float32.
        landmarks: per image (n, 5, 2) float32, NaN where absent.
        identities: per image (n,) int64, -1 for no identity.
    """

    images: Tensor
    boxes: list[Tensor]
    landmarks: list[Tensor]
    identities: list[Tensor]


class TrainingScenes:
    """The training scenes of a manifest; nobody of another split can be among them.

    Attributes:
        identities: sorted names; a face's identity index is its place here.
        index: that place by name.
    """

    def __init__(self, manifest: Manifest, settings: Augment, seed: int) -> None:
        self.manifest = manifest
        self.scenes = manifest.select("train")
        self.identities = manifest.identities("train")
        self.index = {name: i for i, name in enumerate(self.identities)}
        self._settings = settings
        self._seed = seed
        if not self.identities:
            raise DataError(f"{manifest.root}: no training scene holds a person; prepare more photos")

    def batches(self, epoch: int, size: int) -> Iterator[Batch]:
        """The batches of one epoch, in a random order of its own; the last, smaller one is left out."""
        order = np.random.default_rng([self._seed, epoch]).permutation(len(self.scenes))
        for start in range(0, self.count(size) * size, size):
            chosen = order[start : start + size]
            yield _collate([self._sample(int(i), epoch) for i in chosen])

    def count(self, size: int) -> int:
        """Batches in an epoch; at least one, of whatever scenes there are."""
        return max(1, len(self.scenes) // size)

    def _sample(self, index: int, epoch: int) -> Sample:
        sample = read_sample(self.manifest, self.scenes[index], self.index)
        return augment(sample, self._settings, np.random.default_rng([self._seed, epoch, index]))


Item = TypeVar("Item")


def prefetch(batches: Iterator[Item], depth: int = 3) -> Iterator[Item]:
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
    )


def _collate(samples: Sequence[Sample]) -> Batch:
    return Batch(
        images=torch.from_numpy(np.stack([sample.image for sample in samples]).transpose(0, 3, 1, 2).copy()),
        boxes=[torch.from_numpy(sample.boxes) for sample in samples],
        landmarks=[torch.from_numpy(sample.landmarks) for sample in samples],
        identities=[torch.from_numpy(sample.identities) for sample in samples],
    )
