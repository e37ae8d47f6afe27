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
from onelook.settings import ModelSettings, load_settings


@pytest.fixture
def settings(project: Path) -> ModelSettings:
    return load_settings(project / "params.yaml").model.model_copy(update={"init": "released"})


def test_build_pretrained_fills_the_whole_network(settings: ModelSettings) -> None:
    released = load_model(RELEASED).state_dict()
    assert all(value.equal(released[name]) for name, value in build_pretrained(settings).state_dict().items())


def test_grid_has_the_released_backbone_and_is_random_otherwise(settings: ModelSettings) -> None:
    settings = settings.model_copy(update={"architecture": "grid"})
    torch.manual_seed(5)
    random = JointNetwork(settings).state_dict()
    torch.manual_seed(5)
    pretrained = build_pretrained(settings).state_dict()
    released = load_model(RELEASED).state_dict()
    own = {name for name in pretrained if name.startswith(("detector.backbone.", "detector.normalize."))}
    assert own == {name for name in released if name.startswith(("detector.backbone.", "detector.normalize."))}
    for name, value in pretrained.items():
        assert value.equal(released[name] if name in own else random[name]), name


def test_mesh_head_that_the_released_weights_lack_keeps_its_random_weights(settings: ModelSettings) -> None:
    settings = settings.model_copy(update={"mesh": True})
    torch.manual_seed(5)
    random = JointNetwork(settings).state_dict()
    torch.manual_seed(5)
    pretrained = build_pretrained(settings).state_dict()
    released = load_model(RELEASED).state_dict()
    for name, value in pretrained.items():
        assert value.equal(random[name] if name.startswith("mesh.") else released[name]), name


def test_network_of_another_shape_is_refused(settings: ModelSettings) -> None:
    embedding = settings.embedding.model_copy(update={"gdc_channels": 64, "strides": (2, 4, 8, 16)})
    expected = r"set model.embedding.strides: \[1, 4, 8, 16\], model.embedding.gdc_channels: 512, or model.init: wheel"
    with pytest.raises(ModelError, match=expected):
        load_released(JointNetwork(settings.model_copy(update={"embedding": embedding})))


def test_new_gallery_uses_the_released_model(tmp_path: Path) -> None:
    gallery = create_gallery(tmp_path / "gallery")
    assert gallery.metadata.fingerprint == load_torch_predictor(RELEASED).fingerprint
    assert 0 < gallery.metadata.threshold < 1


def test_released_folder_is_small_and_has_a_model_card() -> None:
    assert sum(path.stat().st_size for path in RELEASED.iterdir()) <= 5 * 2**20
    card = (RELEASED / "MODEL_CARD.md").read_text(encoding="utf-8")
    for word in ("research", "MobileFaceNet", "Labeled Faces in the Wild", "peopleDevTest"):
        assert word in card
