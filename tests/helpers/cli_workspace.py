"""A small model for the command line's tests, and ways to damage a workspace built with it."""

import shutil
from pathlib import Path

import torch

from helpers.networks import light_model, tiny_embedding
from onelook.files import write_json
from onelook.gallery.data import GalleryMetadata
from onelook.model.model_folder import fingerprint
from onelook.model.pretrained import build_pretrained
from onelook.model.serialization import save_model
from onelook.settings import DetectSettings, ModelSettings

# The embedding head is untrained, but separates the same photo from another photo by this similarity.
THRESHOLD = 0.995
EMBEDDING_SIZE = 32
DETECT = DetectSettings(score=0.5, nms=0.4, longest_side=640)


def small_settings() -> ModelSettings:
    """Return the settings of a network with pretrained detection weights and a small embedding head."""
    return light_model(tiny_embedding(16, dim=EMBEDDING_SIZE), init="wheel")


def save_small_model(folder: Path, seed: int) -> None:
    """Save a network of `small_settings`."""
    torch.manual_seed(seed)
    save_model(folder, build_pretrained(small_settings()))


def save_calibration(root: Path) -> None:
    """Write the calibration of the model in build/model below a root."""
    calibration = {
        "threshold": THRESHOLD,
        "target_fpir": 0.01,
        "detect": DETECT.model_dump(),
        "fingerprint": fingerprint(root / "build/model"),
    }
    write_json(root / "build/evaluation/calibration.json", calibration)


def make_metadata(fingerprint: str, *, managed: bool, threshold: float = THRESHOLD) -> GalleryMetadata:
    """Return the metadata of a gallery of a small model."""
    return GalleryMetadata(
        fingerprint=fingerprint,
        threshold=threshold,
        target_fpir=0.01,
        detect=DETECT,
        embedding_size=EMBEDDING_SIZE,
        managed=managed,
    )


def truncate_model(workspace: Path) -> None:
    """Cut off the end of the model's weights."""
    path = workspace / "build/model/model.safetensors"
    path.write_bytes(path.read_bytes()[:-100])


def empty_index(workspace: Path) -> None:
    """Empty the index file of the gallery."""
    (workspace / "gallery/gallery.sqlite").write_bytes(b"")


def remove_model(workspace: Path) -> None:
    """Remove the model folder."""
    shutil.rmtree(workspace / "build/model")


def replace_model(workspace: Path) -> None:
    """Replace the model by another one."""
    save_small_model(workspace / "build/model", seed=6)
