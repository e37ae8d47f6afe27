"""MLflow model script ("models from code"): photos in, named faces out.

faces = mlflow.pyfunc.load_model("runs:/.../identifier").predict(["photo.jpg"])
"""

from pathlib import Path
from typing import Any

import mlflow
import numpy as np
import pandas as pd
from mlflow.pyfunc import PythonModel, PythonModelContext

from onelook.gallery.gallery import open_gallery


class FaceIdentifier(PythonModel):
    """A pyfunc model over the artifacts "gallery" and "model"."""

    def load_context(self, context: PythonModelContext) -> None:
        """Open the gallery with its model."""
        self.gallery = open_gallery(context.artifacts["gallery"], model=context.artifacts["model"])

    # No type hints: MLflow would turn them into a schema that rejects images.
    def predict(self, context, model_input, params=None):  # type: ignore[no-untyped-def]
        """Identify the faces of each photo.

        Args:
            context: unused, see `load_context`.
            model_input: photos, each a path or an upright RGB uint8 image (H, W, 3): one, a list, a Series, or a
                DataFrame whose first column holds them.
            params: unused.

        Returns:
            Per photo a list of faces, by descending detection score: box, landmarks, score, name (None: unknown, or
            not sure where there is a reason), similarity and nearest, as in `IdentifiedFace`.

        Raises:
            PhotoError: a photo cannot be read.
        """
        return [[face.to_dict() for face in self.gallery.identify(photo)] for photo in _as_list(model_input)]


def _as_list(model_input: Any) -> list[str | Path | np.ndarray]:
    if isinstance(model_input, pd.DataFrame):
        model_input = model_input.iloc[:, 0]
    if isinstance(model_input, str | Path):
        return [model_input]
    if isinstance(model_input, np.ndarray) and model_input.ndim == 3:
        return [model_input]
    return list(model_input)


mlflow.models.set_model(FaceIdentifier())
