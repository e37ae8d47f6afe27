"""The file formats that are read: sound files to damage, and the function that reads each."""

import hashlib
import io
import json
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from hypothesis import strategies as st
from PIL import Image
from safetensors.torch import save

from fuzz.mutations import damaged_bytes, damaged_json, damaged_lines, damaged_tree, dump
from helpers.networks import light_model, tiny_embedding
from helpers.onnx_faces import exported_faces
from onelook.data.image_io import decode_image
from onelook.data.manifest import MANIFEST, read_manifest
from onelook.data.readers.celeba import read_celeba
from onelook.data.readers.face_crops import COLUMNS, read_face_list
from onelook.data.readers.json_annotations import read_json_annotations
from onelook.data.readers.lfw import read_pairs
from onelook.data.readers.wider import read_wider
from onelook.gallery.calibration import read_calibration
from onelook.gallery.enrollment_list import read_enrollment_list
from onelook.inference.onnx_predictor import OnnxPredictor
from onelook.media.video_io import VideoReader
from onelook.model.joint_network import JointNetwork
from onelook.model.model_folder import FORMAT, RELEASED, SETTINGS, WEIGHTS
from onelook.model.serialization import load_model
from onelook.onnx_checksum import append_checksum
from onelook.settings import (
    CelebaSettings,
    DetectSettings,
    JsonAnnotationsSettings,
    SplitFractions,
    WiderSettings,
    load_settings,
)
from onelook.training.checkpoint import CHECKPOINT, load_checkpoint

ROOT = Path(__file__).resolve().parents[2]
_MAX_FRAMES = 500
_DETECT = DetectSettings(score=0.5, nms=0.4, longest_side=64)


@dataclass(frozen=True)
class Format:
    """A format with the strategy of its damaged files.

    Attributes:
        inputs: makes the strategy.
        read: reads an input, with a folder for its files.
        cost: how many times as many inputs of a quick format are tried.
    """

    inputs: Callable[[], st.SearchStrategy[Any]]
    read: Callable[[Any, Path], object]
    cost: int = 1


def _pictures() -> st.SearchStrategy[bytes]:
    rows = np.random.default_rng(0).integers(0, 256, (24, 32, 3), np.uint8)
    seeds = []
    for kind in ("JPEG", "PNG", "WEBP", "BMP", "GIF", "TIFF", "PPM", "JPEG2000", "AVIF"):
        stream = io.BytesIO()
        try:
            Image.fromarray(rows).save(stream, kind)
        except (KeyError, OSError):  # a format that this build of Pillow lacks
            continue
        seeds.append(stream.getvalue())
    return damaged_bytes(seeds)


def _video_seed(path: Path, code: str) -> bytes:
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*code), 10, (64, 48))
    for level in range(4):
        writer.write(np.full((48, 64, 3), 60 * level, np.uint8))
    writer.release()
    return path.read_bytes()


@cache
def _videos() -> st.SearchStrategy[tuple[str, bytes]]:
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        seeds = {
            suffix: _video_seed(Path(folder, f"seed{suffix}"), code)
            for suffix, code in ((".mp4", "mp4v"), (".avi", "MJPG"), (".mkv", "mp4v"))
        }
    return st.one_of([st.tuples(st.just(suffix), damaged_bytes([seed])) for suffix, seed in seeds.items()])


def _read_video(data: tuple[str, bytes], folder: Path) -> None:
    path = folder / f"video{data[0]}"
    path.write_bytes(data[1])
    with VideoReader(path) as reader:
        for count, _ in enumerate(reader.frames()):
            assert count < _MAX_FRAMES


@cache
def _model_parts() -> tuple[dict[str, Any], bytes]:
    torch.manual_seed(0)
    network = JointNetwork(light_model(tiny_embedding(8)))
    weights = save({name: value.contiguous() for name, value in network.state_dict().items()})
    return {"format": FORMAT, "model": network.settings.model_dump(mode="json")}, weights


