import shutil
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

import onelook
from helpers.networks import light_model, tiny_embedding
from onelook.data.image_io import read_image
from onelook.experiment.pyfunc_model import SERVING_SCRIPT
from onelook.files import write_json
from onelook.inference.loading import load_torch_predictor
from onelook.model.model_folder import RELEASED
from onelook.model.pretrained import build_pretrained
from onelook.model.serialization import save_model
from onelook.settings import DetectSettings


def test_without_a_gallery_the_saved_model_detects(tmp_path: Path, recwarn: pytest.WarningsRecorder) -> None:
    import mlflow

    mlflow.pyfunc.save_model(
        tmp_path / "saved",
        python_model=str(SERVING_SCRIPT),
        artifacts={"model": str(RELEASED)},
        pip_requirements=["onelook"],
    )
    model = mlflow.pyfunc.load_model(str(tmp_path / "saved"))
    photo = Path(find_spec("skimage").origin).parent / "data" / "astronaut.png"
    faces, nothing = model.predict([str(photo), np.full((200, 200, 3), 127, np.uint8)])
    assert [face.keys() for face in faces] == [{"box", "landmarks", "score"}] and nothing == []
    assert not [warning for warning in recwarn if "type hints" in str(warning.message)]


def test_the_saved_model_predicts_as_the_gallery_from_its_own_copies(tmp_path: Path) -> None:
    import mlflow

    torch.manual_seed(5)
    embedding = tiny_embedding(16, dim=32)
    settings = light_model(embedding, init="wheel")
    save_model(tmp_path / "model", build_pretrained(settings))
    calibration = {
        "threshold": 0.9,
        "target_fpir": 0.01,
        "fingerprint": load_torch_predictor(tmp_path / "model").fingerprint,
        "detect": DetectSettings(score=0.5, nms=0.4, longest_side=640).model_dump(),
    }
    write_json(tmp_path / "calibration.json", calibration)
    photo = Path(find_spec("skimage").origin).parent / "data" / "astronaut.png"
    gallery = onelook.create_gallery(
        tmp_path / "gallery", model=tmp_path / "model", calibration=tmp_path / "calibration.json"
    )
    gallery.enroll("Eileen Collins", [photo])
    expected = [face.to_dict() for face in gallery.identify(photo)]
    assert [face["name"] for face in expected] == ["Eileen Collins"]

    artifacts = {name: str(tmp_path / name) for name in ("model", "gallery")}
    mlflow.pyfunc.save_model(
        tmp_path / "saved", python_model=str(SERVING_SCRIPT), artifacts=artifacts, pip_requirements=["onelook"]
    )
    shutil.move(tmp_path / "saved", tmp_path / "moved")
    for name in artifacts:
        shutil.rmtree(tmp_path / name)

    model = mlflow.pyfunc.load_model(str(tmp_path / "moved"))
    image = read_image(photo)
    wall = np.full((200, 200, 3), 127, np.uint8)
    paths = [str(photo), str(photo)]
    assert model.predict(paths) == [expected, expected]
    assert model.predict(pd.Series(paths)) == [expected, expected]
    assert model.predict(pd.DataFrame({"photo": paths})) == [expected, expected]
    assert model.predict([image, wall]) == [expected, []]
    assert model.predict(image) == [expected]
    assert model.predict(str(photo)) == [expected]
