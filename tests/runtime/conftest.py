from pathlib import Path

import pytest

from onelook.export.writer import write_onnx
from onelook.model.folder import RELEASED
from onelook.model.look import Looker, load_looker
from onelook.model.store import load_model


@pytest.fixture(scope="session")
def released() -> Looker:
    return load_looker(RELEASED)


@pytest.fixture(scope="session")
def exported(released: Looker, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The released weights as one ONNX file."""
    file = tmp_path_factory.mktemp("exported") / "released.onnx"
    write_onnx(file, load_model(RELEASED), released.fingerprint)
    return file
