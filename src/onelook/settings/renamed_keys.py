"""Former names of settings, for error messages and for saved models."""

from typing import Any

RENAMED_KEYS = {
    "prepare.folder.minimum_photos": "min_images",
    "prepare.record": "recordio",
    "prepare.annotations": "json_annotations",
    "prepare.extra": "extra_faces",
    "prepare.people": "split",
    "prepare.enrol": "enrollment_images",
    "prepare.meshes": "mesh_labels",
    "prepare.basis": "morphable_model",
    "prepare.composed": "compose_scenes",
    "prepare.compose.blended": "blended_identities",
    "prepare.compose.empty": "empty_fraction",
    "prepare.compose.faces": "faces_per_scene",
    "prepare.compose.size": "face_size",
    "prepare.compose.rotation": "max_rotation",
    "prepare.compose.overlap": "max_overlap",
    "teacher.deviation": "std",
    "teacher.start_tail": "init_tail",
    "model.form": "architecture",
    "model.grid.side": "image_size",
    "model.width": "width_mult",
    "model.levels": "pyramid_levels",
    "model.pyramid": "fpn_channels",
    "model.start": "init",
    "model.embedding.size": "dim",
    "model.embedding.grid": "grid_size",
    "model.embedding.gather": "gdc_channels",
    "train.repeat": "seed_offset",
    "train.batch": "batch_size",
    "train.accumulate": "accumulation_steps",
    "train.optimiser": "optimizer",
    "train.trunk_rate": "backbone_lr_mult",
    "train.clip": "max_grad_norm",
    "train.balance": "task_weighting",
    "train.steps.warm_up": "warmup_epochs",
    "train.steps.start": "warmup_start_factor",
    "train.steps.drops": "milestones",
    "train.faces.batch": "batch_size",
    "train.faces.side": "crop_size",
    "train.faces.named": "labeled_fraction",
    "train.faces.per_person": "images_per_identity",
    "train.faces.rotation": "rotation_std",
    "train.faces.scale": "scale_std",
    "train.faces.shrunk": "downscale_prob",
    "train.identity.sample": "sampled_class_fraction",
    "train.identity.centre": "center",
    "train.identity.centre.rate": "alpha",
    "train.identity.combined.multiplicative": "m1",
    "train.identity.combined.angular": "m2",
    "train.identity.combined.cosine": "m3",
    "train.weights.distil": "distillation",
    "train.weights.keep": "lwf",
    "train.augment.crop": "crop_size",
    "train.augment.smallest_identity": "min_identity_size",
    "train.augment.predicted_share": "predicted_landmark_fraction",
    "evaluate.bootstrap": "bootstrap_samples",
    "evaluate.large": "large_face_size",
}
"""Old dotted key: new name in the same section."""

RENAMED_VALUES = {
    "prepare.reader": {"record": "recordio", "annotations": "json_annotations"},
    "model.init": {"nothing": "random"},
    "model.embedding.sampling": {"centre": "center"},
    "train.identity.loss": {"normalised": "normalized", "centre": "center"},
}
"""New dotted key: old value to new value."""


def translate(section: dict[str, Any], prefix: str) -> dict[str, Any]:
    """Return a section that an older version wrote under today's names.

    Args:
        section: keys and values, nested; unknown keys are kept as they are.
        prefix: dotted path of the section, for instance "model".
    """
    translated = {}
    for old, value in section.items():
        path = f"{prefix}.{old}"
        key = RENAMED_KEYS.get(path, old)
        if isinstance(value, dict):
            value = translate(value, path)
        elif isinstance(value, str):
            value = RENAMED_VALUES.get(f"{prefix}.{key}", {}).get(value, value)
        translated[key] = value
    return translated
