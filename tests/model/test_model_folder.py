import json
from pathlib import Path

import pytest
import torch

from helpers.networks import light_model, tiny_embedding
from onelook.errors import ModelError
from onelook.model.joint_network import JointNetwork
from onelook.model.model_folder import (
    RELEASED,
    SETTINGS,
    WEIGHTS,
    fingerprint,
    has_mesh_head,
    onnx_path,
    read_description,
)
from onelook.model.serialization import save_model


def test_fingerprint_of_the_released_model_never_changes() -> None:
    """Galleries carry it."""
    assert fingerprint(RELEASED) == "6cc5464a85ec02732a69ca38fc1f1f27f79210a080f4aeaab30db7f91706e704"


def test_fingerprint_depends_on_weights_and_settings(tmp_path: Path) -> None:
    for name in (WEIGHTS, SETTINGS):
        (tmp_path / name).write_bytes(b"content")
    before = fingerprint(tmp_path)
    for name in (WEIGHTS, SETTINGS):
        (tmp_path / name).write_bytes(b"changed")
        assert fingerprint(tmp_path) != before
        (tmp_path / name).write_bytes(b"content")
    assert fingerprint(tmp_path) == before
    (tmp_path / WEIGHTS).unlink()
    with pytest.raises(ModelError, match="missing"):
        fingerprint(tmp_path)


def test_exported_file_lies_beside_the_folder(tmp_path: Path) -> None:
    assert onnx_path(tmp_path / "model") == (tmp_path / "model.onnx").resolve()


@pytest.mark.parametrize("mesh", [False, True])
def test_has_mesh_head_reads_the_settings(tmp_path: Path, mesh: bool) -> None:
    torch.manual_seed(0)
    save_model(tmp_path, JointNetwork(light_model(tiny_embedding(8), mesh=mesh)))
    assert has_mesh_head(tmp_path) is mesh


def test_settings_of_format_2_are_read_under_todays_names(tmp_path: Path) -> None:
    former = {"form": "retinaface", "embedding": {"size": 128}}
    (tmp_path / SETTINGS).write_text(json.dumps({"format": 2, "model": former, "weights_sha256": "0" * 64}))
    description = read_description(tmp_path)
    assert description["model"]["architecture"] == "retinaface" and description["model"]["embedding"]["dim"] == 128


def test_folder_of_an_unknown_format_is_refused(tmp_path: Path) -> None:
    (tmp_path / SETTINGS).write_text(json.dumps({"format": 1, "model": {}, "weights_sha256": ""}))
    with pytest.raises(ModelError, match="another version"):
        read_description(tmp_path)
