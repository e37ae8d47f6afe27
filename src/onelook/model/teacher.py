"""Recognition teacher: one or several recognizers whose embeddings are distilled."""

from collections.abc import Sequence

import numpy as np

from onelook.model.recognizer import Recognizer, normalize_rows
from onelook.settings import TeacherSettings


class Teacher:
    """The concatenation of recognizers.

    The similarity of two faces is then the mean of those that the recognizers give.

    Attributes:
        dim: length of an embedding.
    """

    def __init__(self, settings: TeacherSettings, device: str = "auto") -> None:
        """Open the recognizers.

        Args:
            settings: the section `teacher`; it names one recognizer at least.
            device: name of the device, see `onelook.model.recognizer.Recognizer`.

        Raises:
            ModelError: a file is missing or not a recognizer, or its library is not installed.
            OnelookError: onnxruntime cannot use the named card.
        """
        self._recognizers = [Recognizer(each, device) for each in settings.recognizers]
        self.dim = sum(recognizer.dim for recognizer in self._recognizers)

    def embed_faces(self, images: Sequence[np.ndarray], landmarks: np.ndarray) -> np.ndarray:
        """Embed one face of each image.

        Args:
            images: n images (H, W, 3) uint8.
            landmarks: (n, 5, 2) in pixels of the images, all finite.

        Returns:
            (n, dim) float32, L2-normalized: the normalized embeddings of the recognizers side by side.
        """
        parts = []
        for recognizer in self._recognizers:
            crops = [recognizer.align(image, points) for image, points in zip(images, landmarks, strict=True)]
            parts.append(recognizer.embed(np.stack(crops)))
        return normalize_rows(np.concatenate(parts, axis=1))
