"""Faces: the detected faces of one photo with landmarks, embedding and quality, one by one."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from onelook.data.image_input import ColorOrder, ImageSource, as_image
from onelook.detections import Detections
from onelook.face_quality import Quality, measure_faces
from onelook.geometry.alignment import CROP_SIZE, align_crop


@dataclass(frozen=True, eq=False, kw_only=True)
class Face:
    """A detected face.

    Attributes:
        box: (4,) float32, x1 y1 x2 y2 in pixels of the upright image, half-open; may reach outside it.
        landmarks: (5, 2) float32, left eye, right eye, nose, left and right mouth corner as seen in the image.
        score: detection score, 0..1.
        embedding: (d,) float32, L2-normalized.
        quality: detection score, size, sharpness and profile.
        mesh: (468, 3) float32, as in `Detections`; None where the model has no mesh head.
    """

    box: np.ndarray
    landmarks: np.ndarray
    score: float
    embedding: np.ndarray
    quality: Quality
    mesh: np.ndarray | None = None

    def to_dict(self) -> dict[str, object]:
        """Convert to a JSON object without mesh and embedding, pixels rounded to three decimals, others to six."""
        return {
            "box": [round(float(c), 3) for c in self.box],
            "landmarks": [[round(float(c), 3) for c in point] for point in self.landmarks],
            "score": round(self.score, 6),
        }


def make_faces(images: Sequence[np.ndarray], detections: Sequence[Detections], longest_side: int) -> list[list[Face]]:
    """Measure the quality of detections, and split them into faces.

    Args:
        images: RGB uint8 (H, W, 3).
        detections: of each image.
        longest_side: of the first pass of the model, in pixels.

    Returns:
        The faces of each image, in the order of its detections.
    """
    pairs = list(zip(images, detections, strict=True))
    qualities = iter(
        measure_faces(
            [
                (image, detected.boxes[i], detected.landmarks[i], float(detected.scores[i]))
                for image, detected in pairs
                for i in range(len(detected))
            ],
            longest_side,
        )
    )
    return [
        [
            Face(
                box=detected.boxes[i],
                landmarks=detected.landmarks[i],
                score=float(detected.scores[i]),
                embedding=detected.embeddings[i],
                quality=next(qualities),
                mesh=None if detected.meshes is None else detected.meshes[i],
            )
            for i in range(len(detected))
        ]
        for _, detected in pairs
    ]


def align_face(photo: ImageSource, face: Face, *, side: int = CROP_SIZE, color: ColorOrder = "rgb") -> np.ndarray:
    """Crop a face, turned and scaled so that its landmarks lie at fixed points.

    Args:
        photo: the photo that the face was detected in.
        face: the face.
        side: of the crop, in pixels.
        color: order of the channels of an array.

    Returns:
        RGB (side, side, 3) uint8; black where it reaches outside the photo.

    Raises:
        PhotoError: the photo cannot be read, see `as_image`.
    """
    return align_crop(as_image(photo, color=color), face.landmarks, side)
