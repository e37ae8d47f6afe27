"""Time predictions of the released weights on a device, in torch and exported to onnxruntime.

A part of gpu.py.

The photos are training scenes, resized to VGA. torch predicts in float32, on a card with torch's default use of TF32.
"""

from collections.abc import Callable, Iterator
from itertools import cycle, islice
from pathlib import Path
from tempfile import TemporaryDirectory

import cv2
import numpy as np
import torch

from onelook.data.manifest import read_manifest
from onelook.data.scene_dataset import read_sample
from onelook.errors import OnelookError
from onelook.gpu_check.roofline import time_on_device
from onelook.inference.predictor import Predictor
from onelook.model.model_folder import RELEASED, fingerprint
from onelook.settings import DetectSettings

COLUMNS = ("640 x 480 photos, library", "photos a batch", "photos/s", "ms a photo", "faces")
HEIGHT, WIDTH = 480, 640
BATCH_SIZES, SMALL_BATCH_SIZES = (1, 8, 64), (1, 8)
REPEATS, SMALL_REPEATS = 10, 1
DETECT = DetectSettings(score=0.5, nms=0.4, longest_side=1280)


def measure(scenes: Path, device: torch.device, small: bool) -> Iterator[list[str]]:
    """Yield a row for each library and number of photos a batch.

    Raises:
        DataError: a scene cannot be read.
    """
    torch.use_deterministic_algorithms(False)  # training requires them, commands that predict do not
    photos = read_photos(scenes, max(SMALL_BATCH_SIZES if small else BATCH_SIZES))
    yield from measure_library(f"torch, {device.type}", open_torch, photos, device, small)
    # onnxruntime runs models for MPS on the CPU.
    provider = "cuda" if device.type == "cuda" else "cpu"
    yield from measure_library(f"onnxruntime, {provider}", open_exported, photos, device, small)


def measure_library(
    name: str,
    open_predictor: Callable[[torch.device], Predictor],
    photos: list[np.ndarray],
    device: torch.device,
    small: bool,
) -> Iterator[list[str]]:
    """Yield a row for each number of photos a batch; a single one with the reason where the library cannot run."""
    try:
        predictor = open_predictor(device)
    except (ImportError, OnelookError) as error:
        yield [name, f"left out: {error}"]
        return
    batch_sizes, repeats = (SMALL_BATCH_SIZES, SMALL_REPEATS) if small else (BATCH_SIZES, REPEATS)
    for batch_size in batch_sizes:
        yield [name, str(batch_size), *time_batch(predictor, photos[:batch_size], device, repeats)]


def time_batch(predictor: Predictor, batch: list[np.ndarray], device: torch.device, repeats: int) -> list[str]:
    """Return photos per second, milliseconds a photo and the number of faces."""
    faces = sum(map(len, predictor.predict(batch, DETECT)))
    seconds = time_on_device(lambda: predictor.predict(batch, DETECT), device, repeats) / len(batch)
    return [f"{1 / seconds:.1f}", f"{1000 * seconds:.2f}", str(faces)]


def open_torch(device: torch.device) -> Predictor:
    """Load the released weights in float32."""
    from onelook.inference.loading import load_torch_predictor

    return load_torch_predictor(RELEASED, device=device)


def open_exported(device: torch.device) -> Predictor:
    """Export the released weights and open the file in onnxruntime."""
    from onelook.export.onnx_writer import write_onnx
    from onelook.inference.onnx_predictor import OnnxPredictor
    from onelook.model.serialization import load_model

    with TemporaryDirectory() as folder:
        file = Path(folder) / "model.onnx"
        write_onnx(file, load_model(RELEASED), fingerprint(RELEASED))
        return OnnxPredictor(file, str(device))


def read_photos(scenes: Path, count: int) -> list[np.ndarray]:
    """Read training scenes as RGB uint8 (480, 640, 3), repeated where there are fewer than `count`."""
    manifest = read_manifest(scenes)
    chosen = manifest.select("train")[:count]
    images = (read_sample(manifest, scene, {}).image for scene in chosen)
    return list(islice(cycle([cv2.resize(image, (WIDTH, HEIGHT)) for image in images]), count))
