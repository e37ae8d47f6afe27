"""Scenes to train on and to look at, cut at random from one picture of several faces."""

from pathlib import Path

import cv2
import numpy as np
import torch

from onelook.data.manifest import Face, Scene, write_manifest
from onelook.errors import OnelookError
from onelook.inference.batched_decoding import BatchFaces, postprocess_batch
from onelook.model.joint_network import JointNetwork
from onelook.model.model_folder import RELEASED
from onelook.model.serialization import load_model

SCORE, NMS = 0.5, 0.4
# Sides of the picture, in sides of a scene.
_MIN_SCALE, _MAX_SCALE = 1.0, 1.6
_MIN_FACES = 2


def cut_scenes(picture: Path, side: int, count: int, seed: int) -> list[tuple[np.ndarray, np.ndarray]]:
    """Cut `count` scenes out of a picture.

    Args:
        picture: image file with two faces or more.
        side: of the square scenes, in pixels.
        count: number of scenes.
        seed: of scale, place and mirroring.

    Returns:
        For each scene its pixels (side, side, 3) RGB uint8, and the transform (2, 3) from pixels of the picture.

    Raises:
        OnelookError: the picture is missing or damaged.
    """
    pixels = _read_picture(picture)
    rng = np.random.default_rng(seed)
    scenes = []
    for _ in range(count):
        scale = rng.uniform(_MIN_SCALE, _MAX_SCALE) * side / min(pixels.shape[:2])
        limits = np.maximum(np.array([pixels.shape[1], pixels.shape[0]]) * scale - side, 0)
        x, y = rng.uniform(0, 1, 2) * limits
        transform = np.array([[scale, 0, -x], [0, scale, -y]])
        image = cv2.warpAffine(pixels, transform, (side, side), flags=cv2.INTER_AREA, borderMode=cv2.BORDER_REFLECT_101)
        scenes.append((image, transform))
    return scenes


def _read_picture(picture: Path) -> np.ndarray:
    pixels = cv2.imread(str(picture), cv2.IMREAD_COLOR)
    if pixels is None:
        raise OnelookError(f"{picture}: missing or damaged; name a picture of several faces by --picture")
    return cv2.cvtColor(pixels, cv2.COLOR_BGR2RGB)


def find_faces(network: JointNetwork, images: np.ndarray) -> tuple[BatchFaces, torch.Tensor]:
    """Find and embed the faces of images (B, H, W, 3) on the device of the network.

    Returns:
        The faces, and their embeddings (n, d), on that device.
    """
    device = next(network.parameters()).device
    with torch.inference_mode():
        outputs = network(torch.from_numpy(images).to(device).permute(0, 3, 1, 2))
        anchors = outputs.reference_boxes(network.detector.make_anchors(*images.shape[1:3]))
        faces = postprocess_batch(outputs.anchor_outputs, anchors, SCORE, NMS)
        return faces, network.embed(outputs.feature_maps, faces.landmarks.split(faces.counts))


def write_scenes(folder: Path, picture: Path, side: int, count: int) -> None:
    """Write scenes with the faces that the released weights find in the picture, each a person of its own.

    Raises:
        OnelookError: the picture is missing, damaged, or has fewer than two faces.
    """
    faces, _ = find_faces(load_model(RELEASED).eval(), _read_picture(picture)[None])
    if len(faces.boxes) < _MIN_FACES:
        raise OnelookError(f"{picture}: {len(faces.boxes)} faces found, {_MIN_FACES} needed; name another by --picture")
    boxes, landmarks = faces.boxes.numpy(), faces.landmarks.numpy()
    (folder / "images").mkdir(parents=True)
    rows = []
    for number, (image, transform) in enumerate(cut_scenes(picture, side, count, seed=0)):
        name = f"images/{number}.jpg"
        cv2.imwrite(str(folder / name), cv2.cvtColor(image, cv2.COLOR_RGB2BGR))
        scale, offset = transform[0, 0], transform[:, 2]
        own_boxes, own_landmarks = boxes * scale + np.tile(offset, 2), landmarks * scale + offset
        inside = ((own_landmarks >= 0) & (own_landmarks < side)).all((1, 2))
        labeled = tuple(
            Face(own_boxes[i].astype(np.float32), own_landmarks[i].astype(np.float32), identity=f"person {i}")
            for i in np.flatnonzero(inside)
        )
        rows.append(Scene(name, side, side, "train", "scene", labeled, picture.name, "as the picture"))
    write_manifest(folder, rows)
