"""The dense head through the training loop."""

from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from helpers.painted_scenes import read_painted_images, write_dome_model, write_painted_scenes
from helpers.training_settings import changed, dense_settings, tiny_settings
from helpers.trainings import build_trainer, train
from onelook.errors import DataError, ModelError
from onelook.evaluation.renderings import draw_renderings
from onelook.geometry.mesh import NUM_VERTICES
from onelook.inference.loading import load_torch_predictor
from onelook.inference.torch_predictor import TorchPredictor
from onelook.model.pretrained import build_pretrained
from onelook.model.serialization import save_model
from onelook.settings import DetectSettings, EmbeddingSettings

DETECT = DetectSettings(score=0.02, nms=0.3, longest_side=512)


@pytest.fixture
def scenes(tmp_path: Path) -> Path:
    return write_painted_scenes(tmp_path / "scenes")


def test_a_dense_head_learns_to_render_and_is_saved_and_drawn(scenes: Path, tmp_path: Path) -> None:
    model = write_dome_model(scenes)
    state, network = train(scenes, tmp_path / "checkpoints", dense_settings(epochs=8), init_seed=0, data_seed=1)
    assert state.history[-1]["loss.pixel"] < 0.8 * state.history[0]["loss.pixel"]
    with torch.no_grad():  # the public detector misses the painted faces, which are small and plain
        for logits in network.detector.heads.logits:
            logits.bias += torch.tensor([0.0, 6.0]).repeat(2)
    save_model(tmp_path / "model", network)
    predictor = load_torch_predictor(tmp_path / "model")
    assert predictor.network.dense is not None
    np.testing.assert_array_equal(predictor.network.dense.decoder.mean.numpy(), model.mean)
    image = read_painted_images(scenes)[0]
    boxes, faces = predictor.predict_dense(image, DETECT)
    assert len(boxes) > 0 and faces.vertices.shape == faces.colors.shape == (len(boxes), NUM_VERTICES, 3)
    torch.testing.assert_close(
        faces.vertices, TorchPredictor(network).predict_dense(image, DETECT)[1].vertices, atol=0.05, rtol=0
    )
    # An upscaled image that is resized back has the same face in its own pixels.
    upscaled = cv2.resize(image, None, fx=2, fy=2, interpolation=cv2.INTER_NEAREST)
    resized = predictor.predict_dense(upscaled, DETECT.model_copy(update={"longest_side": 96}))[1]
    torch.testing.assert_close(resized.vertices[..., :2], faces.vertices[..., :2] * 2, atol=0.1, rtol=0)
    # Three faces per row, three pictures each.
    assert draw_renderings(predictor, [image] * 9, DETECT, 3).shape == (200, 1768, 3)


def test_a_dense_head_without_a_morphable_model_raises(scenes: Path) -> None:
    with pytest.raises(DataError, match=r"model\.dense: true needs a morphable model.*prepare\.morphable_model: true"):
        build_trainer(scenes, dense_settings())
    with pytest.raises(ModelError, match="no dense head"):
        TorchPredictor(build_pretrained(tiny_settings().model)).predict_dense(np.zeros((64, 64, 3), np.uint8), DETECT)


def test_a_dense_head_leaves_the_other_losses_unchanged(scenes: Path) -> None:
    write_dome_model(scenes)
    losses = []
    for dense in (True, False):
        settings = changed(dense_settings(backbone_lr_mult=0.05), model={"dense": dense})
        trainer = build_trainer(scenes, settings, data_seed=1)
        batch = next(iter(trainer.scenes.batches(0, 6)))
        losses.append({name: loss.item() for name, loss in trainer.losses.scene_losses(batch, 0, 0).items()})
    assert losses[0].pop("pixel") > 0
    assert losses[0] == losses[1]


def test_the_loss_is_zero_where_all_faces_are_too_small(scenes: Path) -> None:
    write_dome_model(scenes)
    trainer = build_trainer(scenes, dense_settings(), data_seed=1)
    batch = next(iter(trainer.scenes.batches(0, 6)))
    for boxes in batch.boxes:
        boxes[:, 2:] = boxes[:, :2] + 20
    loss = trainer.losses.scene_losses(batch, 0, 0)["pixel"]
    loss.backward()
    assert loss.item() == 0


def test_released_weights_initialize_all_but_the_new_heads() -> None:
    tree = EmbeddingSettings().model_dump()
    released = changed(tiny_settings(), model={"init": "released", "embedding": tree})
    plain = build_pretrained(released.model).state_dict()
    extended = build_pretrained(changed(released, model={"dense": True, "mesh": True}).model).state_dict()
    assert all(extended[name].equal(value) for name, value in plain.items())
    assert {name.split(".")[0] for name in extended.keys() - plain.keys()} == {"dense", "mesh"}
