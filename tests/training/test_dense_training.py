"""The dense branch through the training loop: it needs a basis, learns to render, is saved, and is drawn."""

from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from safetensors.numpy import save
from test_loop import tiny_settings, write_scenes

from helpers.domes import colored_dome
from onelook.data.manifest import read_manifest
from onelook.data.morphable_model import MORPHABLE_MODEL, MorphableModel
from onelook.data.scene_dataset import SceneDataset
from onelook.errors import DataError, ModelError
from onelook.evaluation.renderings import draw_renderings
from onelook.geometry.mesh import COORDINATES_AND_COLORS, PARAMETERS, VERTICES
from onelook.inference.loading import load_torch_predictor
from onelook.inference.torch_predictor import TorchPredictor
from onelook.model.joint_network import JointNetwork
from onelook.model.pretrained import build_pretrained
from onelook.model.serialization import save_model
from onelook.settings import DetectSettings, Settings
from onelook.training.loop import Callbacks, Trainer

DETECT = DetectSettings(score=0.02, nms=0.3, longest_side=512)


def dense_settings(**train: object) -> Settings:
    tree = tiny_settings(**{"tasks": "detection", "backbone_lr_mult": 0.0, "learning_rate": 0.03, "batch": 6, **train})
    tree = tree.model_dump()
    tree["prepare"] |= {"meshes": True, "basis": True}
    tree["model"]["dense"] = True
    tree["train"]["augment"] |= {"crop": 96, "zoom": (1, 1)}
    return Settings.model_validate(tree)


def write_dome(root: Path) -> MorphableModel:
    """A basis whose mean is the dome, and which knows of brighter faces alone."""
    components = np.zeros((PARAMETERS, VERTICES, COORDINATES_AND_COLORS), np.float32)
    components[0, :, 3:] = 1
    basis = MorphableModel(colored_dome(), components, np.array([0.1] + [0.0] * 127, np.float32))
    (root / MORPHABLE_MODEL).write_bytes(save(basis._asdict()))
    return basis


def trainer_of(root: Path, settings: Settings) -> tuple[JointNetwork, Trainer]:
    torch.manual_seed(0)
    torch.set_num_threads(1)
    network = build_pretrained(settings.model)
    return network, Trainer(network, SceneDataset(read_manifest(root), settings.train.augment, 1), settings)


def test_it_learns_to_render_the_painted_faces_and_is_saved_and_drawn(tmp_path: Path) -> None:
    root = write_scenes(tmp_path / "scenes")
    basis = write_dome(root)
    network, trainer = trainer_of(root, dense_settings(epochs=8))
    history = trainer.run(tmp_path / "checkpoints", "k", Callbacks(validate=lambda network: {"figure": 0.0})).history
    assert history[-1]["loss.pixel"] < 0.8 * history[0]["loss.pixel"]
    with torch.no_grad():  # the painted faces are too small and too plain for the public detector
        for logits in network.detector.heads.logits:
            logits.bias += torch.tensor([0.0, 6.0]).repeat(2)
    save_model(tmp_path / "model", network)
    looker = load_torch_predictor(tmp_path / "model")
    assert looker.network.dense is not None
    np.testing.assert_array_equal(looker.network.dense.decoder.mean.numpy(), basis.mean)
    photo = cv2.cvtColor(cv2.imread(str(root / "images/0.png")), cv2.COLOR_BGR2RGB)
    boxes, faces = looker.predict_dense(photo, DETECT)
    assert len(boxes) > 0 and faces.vertices.shape == faces.colors.shape == (len(boxes), VERTICES, 3)
    torch.testing.assert_close(
        faces.vertices, TorchPredictor(network).predict_dense(photo, DETECT)[1].vertices, atol=0.05, rtol=0
    )
    # Shown larger, it is the same face in pixels of the larger photo.
    double = cv2.resize(photo, None, fx=2, fy=2, interpolation=cv2.INTER_NEAREST)
    halved = looker.predict_dense(double, DETECT.model_copy(update={"longest_side": 96}))[1]
    torch.testing.assert_close(halved.vertices[..., :2], faces.vertices[..., :2] * 2, atol=0.1, rtol=0)
    # Three faces to a row, three pictures each.
    assert draw_renderings(looker, [photo] * 9, DETECT, 3).shape == (200, 1768, 3)


def test_without_a_basis_it_says_what_is_missing(tmp_path: Path) -> None:
    root = write_scenes(tmp_path / "scenes")
    with pytest.raises(DataError, match=r"model\.dense: true needs a basis.*prepare\.basis: true"):
        trainer_of(root, dense_settings())
    with pytest.raises(ModelError, match="no dense head"):
        TorchPredictor(build_pretrained(tiny_settings().model)).predict_dense(np.zeros((64, 64, 3), np.uint8), DETECT)


def test_the_rest_of_the_network_and_its_losses_are_what_they_are_without_it(tmp_path: Path) -> None:
    root = write_scenes(tmp_path / "scenes")
    write_dome(root)
    losses = []
    for dense in (True, False):
        tree = dense_settings(trunk_rate=0.05).model_dump()
        tree["model"]["dense"] = dense
        _, trainer = trainer_of(root, Settings.model_validate(tree))
        batch = next(iter(trainer.scenes.batches(0, 6)))
        losses.append({name: loss.item() for name, loss in trainer.losses.of_scenes(batch, 0, 0).items()})
    assert losses[0].pop("pixel") > 0
    assert losses[0] == losses[1]


def test_scenes_without_a_face_to_render_cost_nothing(tmp_path: Path) -> None:
    root = write_scenes(tmp_path / "scenes")
    write_dome(root)
    _, trainer = trainer_of(root, dense_settings())
    batch = next(iter(trainer.scenes.batches(0, 6)))
    for i, own in enumerate(batch.boxes):
        own[:, 2:] = own[:, :2] + 20  # too small
        batch.boxes[i] = own
    loss = trainer.losses.of_scenes(batch, 0, 0)["pixel"]
    loss.backward()
    assert loss.item() == 0


def test_the_released_weights_start_all_but_the_new_head() -> None:
    tree = tiny_settings().model_dump()
    tree["model"] |= {"init": "released", "dense": True, "mesh": True}
    tree["model"]["embedding"] |= {"size": 128, "channels": 64, "grid": 28, "widths": [128, 128], "depths": [2, 2]}
    tree["model"]["embedding"] |= {"gdc_channels": 512}
    whole = build_pretrained(Settings.model_validate(tree).model).state_dict()
    tree["model"] |= {"dense": False, "mesh": False}
    plain = build_pretrained(Settings.model_validate(tree).model).state_dict()
    assert all(whole[name].equal(value) for name, value in plain.items())
    assert {name.split(".")[0] for name in whole.keys() - plain.keys()} == {"dense", "mesh"}
