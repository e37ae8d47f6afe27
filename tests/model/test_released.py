"""The weights released with the package, on people they were not trained on: the embedded default data."""

from pathlib import Path

import numpy as np
import pytest
import torch

from onelook.data.annotate import upscale_image
from onelook.data.readers.orl import read_orl
from onelook.errors import ModelError
from onelook.gallery.gallery import create_gallery
from onelook.inference.loading import load_torch_predictor
from onelook.inference.torch_predictor import TorchPredictor, public_detector
from onelook.model.joint_network import JointNetwork
from onelook.model.model_folder import RELEASED
from onelook.model.pretrained import build_pretrained
from onelook.model.serialization import load_model, load_released
from onelook.settings import DetectSettings, load_settings

DETECT = DetectSettings(score=0.5, nms=0.4, longest_side=640)


@pytest.fixture(scope="module")
def looker() -> TorchPredictor:
    return load_torch_predictor(RELEASED)


def photo(person: int, number: int) -> np.ndarray:
    """An ORL photo, enlarged as `prepare` enlarges it."""
    portrait = next(p for p in read_orl().portraits if p.path.parts[-2:] == (f"s{person}", f"{number}.pgm"))
    return upscale_image(portrait.read(), 2.0).image


def embedding(looker: TorchPredictor, person: int, number: int) -> np.ndarray:
    found = looker.predict([photo(person, number)], DETECT)[0]
    assert len(found) == 1
    return found.embeddings[0]


def test_strangers_in_gray_photos_are_told_apart(looker: TorchPredictor) -> None:
    """Twenty people of another data set, a photo each enrolled: of three others of each, at most three are mistaken."""
    enrolled = np.array([embedding(looker, person, 1) for person in range(1, 21)])
    right = sum(
        int(np.argmax(enrolled @ embedding(looker, person, number)) == person - 1)
        for person in range(1, 21)
        for number in (3, 6, 9)
    )
    assert right >= 57


def test_they_find_what_the_public_detector_finds(looker: TorchPredictor) -> None:
    pictures = [np.concatenate([photo(person, 1), photo(person + 1, 2)], axis=1) for person in (1, 5, 9)]
    for ours, public in zip(
        looker.predict(pictures, DETECT, embed=False),
        public_detector().predict(pictures, DETECT, embed=False),
        strict=True,
    ):
        assert len(ours) == len(public) == 2
        np.testing.assert_allclose(ours.boxes, public.boxes, atol=0.05)
        np.testing.assert_allclose(ours.landmarks, public.landmarks, atol=0.05)


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
    assert gallery.terms.fingerprint == load_torch_predictor(RELEASED).fingerprint
    assert 0 < gallery.terms.threshold < 1


def test_they_are_small_and_say_what_they_are() -> None:
    assert sum(path.stat().st_size for path in RELEASED.iterdir()) <= 5 * 2**20
    card = (RELEASED / "MODEL_CARD.md").read_text(encoding="utf-8")
    for word in ("research", "MobileFaceNet", "Labeled Faces in the Wild", "peopleDevTest"):
        assert word in card
