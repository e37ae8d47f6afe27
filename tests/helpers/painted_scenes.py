"""Training scenes of painted people, and labels for them."""

from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
from safetensors.numpy import save

from helpers.domes import colored_dome
from helpers.training_settings import EMBEDDING_DIM
from onelook.data.label_arrays import write_meshes
from onelook.data.manifest import Face, Scene, read_manifest, write_manifest
from onelook.data.morphable_model import MORPHABLE_MODEL, MorphableModel
from onelook.geometry.alignment import REFERENCE_LANDMARKS
from onelook.geometry.mesh import NUM_SHAPE_PARAMETERS, NUM_VERTICES, VERTEX_CHANNELS

FACE_BOX = np.array([24, 16, 60, 64], np.float32)
FACE_LANDMARKS = REFERENCE_LANDMARKS * 0.4 + np.array([20, 15], np.float32)


def write_painted_scenes(root: Path, people: int = 2) -> Path:
    """Write six training scenes of 96 x 80 pixels with one of `people` each in turn, and one without a face."""
    rng = np.random.default_rng(0)
    scenes = []
    (root / "images").mkdir(parents=True)
    for i in range(7):
        image = rng.integers(0, 60, (80, 96, 3), dtype=np.uint8)
        faces: tuple[Face, ...] = ()
        if i < 6:
            cv2.ellipse(image, (42, 40), (18, 24), 0, 0, 360, (180, 160, 140), -1)
            # Odd scenes are dark above the eyes, even ones below the mouth.
            dark = slice(16, 34) if i % 2 else slice(44, 64)
            image[dark, 24:60] //= 4
            for x, y in FACE_LANDMARKS:
                cv2.circle(image, (int(x), int(y)), 2, (20, 20, 20), -1)
            faces = (Face(FACE_BOX.copy(), FACE_LANDMARKS.copy(), identity=f"p{i % people}"),)
        cv2.imwrite(str(root / f"images/{i}.png"), image)
        scenes.append(Scene(f"images/{i}.png", 96, 80, "train", "scene", faces, "painted", "none"))
    write_manifest(root, scenes)
    return root


def read_painted_images(root: Path) -> list[np.ndarray]:
    """Read the seven images as RGB."""
    return [cv2.cvtColor(cv2.imread(str(root / f"images/{i}.png")), cv2.COLOR_BGR2RGB) for i in range(7)]


def repeat_scenes(root: Path, times: int) -> None:
    """Repeat the scenes in the manifest, so that an epoch has more steps."""
    write_manifest(root, list(read_manifest(root).scenes) * times)


def without_identity(scene: Scene) -> Scene:
    """Return the scene with unlabeled faces."""
    return replace(scene, faces=tuple(replace(face, identity=None) for face in scene.faces))


def embed_painted_crops(crops: np.ndarray) -> np.ndarray:
    """Return teacher embeddings (n, 8) of aligned crops, opposite for the two painted people."""
    upper, lower = crops[:, :50].mean((1, 2, 3)), crops[:, 70:].mean((1, 2, 3))
    first = np.where(upper < lower, 1.0, -1.0)
    return np.stack([first, *[np.zeros_like(first)] * (EMBEDDING_DIM - 1)], axis=1).astype(np.float32)


def label_meshes(root: Path) -> np.ndarray:
    """Label every face with one random mesh (468, 3) that fills its box, and return it."""
    mesh = np.random.default_rng(0).uniform((24, 16, -20), (60, 64, 20), (NUM_VERTICES, 3)).astype(np.float32)
    write_meshes(root, read_manifest(root).scenes, lambda image, box, landmarks: mesh)
    return mesh


def write_dome_model(root: Path) -> MorphableModel:
    """Write a morphable model with a dome as its mean and one component, the brightness."""
    components = np.zeros((NUM_SHAPE_PARAMETERS, NUM_VERTICES, VERTEX_CHANNELS), np.float32)
    components[0, :, 3:] = 1
    stds = np.zeros(NUM_SHAPE_PARAMETERS, np.float32)
    stds[0] = 0.1
    model = MorphableModel(colored_dome(), components, stds)
    (root / MORPHABLE_MODEL).write_bytes(save(model._asdict()))
    return model
