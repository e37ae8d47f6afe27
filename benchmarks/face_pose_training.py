"""Data and training of FacePoseNet for `face_pose.py`, on points marked by people.

A helper of that benchmark.
"""

import shutil
import sys
from collections.abc import Sequence
from itertools import chain
from pathlib import Path

import torch

from onelook.data.detection_scenes import DetectionDataset, write_detection_scenes
from onelook.data.label_arrays import MESHES, write_meshes
from onelook.data.manifest import MANIFEST, Manifest, read_manifest, write_manifest
from onelook.data.posed_faces import read_posed_faces
from onelook.data.readers.json_annotations import read_json_annotations
from onelook.errors import DataError
from onelook.files import atomic_folder, sha256
from onelook.model.baseline_folder import load_baseline, save_baseline
from onelook.model.face_pose_net import FacePoseNet
from onelook.model.mesh_teacher import MeshTeacher
from onelook.progress import track
from onelook.settings import BaselineName, JsonAnnotationsSettings, PrepareSettings, Settings
from onelook.training.checkpoint import training_key
from onelook.training.face_pose_training import FacePoseTrainer

NAME: BaselineName = "landmarks_face_pose_net"
STEPS_PER_EPOCH = 250
LEARNING_RATE = 0.003


def prepare_scenes(folder: Path, sources: Sequence[Path]) -> Manifest:
    """Write the marked photos of all sources as scenes with meshes, if the folder does not exist yet.

    Raises:
        DataError: a source is missing or damaged.
        ModelError: the mesh network is not installed.
    """
    if not folder.exists():
        prepare = PrepareSettings()
        read = [
            read_json_annotations(
                JsonAnnotationsSettings(path=str(path.resolve())), prepare.split, Settings().base.seed
            )
            for path in sources
        ]
        dataset = DetectionDataset(tuple(chain.from_iterable(each.photos for each in read)))
        teacher = MeshTeacher()
        with atomic_folder(folder) as temporary:
            scenes = write_detection_scenes(temporary, dataset)[0]
            write_meshes(temporary, track(scenes, "labeling meshes"), teacher.predict)
            write_manifest(temporary, scenes)
    return read_manifest(folder)


def train_network(work: Path, manifest: Manifest, epochs: int) -> FacePoseNet:
    """Train the network on the training and validation part, or load it if it is trained already.

    Raises:
        DataError: there is nothing to train it on.
        ModelError: the checkpoint or the network is damaged.
    """
    base = Settings()
    train = base.train.model_copy(update={"epochs": epochs, "learning_rate": LEARNING_RATE, "checkpoint_steps": 50})
    settings = base.model_copy(update={"train": train})
    files = [sha256(manifest.root / name) for name in (MANIFEST, MESHES)]
    key = training_key(NAME, epochs, STEPS_PER_EPOCH, LEARNING_RATE, base.base.seed, *files)
    folder, marker = work / "baselines" / NAME, work / "baselines" / "key"
    if not (marker.is_file() and marker.read_text(encoding="utf-8") == key):
        shutil.rmtree(folder, ignore_errors=True)
        torch.manual_seed(base.base.seed)
        network = FacePoseNet()
        faces = read_posed_faces(manifest, manifest.select("train") + manifest.select("validation"), base.base.seed)
        print(f"{len(faces.poses)} faces, those turned in 3D included.", file=sys.stderr, flush=True)
        trainer = FacePoseTrainer(network, faces, settings, STEPS_PER_EPOCH, torch.device("cpu"))
        trainer.run(work / "checkpoint", key, lambda epoch, losses: print(epoch, losses, file=sys.stderr, flush=True))
        save_baseline(folder, NAME, base.model.embedding.dim, network)
        marker.write_text(key, encoding="utf-8")
    trained = load_baseline(folder)
    if not isinstance(trained, FacePoseNet):
        raise DataError(f"{folder}: another network; delete the folder, and it is trained anew")
    return trained
