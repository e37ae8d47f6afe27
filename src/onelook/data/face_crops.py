"""Square crops of single faces, and the array of all training faces that `prepare` can write.

Training reads the array through a memory map: no photo is decoded, only the pages in use are in memory, and processes
share them.
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import numpy as np

from onelook.data.label_arrays import map_rows
from onelook.data.manifest import Face, Manifest, Scene
from onelook.errors import DataError

FACE_CROPS = "face_crops.npy"
FACE_CROP_LABELS = "face_crop_labels.npy"

FACE_FRACTION = 0.57
"""Largest face in a crop, square root of its box area as a fraction of the crop's side; larger ones are scaled down."""


@dataclass(frozen=True, eq=False)
class FaceCrops:
    """Crops of the training faces, in manifest order.

    Attributes:
        images: (n, side, side, 3) uint8, RGB, mapped into memory; black for a face without landmarks.
        boxes: (n, 4) float32 in pixels of the crops.
        landmarks: (n, 5, 2) float32 in pixels of the crops, NaN for a face without landmarks.
    """

    images: np.ndarray
    boxes: np.ndarray
    landmarks: np.ndarray


def cut_face(image: np.ndarray, face: Face, side: int) -> tuple[np.ndarray, Face]:
    """Cut the square around a face out of an image, scaled down to a face of `FACE_FRACTION` of its side.

    Pixels outside the image are mirrored.

    Args:
        image: (H, W, 3) uint8.
        face: in pixels of the image.
        side: of the crop, in pixels.

    Returns:
        (side, side, 3) uint8, and the face in pixels of the crop.
    """
    height, width = image.shape[:2]
    scale = min(1.0, FACE_FRACTION * side / face.size)
    if scale < 1:
        size = max(1, round(width * scale)), max(1, round(height * scale))
        image = cv2.resize(image, size, interpolation=cv2.INTER_AREA)
    extent = np.array(image.shape[1::-1])
    factors = extent / (width, height)
    box, landmarks = face.box.reshape(2, 2) * factors, face.landmarks * factors
    # A box may lie far outside the image: the crop then shows what is nearest to it.
    corner = np.round(box.mean(0) - side / 2).astype(int).clip(1 - side, extent - 1)
    left, top = corner.clip(0)
    right, bottom = corner + side
    before, after = (-corner).clip(0), (corner + side - extent).clip(0)
    crop = cv2.copyMakeBorder(
        image[top:bottom, left:right], before[1], after[1], before[0], after[0], cv2.BORDER_REFLECT_101
    )
    box, landmarks = ((points - corner).astype(np.float32) for points in (box, landmarks))
    return crop, replace(face, box=box.reshape(4), landmarks=landmarks)


def write_face_crops(folder: Path, scenes: Iterable[Scene], count: int, side: int) -> None:
    """Write the crops and labels of the training faces.

    Args:
        folder: data folder.
        scenes: training scenes (`select_training_scenes`), in manifest order.
        count: number of their faces.
        side: of a crop, in pixels.
    """
    from onelook.data.image_io import read_image  # with Pillow, which training does not need

    images = np.lib.format.open_memmap(folder / FACE_CROPS, "w+", np.uint8, (count, side, side, 3))
    labels = np.full((count, 14), np.nan, np.float32)
    row = 0
    for scene in scenes:
        image = read_image(folder / scene.image)
        for face in scene.faces:
            if np.isfinite(face.landmarks).all():
                images[row], cut = cut_face(image, face, side)
                labels[row] = np.concatenate([cut.box, cut.landmarks.ravel()])
            row += 1
    images.flush()
    np.save(folder / FACE_CROP_LABELS, labels)


def read_face_crops(manifest: Manifest) -> FaceCrops | None:
    """Map the crops of the training faces into memory; None where `prepare` wrote none.

    Raises:
        DataError: a file is damaged or was written for other faces.
    """
    images, labels = (map_rows(manifest, name) for name in (FACE_CROPS, FACE_CROP_LABELS))
    if images is None:
        return None
    if labels is None:
        raise DataError(f"{manifest.root / FACE_CROP_LABELS}: missing; run `dvc repro -f prepare`")
    return FaceCrops(images, labels[:, :4], labels[:, 4:].reshape(-1, 5, 2))
