"""What training changes in a scene each time it is seen: place, scale, side, light, sharpness."""

from dataclasses import dataclass, field, replace

import cv2
import numpy as np

from onelook.data.manifest import empty_boxes
from onelook.geometry.alignment import apply_transform, mirror_landmarks
from onelook.geometry.mesh import mirror_mesh
from onelook.settings import AugmentSettings


@dataclass(frozen=True, eq=False)
class Sample:
    """One scene as a batch needs it.

    Attributes:
        image: (side, side, 3) uint8.
        boxes: (n, 4) float32.
        landmarks: (n, 5, 2) float32, NaN where absent.
        identities: (n,) int64, -1 for no identity.
        ignored: (k, 4) float32 boxes of what may be a face or not.
        meshes: (n, 468, 3) float32, NaN where absent; None where no face has one.
    """

    image: np.ndarray
    boxes: np.ndarray
    landmarks: np.ndarray
    identities: np.ndarray
    ignored: np.ndarray = field(default_factory=empty_boxes)
    meshes: np.ndarray | None = None


def augment(sample: Sample, settings: AugmentSettings, rng: np.random.Generator) -> Sample:
    """A random square crop at a random scale, mirrored half of the time, with its light and sharpness changed.

    With `short_edge` the crop's side is a random share of the photo's shorter one, as RetinaFace cuts them.
    """
    if settings.short_edge is None:
        zoom = rng.uniform(*settings.zoom)
    else:
        zoom = settings.crop_size / (rng.uniform(*settings.short_edge) * min(sample.image.shape[:2]))
    sample = random_crop(sample, settings.crop_size, zoom, rng)
    if rng.random() < 0.5:
        sample = horizontal_flip(sample)
    image = photometric_distortion(sample.image, settings.photometric, rng)
    sizes = np.sqrt((sample.boxes[:, 2:] - sample.boxes[:, :2]).prod(axis=1))
    identities = np.where(sizes >= settings.min_identity_size, sample.identities, -1)
    return replace(sample, image=image, identities=identities)


def random_crop(sample: Sample, side: int, zoom: float, rng: np.random.Generator) -> Sample:
    """Scale a scene by `zoom` and cut a square of `side` pixels out at random, gray where the scene ends.

    Faces whose center is outside are dropped and boxes are cut at the edge, as RetinaFace does (arXiv 1905.00641,
    section 4.1). Ignored boxes stay as far as they are inside. A face with a landmark outside loses its identity: it
    can be found there, not known.
    """
    height, width = (extent * zoom for extent in sample.image.shape[:2])
    corner = np.array(
        [
            rng.uniform(min(0, width - side), max(0, width - side)),
            rng.uniform(min(0, height - side), max(0, height - side)),
        ]
    )
    transform = np.array([[zoom, 0, -corner[0]], [0, zoom, -corner[1]]])
    pixel_transform = transform.copy()
    pixel_transform[:, 2] += (zoom - 1) / 2
    image = cv2.warpAffine(
        sample.image, pixel_transform, (side, side), flags=cv2.INTER_LINEAR, borderValue=(114, 114, 114)
    )
    boxes, ignored = (
        apply_transform(transform, each.reshape(-1, 2, 2)).reshape(-1, 4) for each in (sample.boxes, sample.ignored)
    )
    landmarks = apply_transform(transform, sample.landmarks)
    centers = (boxes[:, :2] + boxes[:, 2:]) / 2
    kept = ((centers >= 0) & (centers < side)).all(1)
    whole = ((landmarks >= 0) & (landmarks < side)).all((1, 2))
    identities = np.where(whole, sample.identities, -1)
    meshes = None
    if sample.meshes is not None:
        # Depth is in the unit of the photo's pixels.
        meshes = (sample.meshes[kept] * zoom - [*corner, 0]).astype(np.float32)
    ignored = ignored.clip(0, side).astype(np.float32)
    return Sample(
        image,
        boxes[kept].clip(0, side).astype(np.float32),
        landmarks[kept].astype(np.float32),
        identities[kept],
        ignored[(ignored[:, 2:] > ignored[:, :2]).all(1)],
        meshes,
    )


def horizontal_flip(sample: Sample) -> Sample:
    """A scene seen in a mirror; left and right landmarks swap names."""
    width = sample.image.shape[1]
    boxes, ignored = sample.boxes.copy(), sample.ignored.copy()
    for each in (boxes, ignored):
        each[:, [0, 2]] = width - each[:, [2, 0]]
    image = cv2.flip(sample.image, 1)  # several times as fast as a copy of the reversed array
    meshes = None if sample.meshes is None else mirror_mesh(sample.meshes, width)
    return Sample(image, boxes, mirror_landmarks(sample.landmarks, width), sample.identities, ignored, meshes)


def photometric_distortion(image: np.ndarray, strength: float, rng: np.random.Generator) -> np.ndarray:
    """Change brightness, contrast and color of (H, W, 3) uint8; now and then make it gray, blurred, coarse or noisy.

    At strength 0 the image comes back as it was.
    """
    gains = 1 + strength * (rng.uniform(-0.4, 0.4) + rng.uniform(-0.25, 0.25, 3))
    shift = strength * rng.uniform(-40, 40)
    chances = rng.random(4) < strength * 0.4
    blur, coarse, noise, seed = rng.uniform(0.4, 1.6), rng.uniform(0.4, 0.8), rng.uniform(2, 10), rng.integers(2**31)
    pixels = image.astype(np.float32) * gains.astype(np.float32) + np.float32(shift)
    if chances[0]:
        pixels = np.repeat(pixels.mean(2, keepdims=True), 3, axis=2)
    if chances[1]:
        pixels = cv2.GaussianBlur(pixels, (0, 0), blur)
    if chances[2]:
        size = image.shape[1::-1]
        small = cv2.resize(pixels, None, fx=coarse, fy=coarse, interpolation=cv2.INTER_AREA)
        pixels = cv2.resize(small, size, interpolation=cv2.INTER_LINEAR)
    if chances[3]:
        pixels = pixels + np.random.default_rng(seed).standard_normal(image.shape, np.float32) * np.float32(noise)
    return pixels.clip(0, 255).astype(np.uint8)
