"""Training of the baselines by name, on the scenes, people, seeds and batches of the joint network."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import nn

from onelook.data.face_crops import FACE_CROP_LABELS
from onelook.data.face_dataset import FaceDataset
from onelook.data.label_arrays import MESHES, TEACHER_EMBEDDINGS
from onelook.data.landmark_faces import read_landmark_faces
from onelook.data.loader import LoaderOptions, choose_loader_options
from onelook.data.manifest import MANIFEST, Manifest
from onelook.data.posed_faces import read_posed_faces
from onelook.data.scene_dataset import SceneDataset
from onelook.files import sha256
from onelook.model.baseline_folder import BASELINES
from onelook.model.face_pose_net import FacePoseNet
from onelook.model.joint_network import JointNetwork
from onelook.model.landmark_cascade import LandmarkCascade
from onelook.model.mobilefacenet import SeparateRecognizer
from onelook.model.mtcnn import Mtcnn
from onelook.settings import BaselineName, Settings
from onelook.settings.section import Section
from onelook.training.callbacks import Callbacks, Metrics
from onelook.training.checkpoint import training_key
from onelook.training.face_pose_training import FacePoseTrainer
from onelook.training.landmark_training import LandmarkTrainer
from onelook.training.loop import Trainer
from onelook.training.mtcnn_training import MtcnnTrainer, Propose
from onelook.training.stopwatch import Stopwatch


@dataclass(frozen=True)
class BaselineTraining:
    """Data, settings and callbacks of the training of a baseline.

    Attributes:
        manifest: of the prepared scenes.
        settings: of the joint network; the seed includes its offset.
        device: of the training.
        checkpoints: folder of the checkpoint of this baseline.
        propose: runs the first networks of MTCNN's cascade.
        validate: returns metrics of a recognizer; its best epoch has the highest `selection_metric`.
        on_epoch_end: called with the epoch, counted from 1, and its losses and metrics.
    """

    manifest: Manifest
    settings: Settings
    device: torch.device
    checkpoints: Path
    propose: Propose
    validate: Callable[[JointNetwork], Metrics]
    on_epoch_end: Callable[[int, Metrics], None] = lambda epoch, metrics: None


def train_baseline(name: BaselineName, training: BaselineTraining) -> tuple[nn.Module, float]:
    """Train a baseline, or what is left of its training after an interruption.

    Returns:
        The network (a recognizer of its best epoch, others after the last), and the minutes of its training,
        over all interruptions.

    Raises:
        DataError: there is nothing to train it on.
        OnelookError: a loss is not finite.
        ModelError: the checkpoint is damaged.
    """
    network = BASELINES[name](training.settings.model.embedding.dim)
    scenes = _open_scenes(training)
    key = _training_key(name, training)
    stopwatch = Stopwatch(training.checkpoints, key)

    def on_epoch_end(epoch: int, metrics: Metrics) -> None:
        stopwatch.save()
        training.on_epoch_end(epoch, metrics)

    timed = replace(training, on_epoch_end=on_epoch_end)
    if isinstance(network, Mtcnn):
        _train_detector(network, scenes, timed, key)
    elif isinstance(network, FacePoseNet):
        _train_face_pose_net(network, scenes, timed, key)
    elif isinstance(network, LandmarkCascade):
        _train_landmarks(network, scenes, timed, key)
    else:
        assert isinstance(network, SeparateRecognizer)
        _train_recognizer(network, scenes, timed, key)
    return network, stopwatch.minutes


def recognition_settings(settings: Settings) -> Settings:
    """Return the settings of a separate recognizer: face crops where there are any, else the faces of scenes."""
    size = 0 if settings.train.faces.batch_size > 0 else settings.train.batch_size
    train = settings.train.model_copy(update={"tasks": "recognition", "batch_size": size})
    return settings.model_copy(update={"train": train})


def _train_detector(mtcnn: Mtcnn, scenes: SceneDataset, training: BaselineTraining, key: str) -> None:
    steps = _count_steps(scenes, training)
    trainer = MtcnnTrainer(mtcnn, scenes, training.settings, steps, training.propose, training.device)
    trainer.run(training.checkpoints, key, training.on_epoch_end)


def _train_landmarks(cascade: LandmarkCascade, scenes: SceneDataset, training: BaselineTraining, key: str) -> None:
    # Crops with a label from a detector alone have the role "crop".
    faces = read_landmark_faces(training.manifest, training.manifest.select("train"))
    steps = _count_steps(scenes, training)
    trainer = LandmarkTrainer(cascade, faces, training.settings, steps, training.device)
    trainer.run(training.checkpoints, key, training.on_epoch_end)


def _train_face_pose_net(network: FacePoseNet, scenes: SceneDataset, training: BaselineTraining, key: str) -> None:
    manifest, settings = training.manifest, training.settings
    faces = read_posed_faces(manifest, manifest.select("train"), settings.base.seed)
    trainer = FacePoseTrainer(network, faces, settings, _count_steps(scenes, training), training.device)
    trainer.run(training.checkpoints, key, training.on_epoch_end)


def _count_steps(scenes: SceneDataset, training: BaselineTraining) -> int:
    """Return the number of steps in an epoch of the joint network."""
    faces = _open_faces(scenes, training)
    settings = training.settings.train
    batches = scenes.num_batches(settings.batch_size) if faces is None else faces.num_batches()
    return max(1, batches // settings.accumulation_steps)


def _train_recognizer(network: SeparateRecognizer, scenes: SceneDataset, training: BaselineTraining, key: str) -> None:
    settings = recognition_settings(training.settings)
    trainer = Trainer(network, scenes, settings, _open_faces(scenes, training), training.device)
    trainer.run(training.checkpoints, key, Callbacks(training.validate, training.on_epoch_end))


def _open_scenes(training: BaselineTraining) -> SceneDataset:
    settings = training.settings
    return SceneDataset(training.manifest, settings.train.augment, settings.base.seed, _loader(training.device))


def _open_faces(scenes: SceneDataset, training: BaselineTraining) -> FaceDataset | None:
    settings = training.settings
    if settings.train.faces.batch_size == 0:
        return None
    return FaceDataset(
        training.manifest,
        scenes.index,
        settings.train.faces,
        settings.train.augment,
        settings.base.seed,
        _loader(training.device),
    )


def _loader(device: torch.device) -> LoaderOptions:
    """Return the loader's threads; it distorts the images itself, as windows are cut from them at once."""
    return LoaderOptions(threads=choose_loader_options(device).threads)


def _training_key(name: str, training: BaselineTraining) -> str:
    """Return the key of the checkpoint: the baseline, its settings and its data."""
    settings = training.settings
    sections: tuple[Section, ...] = (settings.base, settings.teacher, settings.model.embedding, settings.train)
    if name == "mtcnn":
        sections += (settings.mtcnn,)
    # A checkpoint can be resumed on any device.
    trees = [
        section.model_dump(mode="json", exclude={"processes", "device", "checkpoint_steps"}) for section in sections
    ]
    labels = (MESHES,) if name == "landmarks_face_pose_net" else (TEACHER_EMBEDDINGS, FACE_CROP_LABELS)
    files = [training.manifest.root / file for file in (MANIFEST, *labels)]
    return training_key(name, *trees, *(sha256(path) for path in files if path.exists()))
