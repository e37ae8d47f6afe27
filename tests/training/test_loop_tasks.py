from dataclasses import replace
from pathlib import Path
from typing import get_args

import numpy as np
import pytest
import torch

from helpers.aligned_crops import embed_aligned
from helpers.painted_scenes import (
    FACE_LANDMARKS,
    embed_painted_crops,
    repeat_scenes,
    without_identity,
    write_painted_scenes,
)
from helpers.training_settings import face_crop_settings, identity_loss_settings, sgd_settings, tiny_settings
from helpers.trainings import build_trainer, train
from onelook.data.label_arrays import write_teacher_embeddings
from onelook.data.manifest import read_manifest, select_training_scenes, write_manifest
from onelook.errors import DataError
from onelook.model.pretrained import build_pretrained
from onelook.settings import IdentitySettings
from onelook.training.callbacks import Callbacks

CALLBACKS = Callbacks(validate=lambda network: {"selection_metric": 1.0})


@pytest.fixture
def scenes(tmp_path: Path) -> Path:
    return write_painted_scenes(tmp_path / "scenes")


def write_teacher(scenes: Path) -> None:
    """Write embeddings of a teacher that separates the two painted people."""
    write_teacher_embeddings(
        scenes, select_training_scenes(read_manifest(scenes).scenes), embed_aligned(embed_painted_crops)
    )


def test_both_tasks_are_trained_on_scenes(scenes: Path, tmp_path: Path) -> None:
    repeat_scenes(scenes, 3)
    settings = tiny_settings(epochs=20, batch_size=7)  # batch norm needs more than two faces
    history = train(scenes, tmp_path / "checkpoints", settings, init_seed=0, data_seed=1).history
    assert history[-1]["loss.identity"] < 0.3 * history[0]["loss.identity"]
    assert history[-1]["loss.box"] < history[0]["loss.box"]


@pytest.mark.parametrize("loss", get_args(IdentitySettings.model_fields["loss"].annotation))
def test_every_identity_loss_separates_two_people(scenes: Path, tmp_path: Path, loss: str) -> None:
    repeat_scenes(scenes, 6)
    settings = identity_loss_settings(loss, epochs=6, learning_rate=0.01)
    history = train(scenes, tmp_path / "checkpoints", settings, init_seed=0, data_seed=1).history
    assert history[-1]["loss.identity"] < 0.6 * history[0]["loss.identity"]


def test_face_crops_train_the_embedding_and_freeze_the_detector(scenes: Path, tmp_path: Path) -> None:
    write_teacher(scenes)
    trainer = build_trainer(scenes, face_crop_settings())
    before = {name: value.clone() for name, value in trainer.network.detector.state_dict().items()}
    history = trainer.run(tmp_path, "key", CALLBACKS).history
    assert all(value.equal(before[name]) for name, value in trainer.network.detector.state_dict().items())
    losses = [row["loss.distillation"] for row in history]
    assert losses[-1] < 0.6 < 0.8 < losses[0]  # 1 is the loss of unrelated embeddings
    assert "loss.box" not in history[0]


def test_relational_distillation_alone_separates_two_people(scenes: Path, tmp_path: Path) -> None:
    write_teacher(scenes)
    weights = {"identity": 0, "distillation": 1e-9, "similarity": 1}
    history = build_trainer(scenes, face_crop_settings(weights=weights)).run(tmp_path, "key", CALLBACKS).history
    assert history[-1]["loss.similarity"] < 0.3 * history[0]["loss.similarity"]
    assert not {"weight.identity", "loss.identity"} & history[0].keys()


def test_without_names_and_without_a_teacher_nothing_would_be_trained(scenes: Path) -> None:
    with pytest.raises(DataError, match=r"set teacher\.path"):
        build_trainer(scenes, face_crop_settings(weights={"identity": 0}))


def test_scenes_and_face_crops_are_trained_in_the_same_steps(scenes: Path, tmp_path: Path) -> None:
    write_teacher(scenes)
    trainer = build_trainer(scenes, face_crop_settings(batch_size=2, backbone_lr_mult=0.1, epochs=2))
    assert trainer.steps_per_epoch() == 1
    before = trainer.network.detector.backbone.stem.conv.weight.clone()
    history = trainer.run(tmp_path, "key", CALLBACKS).history
    expected = {"loss.box", "loss.lwf", "loss.identity", "loss.distillation"}
    assert all(expected <= row.keys() for row in history)
    assert not trainer.network.detector.backbone.stem.conv.weight.equal(before)


def test_detection_alone_leaves_the_embedding_head_unchanged(scenes: Path, tmp_path: Path) -> None:
    settings = tiny_settings(tasks="detection", epochs=1)
    state, network = train(scenes, tmp_path, settings)
    trained = network.embedding.state_dict()
    torch.manual_seed(settings.base.seed)
    untrained = build_pretrained(settings.model)
    assert all(value.equal(trained[name]) for name, value in untrained.embedding.state_dict().items())
    assert not network.detector.backbone.stem.conv.weight.equal(untrained.detector.backbone.stem.conv.weight)
    assert "loss.identity" not in state.history[0] and "loss.box" in state.history[0]


def test_recognition_alone_trains_the_backbone_but_not_the_detection_heads(scenes: Path, tmp_path: Path) -> None:
    settings = tiny_settings(tasks="recognition", epochs=1)
    state, network = train(scenes, tmp_path, settings)
    untrained = build_pretrained(settings.model).detector
    assert all(
        value.equal(dict(untrained.heads.named_parameters())[name])
        for name, value in network.detector.heads.named_parameters()
    )
    assert not network.detector.backbone.stem.conv.weight.equal(untrained.backbone.stem.conv.weight)
    assert "loss.identity" in state.history[0] and not {"loss.box", "loss.lwf"} & state.history[0].keys()


def test_a_teacher_trains_unlabeled_faces_of_scenes(scenes: Path, tmp_path: Path) -> None:
    """Train with one labeled face per person."""
    manifest = read_manifest(scenes)
    write_manifest(scenes, [*manifest.scenes[:2], *(without_identity(scene) for scene in manifest.scenes[2:])])
    write_teacher(scenes)
    settings = tiny_settings(batch_size=7, epochs=40, learning_rate=0.02, backbone_lr_mult=0.0)
    history = train(scenes, tmp_path / "checkpoints", settings, init_seed=0, data_seed=0).history
    losses = [row["loss.distillation"] for row in history]
    assert np.mean(losses[-5:]) < 0.5 < 0.8 < losses[0]  # 1 is the loss of unrelated embeddings


def test_detection_is_trained_without_identities_and_with_missing_landmarks(scenes: Path, tmp_path: Path) -> None:
    """Faces have three of five landmarks, and every scene has an ignored region."""
    unlabeled = []
    for scene in read_manifest(scenes).scenes:
        landmarks = np.where(np.arange(5)[:, None] < 3, FACE_LANDMARKS, np.nan)
        faces = tuple(replace(face, identity=None, landmarks=landmarks) for face in scene.faces)
        unlabeled.append(replace(scene, faces=faces, ignored=np.array([[2, 2, 40, 40]], np.float32)))
    write_manifest(scenes, unlabeled)
    history = train(scenes, tmp_path / "checkpoints", sgd_settings()).history
    assert all(row["loss.landmarks"] > 0 and "loss.identity" not in row for row in history)
