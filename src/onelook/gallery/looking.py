"""What a gallery asks of a model, in a folder or exported."""

import sys
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Protocol

import numpy as np

from onelook.errors import ModelError
from onelook.model.detections import Detections
from onelook.model.folder import exported_file, fingerprint, tells_meshes
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
    """The model of a folder, as fast as this processor looks, or of a file that `onelook export-model` wrote.

    A folder is run by the exported file beside it, where there is one of the same model: who wrote it there wants that.

    Raises:
        ModelError: it is missing or damaged.
    """
    # Each imports a library that takes its time to load, and only one of them is needed.
    if model.suffix == ".onnx":
        from onelook.runtime.looker import ExportedLooker

        return ExportedLooker(model)
    exported = _beside(model)
    if exported is not None:
        return exported
    from onelook.model.fused.network import fastest_precision
    from onelook.model.look import load_looker

    return load_looker(model, fastest_precision())


def _beside(folder: Path) -> Looks | None:
    """The model of a folder as it lies exported beside it; None where it does not, or would tell less."""
    file = exported_file(folder)
    if not file.is_file() or find_spec("onnxruntime") is None or tells_meshes(folder):
        return None
    from onelook.runtime.looker import ExportedLooker

    own = fingerprint(folder)
    try:
        exported = ExportedLooker(file)
        problem = None if exported.fingerprint == own else f"{file}: made of another model than {folder}"
    except ModelError as error:
        problem = str(error).partition(";")[0]
    if problem is None:
        return exported
    print(f"warning: {problem}; not used until `onelook export-model` writes it again", file=sys.stderr)
    return None
