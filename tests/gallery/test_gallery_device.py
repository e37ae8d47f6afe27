"""A gallery whose model is on another device, here the pretended one, equals that of the CPU."""

import copy
from pathlib import Path

import numpy as np
import pytest
import torch

import helpers.pretend  # noqa: F401
from helpers.cli_workspace import DETECT, make_metadata, small_settings
from helpers.command_line import orl_image
from onelook.data.image_io import write_image
from onelook.data.manifest import Face, Manifest, Scene
from onelook.gallery import storage
from onelook.gallery.data import GalleryData
from onelook.gallery.enrollment import BATCH_SIZE, embed_labeled_scenes
from onelook.gallery.enrollment_list import read_enrollment_list
from onelook.gallery.faiss_backend import FaissBackend
from onelook.gallery.gallery import Gallery
from onelook.inference.predictor import DEVICE_BATCH_SIZE
from onelook.inference.torch_predictor import TorchPredictor
from onelook.model.pretrained import build_pretrained


@pytest.fixture(scope="module")
def people(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Photos of twelve people, more than a batch of a device."""
    folder = tmp_path_factory.mktemp("people")
    for person in range(1, 13):
        for number in range(1, 4):
            write_image(folder / f"s{person}" / f"{number}.png", orl_image(person, number))
    return folder


@pytest.fixture(scope="module")
def predictors() -> tuple[TorchPredictor, TorchPredictor]:
    """Predictors of one network on the CPU and on the pretended device."""
    torch.manual_seed(5)
    network = build_pretrained(small_settings()).eval()
    return TorchPredictor(network, "f" * 64), TorchPredictor(copy.deepcopy(network).to("pretend"), "f" * 64)


def test_people_are_enrolled_and_identified_as_on_the_cpu(
    people: Path, predictors: tuple[TorchPredictor, TorchPredictor], tmp_path: Path
) -> None:
    stored: list[GalleryData] = []
    identified = []
    metadata = make_metadata("f" * 64, managed=False, threshold=0.993)
    for name, predictor in zip(("cpu", "device"), predictors, strict=True):
        gallery = Gallery(FaissBackend(tmp_path / name, metadata), predictor)
        gallery.enroll_all(read_enrollment_list(people))
        stored.append(storage.read(tmp_path / name))
        photos = [np.concatenate([orl_image(person, 1), orl_image(person + 1, 9)], axis=1) for person in (1, 5, 11)]
        identified.append([face for faces in gallery.identify_all(photos) for face in faces])
        assert gallery.batch_size == (BATCH_SIZE if name == "cpu" else DEVICE_BATCH_SIZE)
    expected, found = stored
    assert len(expected.faces) > DEVICE_BATCH_SIZE
    assert [face.photo for face in found.faces] == [face.photo for face in expected.faces]
    np.testing.assert_allclose(found.embeddings, expected.embeddings, atol=1e-5)
    for face, wanted in zip(*identified[::-1], strict=True):
        assert (face.name, face.nearest) == (wanted.name, wanted.nearest)
        assert face.similarity == pytest.approx(wanted.similarity, abs=1e-5)
        np.testing.assert_allclose(face.box, wanted.box, atol=1e-3)
    assert {face.name for face in identified[0]} > {None}


def test_labeled_scenes_are_embedded_as_on_the_cpu(
    people: Path, predictors: tuple[TorchPredictor, TorchPredictor]
) -> None:
    scenes = tuple(
        Scene(
            path.relative_to(people).as_posix(),
            280,
            320,
            "test",
            "enroll",
            (Face(np.array([60, 70, 220, 280], np.float32), identity=path.parent.name),),
            "made",
            "MIT",
        )
        for path in sorted(people.rglob("*.png"))
    )
    (expected, missed), (found, missed_on_device) = (
        embed_labeled_scenes(predictor, DETECT, Manifest(people, scenes), "test") for predictor in predictors
    )
    assert len(expected.faces) > DEVICE_BATCH_SIZE and missed == missed_on_device
    assert [face.photo for face in found.faces] == [face.photo for face in expected.faces]
    np.testing.assert_allclose(found.embeddings, expected.embeddings, atol=1e-5)
