"""A model opened for inference, with the calibration of its decisions."""

import os
from dataclasses import dataclass
from pathlib import Path

from onelook.gallery.calibration import read_calibrated_metadata, read_calibration
from onelook.gallery.data import GalleryMetadata
from onelook.inference.predictor import Predictor
from onelook.model.model_folder import RELEASED, fingerprint
from onelook.settings import DetectSettings

PIPELINE_MODEL = Path("build/model")
PIPELINE_CALIBRATION = Path("build/evaluation/calibration.json")
MODEL_VARIABLE = "ONELOOK_MODEL"
"""Environment variable with the model folder or exported file to use where none is named."""


def resolve_model(model: str | Path | None) -> Path:
    """Return the model to open: the named one, else that of ONELOOK_MODEL, else the released weights."""
    return Path(model or os.environ.get(MODEL_VARIABLE) or RELEASED)


@dataclass(frozen=True, eq=False)
class CalibratedModel:
    """A predictor, with the detection settings, thresholds and limits of face quality it was calibrated with."""

    predictor: Predictor
    metadata: GalleryMetadata


def read_model_metadata(
    model: str | Path | None, predictor: Predictor, calibration: str | Path | None = None
) -> GalleryMetadata:
    """Read the calibration of a model, as the metadata of a new gallery.

    Args:
        model: model folder or exported file; None: see `resolve_model`.
        predictor: the model, opened.
        calibration: the calibration.json; None: the first of these that exists:
            - the one in the model's folder, or beside the exported file;
            - for the released weights, theirs;
            - the one that the pipeline's evaluation wrote.

    Raises:
        GalleryError: the calibration is missing, damaged or another model's.
    """
    path = _find_calibration(model, predictor) if calibration is None else Path(calibration)
    return read_calibrated_metadata(path, predictor.fingerprint, predictor.embedding_size, managed=False)


def read_detect_settings(model: str | Path | None, predictor: Predictor) -> DetectSettings:
    """Return the detection settings that a model is calibrated with, or the default ones without a calibration.

    Args:
        model: model folder or exported file; None: see `resolve_model`.
        predictor: the model, opened.
    """
    path = _find_calibration(model, predictor)
    calibration = read_calibration(path) if path.is_file() else None
    if calibration is None or calibration.fingerprint != predictor.fingerprint:
        return DetectSettings()
    return calibration.detect


def _find_calibration(model: str | Path | None, predictor: Predictor) -> Path:
    path = resolve_model(model)
    own = (path.parent if path.suffix == ".onnx" else path) / "calibration.json"
    if own.is_file():
        return own
    return RELEASED / "calibration.json" if predictor.fingerprint == fingerprint(RELEASED) else PIPELINE_CALIBRATION
