"""MLflow model script ("models from code"): photos in, named faces out.

faces = mlflow.pyfunc.load_model("runs:/.../identifier").predict(["photo.jpg"])
"""

import warnings
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import mlflow
import numpy as np
import pandas as pd
from mlflow.pyfunc import PythonModel, PythonModelContext

from onelook.api import detect
from onelook.faces import Face
from onelook.gallery.gallery import open_gallery

# MLflow asks for type hints of `predict`, even if warnings are ignored, and would turn them into a schema that rejects
# images.
with warnings.catch_warnings(record=True):

    class FaceIdentifier(PythonModel):
        """A pyfunc model over the artifacts "model" and, if faces are to get names, "gallery"."""

        def load_context(self, context: PythonModelContext) -> None:
            """Open the gallery with its model."""
            model, gallery = context.artifacts["model"], context.artifacts.get("gallery")
            if gallery is None:
                self.find_faces: Callable[[Any], Sequence[Face]] = partial(detect, model=model)
            else:
                self.find_faces = open_gallery(gallery, model=model).identify

        def predict(self, context, model_input, params=None):  # type: ignore[no-untyped-def]
            """Detect, and with a gallery identify, the faces of each photo.

            Args:
                context: unused, see `load_context`.
                model_input: photos, each a path or an upright RGB uint8 image (H, W, 3): one, a list, a Series, or a
                    DataFrame whose first column holds them.
                params: unused.

            Returns:
                Per photo a list of faces, by descending detection score: box, landmarks and score; with a gallery
                name (None: unknown, or not sure where there is a reason), similarity and nearest, as in
                `IdentifiedFace`.

            Raises:
                PhotoError: a photo cannot be read.
            """
            return [[face.to_dict() for face in self.find_faces(photo)] for photo in _as_list(model_input)]


def _as_list(model_input: Any) -> list[str | Path | np.ndarray]:
    if isinstance(model_input, pd.DataFrame):
        model_input = model_input.iloc[:, 0]
    if isinstance(model_input, str | Path):
        return [model_input]
    if isinstance(model_input, np.ndarray) and model_input.ndim == 3:
        return [model_input]
    return list(model_input)


mlflow.models.set_model(FaceIdentifier())
