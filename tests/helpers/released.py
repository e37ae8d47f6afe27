"""Fixtures of the released weights, in torch and as an exported file."""

from pathlib import Path

import pytest

from onelook.export.onnx_writer import write_onnx
from onelook.inference.loading import load_torch_predictor
from onelook.inference.torch_predictor import TorchPredictor
from onelook.model.model_folder import RELEASED
from onelook.model.serialization import load_model


@pytest.fixture(scope="session")
def released() -> TorchPredictor:
    return load_torch_predictor(RELEASED)


@pytest.fixture(scope="session")
def exported(released: TorchPredictor, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Export the released weights as one ONNX file."""
    file = tmp_path_factory.mktemp("exported") / "released.onnx"
    write_onnx(file, load_model(RELEASED), released.fingerprint)
    return file
