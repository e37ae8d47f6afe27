"""What a gallery asks of a model, in a folder or exported."""

from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

import numpy as np

from onelook.model.detections import Detections
from onelook.settings import Detect


class Looks(Protocol):
    """`onelook.model.look.Looker`, or `onelook.runtime.looker.ExportedLooker`, which needs no torch."""

    @property
    def fingerprint(self) -> str:
        """Of the model folder, exported or not; an empty string where there is none."""

    @property
    def folder(self) -> Path | None:
        """The model folder or the exported file, if it came from one."""

    @property
    def embedding_size(self) -> int:
        """Length of an embedding."""

    @property
    def tells_meshes(self) -> bool:
        """Whether the network has a mesh head."""

    def look(self, photos: Sequence[np.ndarray], detect: Detect) -> list[Detections]:
        """Find the faces in photos, RGB uint8 (H, W, 3), and embed each."""


def open_looker(model: Path) -> Looks:
    """The model of a folder, or of a file that `onelook export-model` wrote.

    Raises:
        ModelError: it is missing or damaged.
    """
    # Each imports a library that takes its time to load, and only one of them is needed.
    if model.suffix == ".onnx":
        from onelook.runtime.looker import ExportedLooker

        return ExportedLooker(model)
    from onelook.model.look import load_looker

    return load_looker(model)
