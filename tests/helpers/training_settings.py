"""Settings of trainings that take seconds, made from the project's params.yaml."""

from pathlib import Path
from typing import Any

from onelook.settings import Settings, load_settings

PARAMS = Path(__file__).resolve().parents[2] / "params.yaml"
EMBEDDING_DIM = 8
TINY_EMBEDDING = {
    "dim": EMBEDDING_DIM,
    "channels": 8,
    "strides": [2, 4, 8, 16],
    "grid_size": 14,
    "sampling": "warp",
    "extent": 1,
    "widths": [8, 8],
    "depths": [0, 0],
    "gdc_channels": 8,
}
FULL_NETWORK = {
    "backbone": "resnet18",
    "pyramid_levels": "full",
    "fpn_channels": 16,
    "cascade": "all",
    "init": "random",
}
FACE_CROPS = {
    "batch_size": 6,
    "crop_size": 96,
    "labeled_fraction": 1.0,
    "images_per_identity": 1,
    "rotation_std": 5,
    "scale_std": 0.1,
    "downscale_prob": 0.0,
}
UNCROPPED = {"crop_size": 96, "zoom": (1, 1)}
"""Augmentation that shows the painted scenes in full."""


def tiny_settings(**train: Any) -> Settings:
    """Return three epochs of a tiny embedding head on the public detector; `train` changes keys of its section."""
    tree = load_settings(PARAMS).model_dump()
    tree["base"] = {"seed": 7, "threads": 1}
    tree["model"] |= {"init": "wheel", "embedding": TINY_EMBEDDING}
    tree["train"] |= {"epochs": 3, "batch_size": 2, "learning_rate": 0.003, "backbone_lr_mult": 0.05, **train}
    tree["train"]["augment"] |= {"crop_size": 64, "zoom": [0.9, 1.1], "min_identity_size": 0, "photometric": 0}
    tree["mtcnn"] = {"learning_rate": 0.001, "updates_per_batch": 2}
    return Settings.model_validate(tree)


def face_crop_settings(**train: Any) -> Settings:
    """Return training on face crops, with the detector frozen."""
    defaults = {"batch_size": 0, "backbone_lr_mult": 0.0, "faces": FACE_CROPS, "epochs": 40, "learning_rate": 0.02}
    return tiny_settings(**{**defaults, **train})


def identity_loss_settings(loss: str, **train: Any) -> Settings:
    """Return training with an identity loss on uncropped scenes, with the detector frozen."""
    identity = load_settings(PARAMS).train.identity.model_dump()
    # With a narrow margin, mined triplets always have about half of it as their loss.
    identity |= {"loss": loss, "triplet": {"margin": 1.0}}
    defaults = {"batch_size": 7, "backbone_lr_mult": 0.0, "identity": identity}
    return changed(tiny_settings(**{**defaults, **train}), augment=UNCROPPED)


def sgd_settings(**train: Any) -> Settings:
    """Return RetinaFace's optimizer and schedule for detection, in three epochs instead of eighty."""
    steps = {"warmup_epochs": 1, "warmup_start_factor": 0.1, "milestones": [2]}
    return tiny_settings(optimizer="sgd", schedule="steps", steps=steps, tasks="detection", **train)


def full_network_settings(model: dict[str, Any], **train: Any) -> Settings:
    """Return training of RetinaFace's full network, with a small backbone; `model` changes keys of its section."""
    defaults = {"batch_size": 4, "backbone_lr_mult": 1.0, "learning_rate": 0.01}
    return changed(tiny_settings(**{**defaults, **train}), model=FULL_NETWORK | model, augment=UNCROPPED)


def grid_settings(scales: tuple[int, ...], **train: Any) -> Settings:
    """Return training of the grid detector."""
    defaults = {"batch_size": 4, "backbone_lr_mult": 1.0, "learning_rate": 0.01}
    grid = {"scales": scales, "image_size": 160, "channels": 32}
    model = {"architecture": "grid", "init": "random", "grid": grid}
    return changed(tiny_settings(**{**defaults, **train}), model=model, augment=UNCROPPED)


def dense_settings(**train: Any) -> Settings:
    """Return training of the dense head, with the detector frozen."""
    defaults = {"tasks": "detection", "backbone_lr_mult": 0.0, "learning_rate": 0.03, "batch_size": 6}
    tree = changed(tiny_settings(**{**defaults, **train}), augment=UNCROPPED).model_dump()
    tree["prepare"] |= {"mesh_labels": True, "morphable_model": True}
    tree["model"]["dense"] = True
    return Settings.model_validate(tree)


def changed(
    settings: Settings,
    *,
    model: dict[str, Any] | None = None,
    augment: dict[str, Any] | None = None,
    identity: dict[str, Any] | None = None,
    weights: dict[str, Any] | None = None,
) -> Settings:
    """Return the settings with other values in the named sections."""
    tree = settings.model_dump()
    tree["model"] |= model or {}
    for name, section in (("augment", augment), ("identity", identity), ("weights", weights)):
        tree["train"][name] |= section or {}
    return Settings.model_validate(tree)