def _models() -> st.SearchStrategy[tuple[bytes, bytes]]:
    """Damage the description, or the header of the weights, whose checksum is then right."""
    description, weights = _model_parts()

    def describe(data: bytes) -> bytes:
        return dump({**description, "weights_sha256": hashlib.sha256(data).hexdigest()})

    header = 8 + int.from_bytes(weights[:8], "little")
    damaged_weights = damaged_bytes([weights[:header]]).map(lambda head: head + weights[header:])
    sound = json.loads(describe(weights))
    return st.one_of(
        damaged_json([sound]).map(lambda data: (data, weights)),
        damaged_weights.map(lambda data: (describe(data), data)),
    )


def _read_model(data: tuple[bytes, bytes], folder: Path) -> None:
    (folder / SETTINGS).write_bytes(data[0])
    (folder / WEIGHTS).write_bytes(data[1])
    load_model(folder)


def _exported() -> st.SearchStrategy[bytes]:
    """Damage a model before its checksum is computed, or after."""
    content = exported_faces()
    return damaged_bytes([content]).map(append_checksum) | damaged_bytes([append_checksum(content)])


def _read_exported(data: bytes, folder: Path) -> None:
    (folder / "model.onnx").write_bytes(data)
    found = OnnxPredictor(folder / "model.onnx", "cpu").predict([np.zeros((32, 32, 3), np.uint8)], _DETECT)[0]
    assert np.isfinite(found.embeddings).all() and found.embeddings.shape[1:] == (16,)


_FACE = {"box": [1.5, 2, 30, 40], "landmarks": [[10, 12], None, [15, 20], [11, 30], [19, 30]], "identity": "A"}
_SCENE = {
    **{"image": "images/train/0.jpg", "width": 64, "height": 48, "split": "train", "role": "scene"},
    **{"source": "s", "license": "l", "ignored": [[1, 2, 3, 4]], "unturned": "", "faces": [{**_FACE, "source": ""}]},
}


def _manifests() -> st.SearchStrategy[bytes]:
    scene = dump(_SCENE) + b"\n"
    return damaged_tree([_SCENE]).map(lambda tree: scene + dump(tree) + b"\n") | damaged_bytes([scene * 2])


def _read_manifest(data: bytes, folder: Path) -> None:
    (folder / MANIFEST).write_bytes(data)
    manifest = read_manifest(folder)
    for scene in manifest.scenes:
        manifest.path(scene)


_LABEL = {"boxes_xywh": [[10, 10, 20, 20]], "points": [[[12, 12], [22, 12], [17, 20], None]], "size": [64, 48]}
_LABELS = {f"{number}.png": _LABEL for number in range(6)}


def _read_annotations(data: bytes, folder: Path) -> None:
    (folder / "images").mkdir(exist_ok=True)
    for name in _LABELS:
        (folder / "images" / name).touch()
    (folder / "annotations.json").write_bytes(data)
    settings = JsonAnnotationsSettings(path=str(folder))
    read_json_annotations(settings, SplitFractions(), 1)


_WIDER = "0--A/1.jpg\n2\n10 20 30 40 0 0 0 0 0 0\n50 60 30 40 0 0 0 1 0 0\n0--A/2.jpg\n0\n0 0 0 0 0 0 0 0 0 0\n"


def _read_wider(data: bytes, folder: Path) -> None:
    images = folder / "WIDER_val/images/0--A"
    images.mkdir(parents=True, exist_ok=True)
    (images / "1.jpg").touch()
    (folder / "wider_face_split").mkdir(exist_ok=True)
    (folder / "wider_face_split/wider_face_val_bbx_gt.txt").write_bytes(data)
    read_wider(WiderSettings(path=str(folder)), SplitFractions(), 1)


