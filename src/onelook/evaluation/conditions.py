"""Metrics by condition of the face: resolution, blur, light and occlusion.

Scenes have no such labels, so the conditions are measured: from the labeled boxes and landmarks, and from the pixels. A
face may be in several conditions; `clear` faces are in none.
"""

from collections.abc import Sequence

import numpy as np

from onelook.data.image_io import read_image
from onelook.data.manifest import Manifest, Scene
from onelook.evaluation.average_precision import evaluate_detections
from onelook.evaluation.identification import Trials
from onelook.evaluation.landmarks import LandmarkErrors, landmark_metrics
from onelook.evaluation.probe_set import labeled_boxes
from onelook.evaluation.split_predictions import AP_IOU, SplitDetections
from onelook.face_quality import FULL_WEIGHT_SHARPNESS, measure_sharpness
from onelook.geometry.boxes import box_areas, pairwise_intersection

MAX_DARK_GRAY = 60.0
"""Mean gray level of the box, of 255, below which a face is dark."""
MIN_OCCLUSION = 0.05
"""Fraction of the box inside the box of another labeled face from which a face is occluded."""

Conditions = list[dict[str, np.ndarray]]
"""For each scene the masks (faces,) bool by the name of the condition."""


def measure_conditions(manifest: Manifest, scenes: Sequence[Scene], large_face_size: float) -> Conditions:
    """Measure the conditions of all labeled faces of scenes.

    Args:
        manifest: of the scenes.
        scenes: the scenes.
        large_face_size: in pixels; smaller faces have a low resolution.
    """
    return [_measure(read_image(manifest.path(scene)), scene, large_face_size) for scene in scenes]


def _measure(image: np.ndarray, scene: Scene, large_face_size: float) -> dict[str, np.ndarray]:
    boxes = np.array([face.box for face in scene.faces], np.float32).reshape(-1, 4)
    overlaps = pairwise_intersection(boxes, boxes)
    np.fill_diagonal(overlaps, 0)
    has_points = np.array([np.isfinite(face.landmarks).all() for face in scene.faces], bool)
    sharpness = np.full(len(boxes), np.inf)
    located = [face.landmarks for face in scene.faces if np.isfinite(face.landmarks).all()]
    sharpness[has_points] = measure_sharpness([(image, landmarks) for landmarks in located])
    masks = {
        "low_resolution": np.array([face.size < large_face_size for face in scene.faces], bool),
        "blurred": sharpness < FULL_WEIGHT_SHARPNESS,
        "dark": np.array([_mean_gray(image, box) < MAX_DARK_GRAY for box in boxes], bool),
        "occluded": overlaps.sum(1) >= MIN_OCCLUSION * np.maximum(box_areas(boxes), 1e-9),
    }
    return masks | {"clear": ~np.any(list(masks.values()), axis=0)}


def _mean_gray(image: np.ndarray, box: np.ndarray) -> float:
    """Compute the mean gray level inside a box; 255 where it covers no pixel."""
    left, top, right, bottom = box.round().clip(0).astype(int)
    pixels = image[top:bottom, left:right]
    return float(pixels.mean()) if pixels.size else 255.0


def condition_metrics(
    conditions: Conditions, detections: SplitDetections, errors: LandmarkErrors, trials: Trials | None
) -> dict[str, dict[str, float]]:
    """Compute `faces`, `ap50`, `nme` and `rank1` of the faces in each condition.

    In AP, other faces count neither as found nor as missed; detections without a face count in every condition. A
    condition without faces is left out, and a metric that the data do not define.

    Args:
        conditions: of the scenes.
        detections: of the scenes.
        errors: their landmark errors.
        trials: of the labeled faces with an identity, scene by scene; None for no rank-1.
    """
    metrics: dict[str, dict[str, float]] = {}
    for name in conditions[0] if conditions else ():
        masks = [scene[name] for scene in conditions]
        count = sum(int(mask.sum()) for mask in masks)
        if count == 0:
            continue
        own_errors = np.array(
            [masks[scene][face] for scene, face in zip(errors.scenes, errors.faces, strict=True)], bool
        )
        values = {
            "ap50": _average_precision(masks, detections),
            "nme": landmark_metrics(errors.size_normalized[own_errors])["nme"],
        }
        if trials is not None:
            values["rank1"] = _rank1(masks, detections, trials)
        metrics[name] = {"faces": count} | {key: value for key, value in values.items() if np.isfinite(value)}
    return metrics


def _average_precision(masks: Sequence[np.ndarray], detections: SplitDetections) -> float:
    ignored = [
        np.append(~mask, np.ones(len(scene.ignored), bool))
        for mask, scene in zip(masks, detections.scenes, strict=True)
    ]
    return evaluate_detections(
        [each.boxes for each in detections.candidates],
        [each.scores for each in detections.candidates],
        [labeled_boxes(scene) for scene in detections.scenes],
        AP_IOU,
        ignored,
    ).average_precision()


def _rank1(masks: Sequence[np.ndarray], detections: SplitDetections, trials: Trials) -> float:
    is_probe = np.concatenate(
        [
            [is_own for is_own, face in zip(mask, scene.faces, strict=True) if face.identity is not None]
            for mask, scene in zip(masks, detections.scenes, strict=True)
        ]
    ).astype(bool)
    selected = is_probe[trials.probe_rows]
    return float(trials.correct[selected].mean()) if selected.any() else float("nan")
