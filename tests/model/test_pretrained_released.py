"""The weights released with the package, on people they were not trained on: the embedded default data."""

from pathlib import Path

import pytest
import torch

from onelook.errors import ModelError
from onelook.gallery.gallery import create_gallery
from onelook.inference.loading import load_torch_predictor
from onelook.model.joint_network import JointNetwork
from onelook.model.model_folder import RELEASED
from onelook.model.pretrained import build_pretrained, load_released
from onelook.model.serialization import load_model
from onelook.settings import load_settings


def test_a_mesh_head_that_they_lack_starts_as_it_is(project: Path) -> None:
    settings = load_settings(project / "params.yaml").model.model_copy(update={"init": "released", "mesh": True})
    torch.manual_seed(5)
    fresh = JointNetwork(settings).state_dict()
    torch.manual_seed(5)
    started = build_pretrained(settings).state_dict()
    released = load_model(RELEASED).state_dict()
    for name, value in started.items():
        assert value.equal(fresh[name] if name.startswith("mesh.") else released[name]), name


def test_training_starts_from_all_of_them(project: Path) -> None:
    settings = load_settings(project / "params.yaml").model
    started = build_pretrained(settings.model_copy(update={"init": "released"}))
    released = load_model(RELEASED).state_dict()
    assert all(value.equal(released[name]) for name, value in started.state_dict().items())
    other = settings.embedding.model_copy(update={"gdc_channels": 64})
    with pytest.raises(ModelError, match="released shape alone"):
        load_released(JointNetwork(settings.model_copy(update={"embedding": other})))


def test_a_gallery_of_ones_own_needs_no_training(tmp_path: Path) -> None:
    gallery = create_gallery(tmp_path / "gallery")
    assert gallery.metadata.fingerprint == load_torch_predictor(RELEASED).fingerprint
    assert 0 < gallery.metadata.threshold < 1


def test_they_are_small_and_say_what_they_are() -> None:
    assert sum(path.stat().st_size for path in RELEASED.iterdir()) <= 5 * 2**20
    card = (RELEASED / "MODEL_CARD.md").read_text(encoding="utf-8")
    for word in ("research", "MobileFaceNet", "Labeled Faces in the Wild", "peopleDevTest"):
        assert word in card