_CELEBA = {
    "identity_CelebA.txt": "000001.jpg 1\n000002.jpg 2\n",
    "list_bbox_celeba.txt": "2\nimage_id x_1 y_1 width height\n000001.jpg 1 2 30 40\n000002.jpg 1 2 30 40\n",
    "list_landmarks_celeba.txt": "2\nlefteye_x lefteye_y righteye_x righteye_y nose_x nose_y leftmouth_x leftmouth_y "
    "rightmouth_x rightmouth_y\n000001.jpg 1 2 3 4 5 6 7 8 9 10\n000002.jpg 1 2 3 4 5 6 7 8 9 10\n",
    "list_eval_partition.txt": "000001.jpg 0\n000002.jpg 1\n",
}


def _read_celeba(data: tuple[str, bytes], folder: Path) -> None:
    (folder / "img_celeba").mkdir(exist_ok=True)
    for number in (1, 2):
        (folder / f"img_celeba/{number:06d}.jpg").touch()
    for name, text in _CELEBA.items():
        (folder / name).write_text(text)
    (folder / data[0]).write_bytes(data[1])
    read_celeba(CelebaSettings(path=str(folder)))


def _celeba() -> st.SearchStrategy[tuple[str, bytes]]:
    return st.one_of([st.tuples(st.just(name), damaged_lines([text])) for name, text in _CELEBA.items()])


def _settings() -> st.SearchStrategy[bytes]:
    """Damage params.yaml as text, and as a tree: JSON is YAML."""
    import yaml

    text = (ROOT / "params.yaml").read_text(encoding="utf-8")
    tree = json.loads(json.dumps(yaml.safe_load(text)))
    return damaged_lines([text]) | damaged_tree([tree]).map(dump)


def _read_file(name: str, read: Callable[[Path], object]) -> Callable[[bytes, Path], object]:
    def read_data(data: bytes, folder: Path) -> object:
        (folder / name).write_bytes(data)
        return read(folder / name)

    return read_data


def _checkpoints() -> st.SearchStrategy[bytes]:
    stream = io.BytesIO()
    torch.save({"key": "k", "state": {"step": 1, "weights": torch.zeros(3)}}, stream)
    return damaged_bytes([stream.getvalue()])


_FACES_CSV = ",".join(COLUMNS) + "\n" + "\n".join(f"7/{i}.jpg,1,2,30,40,10,15,20,15,15,20,11,30,19,30" for i in "ab")
_PEOPLE_CSV = "name,photo\nAda,a.jpg\nBob,b.jpg\n"
_PAIRS = "1\t2\nAda\t1\t2\nBob\t1\t2\nAda\t1\tBob\t1\nAda\t2\tBob\t2\n"


def _calibrations() -> st.SearchStrategy[bytes]:
    return damaged_json([json.loads((RELEASED / "calibration.json").read_bytes())])


FORMATS: dict[str, Format] = {
    "pictures": Format(_pictures, lambda data, folder: decode_image(data, "photo")),
    "videos": Format(_videos, _read_video, 2),
    "model folders": Format(_models, _read_model, 4),
    "exported models": Format(_exported, _read_exported),
    "checkpoints": Format(_checkpoints, lambda data, folder: _read_file(CHECKPOINT, _load_checkpoint)(data, folder)),
    "params.yaml": Format(_settings, _read_file("params.yaml", load_settings), 4),
    "calibrations": Format(_calibrations, _read_file("calibration.json", read_calibration)),
    "manifests": Format(_manifests, _read_manifest),
    "annotations": Format(lambda: damaged_json([_LABELS]), _read_annotations),
    "WIDER labels": Format(lambda: damaged_lines([_WIDER]), _read_wider),
    "CelebA labels": Format(_celeba, _read_celeba),
    "lists of face crops": Format(
        lambda: damaged_lines([_FACES_CSV]), _read_file("faces.csv", lambda path: list(read_face_list(path)))
    ),
    "LFW pairs": Format(lambda: damaged_lines([_PAIRS]), _read_file("pairs.txt", read_pairs)),
    "enrollment lists": Format(lambda: damaged_lines([_PEOPLE_CSV]), _read_file("people.csv", read_enrollment_list)),
}


def _load_checkpoint(path: Path) -> None:
    load_checkpoint(path.parent, "k")
