"""Augmentation: random square crop, horizontal flip, photometric distortion."""

from dataclasses import dataclass, field, replace

import cv2
import numpy as np

from onelook.data.manifest import empty_boxes
from onelook.data.photometric import PhotometricParams, distort_image, draw_photometric
from onelook.geometry.alignment import apply_transform, mirror_landmarks
from onelook.geometry.boxes import box_sizes
from onelook.geometry.mesh import mirror_mesh
from onelook.settings import AugmentSettings


@dataclass(frozen=True, eq=False)
class Sample:
    """Image and face labels of one training sample.

    Attributes:
        image: (side, side, 3) uint8.
        boxes: (n, 4) float32.
        landmarks: (n, 5, 2) float32, NaN where absent.
        identities: (n,) int64, -1 for no identity.
        ignored: (k, 4) float32 boxes of uncertain faces; a detection there is neither right nor wrong.
        meshes: (n, 468, 3) float32, NaN where absent; None where no face has one.
        photometric: distortion that is drawn and not applied to the image; None where there is none.
    """

    image: np.ndarray
    boxes: np.ndarray
    landmarks: np.ndarray
    identities: np.ndarray
    ignored: np.ndarray = field(default_factory=empty_boxes)
    meshes: np.ndarray | None = None
    photometric: PhotometricParams | None = None


def augment(
    sample: Sample, settings: AugmentSettings, rng: np.random.Generator, *, defer_photometric: bool = False
) -> Sample:
    """Crop a random square, flip it half of the time and distort its colors.

    With `short_edge` the crop's side is a random fraction of the image's shorter side, as in RetinaFace
    (arXiv 1905.00641, section 4.1); otherwise the image is scaled by a random `zoom`. Faces smaller than
    `min_identity_size` keep their box and lose their identity. With `defer_photometric` the distortion is drawn and
    not applied.
    """
    if settings.short_edge is None:
        zoom = rng.uniform(*settings.zoom)
    else:
        zoom = settings.crop_size / (rng.uniform(*settings.short_edge) * min(sample.image.shape[:2]))
    sample = random_crop(sample, settings.crop_size, zoom, rng)
    if rng.random() < 0.5:
        sample = horizontal_flip(sample)
    sizes = box_sizes(sample.boxes)
    identities = np.where(sizes >= settings.min_identity_size, sample.identities, -1)
    photometric = draw_photometric(settings.photometric, rng, settings.hue_saturation)
    sample = replace(sample, identities=identities, photometric=photometric)
    return sample if defer_photometric else apply_photometric(sample)


def apply_photometric(sample: Sample) -> Sample:
    """Apply the drawn photometric distortion of a sample to its image."""
    if sample.photometric is None:
        return sample
    return replace(sample, image=distort_image(sample.image, sample.photometric), photometric=None)


def random_crop(sample: Sample, side: int, zoom: float, rng: np.random.Generator) -> Sample:
    """Scale a sample by `zoom` and cut out a random square of `side` pixels.

    - Pixels outside the image are gray.
    - Faces whose center is outside the crop are dropped; boxes are clipped at its edge (RetinaFace, arXiv 1905.00641,
      section 4.1).
    - A face with a landmark outside the crop loses its identity, because it cannot be aligned.
    - Ignored boxes are clipped; an empty one is dropped.
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
    image = warp_image(sample.image, pixel_transform, side, cv2.BORDER_CONSTANT)
    boxes, ignored = (
        apply_transform(transform, corners.reshape(-1, 2, 2)).reshape(-1, 4)
        for corners in (sample.boxes, sample.ignored)
    )
    landmarks = apply_transform(transform, sample.landmarks)
    centers = (boxes[:, :2] + boxes[:, 2:]) / 2
    is_inside = ((centers >= 0) & (centers < side)).all(1)
    has_all_landmarks = ((landmarks >= 0) & (landmarks < side)).all((1, 2))
    identities = np.where(has_all_landmarks, sample.identities, -1)
    meshes = None
    if sample.meshes is not None:
        # Depth is in pixels of the image, so the zoom scales it too.
        meshes = (sample.meshes[is_inside] * zoom - [*corner, 0]).astype(np.float32)
    ignored = ignored.clip(0, side).astype(np.float32)
    return Sample(
        image,
        boxes[is_inside].clip(0, side).astype(np.float32),
        landmarks[is_inside].astype(np.float32),
        identities[is_inside],
        ignored[(ignored[:, 2:] > ignored[:, :2]).all(1)],
        meshes,
    )


def warp_image(image: np.ndarray, transform: np.ndarray, side: int, border: int) -> np.ndarray:
    """Warp an image to a square with bilinear interpolation.

    Args:
        image: (H, W, 3) uint8.
        transform: (2, 3) from its pixel coordinates to those of the square, pixel centers at integers.
        side: of the square.
        border: cv2's mode for pixels outside the image; with `cv2.BORDER_CONSTANT` they are gray.

    Returns:
        (side, side, 3) uint8.
    """
    # OpenCV 5 interpolates four channels three times as fast as three, to the same values (benchmarks/loader.py).
    image = cv2.cvtColor(image, cv2.COLOR_RGB2RGBA)
    warped = cv2.warpAffine(
        image, transform, (side, side), flags=cv2.INTER_LINEAR, borderMode=border, borderValue=(114, 114, 114, 114)
    )
    return cv2.cvtColor(warped, cv2.COLOR_RGBA2RGB)


def horizontal_flip(sample: Sample) -> Sample:
    """Flip a sample left to right; left and right landmarks swap places in the array."""
    width = sample.image.shape[1]
    boxes, ignored = sample.boxes.copy(), sample.ignored.copy()
    for corners in (boxes, ignored):
        corners[:, [0, 2]] = width - corners[:, [2, 0]]
    image = cv2.flip(sample.image, 1)
    meshes = None if sample.meshes is None else mirror_mesh(sample.meshes, width)
    return Sample(image, boxes, mirror_landmarks(sample.landmarks, width), sample.identities, ignored, meshes)
