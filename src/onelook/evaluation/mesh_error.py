"""Mesh error: distance of predicted from labeled vertices, normalized by face size or by the outer eye corners."""

from dataclasses import dataclass, fields
from functools import cached_property

import numpy as np

from onelook.data.label_arrays import read_meshes
from onelook.data.manifest import Manifest
from onelook.evaluation.average_precision import match_detections
from onelook.evaluation.probe_set import labeled_boxes
from onelook.evaluation.split_predictions import SplitDetections
from onelook.geometry.boxes import box_sizes
from onelook.geometry.mesh import NOSE_TIP, OUTER_EYE_CORNERS, POINTS_68


def vertex_errors(predicted: np.ndarray, labeled: np.ndarray, boxes: np.ndarray) -> np.ndarray:
    """Compute the distance of every vertex, divided by the face size sqrt(w h).

    Depth is relative to the tip of the nose in both meshes, because the distance from the camera is unknown.

    Args:
        predicted, labeled: (n, 468, 3), or (n, 468, 2) for distances in the image plane.
        boxes: (n, 4) labeled boxes.

    Returns:
        (n, 468) float64, NaN for a face without a labeled mesh.
    """
    return _vertex_distances(predicted, labeled) / box_sizes(boxes.astype(np.float64))[:, None]


def interocular_vertex_errors(predicted: np.ndarray, labeled: np.ndarray) -> np.ndarray:
    """Compute the distance of every vertex, divided by the distance of the outer eye corners.

    The normalization of 300-W (Sagonas et al. 2013). A mesh has the corners, unlike five points, whose eye centers are
    closer to each other (`landmarks.interocular_errors`).

    Args:
        predicted, labeled: as in `vertex_errors`; distances in the image plane are divided by one in the image plane.

    Returns:
        (n, 468) float64, NaN for a face without a labeled mesh.
    """
    left, right = (labeled[:, corner].astype(np.float64) for corner in OUTER_EYE_CORNERS)
    distances = np.linalg.norm(left - right, axis=-1)
    return _vertex_distances(predicted, labeled) / np.where(distances > 0, distances, np.nan)[:, None]


def _vertex_distances(predicted: np.ndarray, labeled: np.ndarray) -> np.ndarray:
    """Compute the distances (n, 468) float64 of vertices, with depth relative to the tip of the nose."""
    offsets = predicted.astype(np.float64) - labeled
    offsets[..., 2:] -= offsets[:, NOSE_TIP, None, 2:]
    distances: np.ndarray = np.linalg.norm(offsets, axis=-1)
    return distances


@dataclass(frozen=True, eq=False)
class MeshPairs:
    """The predicted and labeled meshes of the detected faces that have a labeled mesh.

    Attributes:
        predicted, labeled: (n, 468, 3) float32 in pixels of the scene.
        boxes: (n, 4) float32, labeled boxes.
        scenes: (n,) int64, the scene of each face.
        has_identity: (n,) bool, the face has an identity label.
    """

    predicted: np.ndarray
    labeled: np.ndarray
    boxes: np.ndarray
    scenes: np.ndarray
    has_identity: np.ndarray

    @cached_property
    def errors_3d(self) -> np.ndarray:
        """Return the errors (n, 468) float64 in space, normalized by face size."""
        return vertex_errors(self.predicted, self.labeled, self.boxes)

    @cached_property
    def errors_2d(self) -> np.ndarray:
        """Return the errors (n, 468) float64 in the image plane, normalized by face size."""
        return vertex_errors(self.predicted[..., :2], self.labeled[..., :2], self.boxes)

    def select(self, mask: np.ndarray) -> "MeshPairs":
        """Select the faces of a mask (n,) bool."""
        return MeshPairs(*(getattr(self, each.name)[mask] for each in fields(self)))

    def metrics(self, weights: np.ndarray) -> dict[str, float]:
        """Compute the mean errors over the faces; NaN without faces.

        - `error`: all vertices in space;
        - `error_flat`: all vertices in the image plane;
        - `error_68`: the 68 landmarks in space;
        - `error_interocular`, `error_68_interocular`: all vertices in space, and the 68 landmarks in the image plane as
          in 300-W, divided by the distance of the outer eye corners instead of the face size.

        Args:
            weights: (scenes,) float64 weight of each scene.
        """
        face_weights = weights[self.scenes]
        total = face_weights.sum()
        per_face = {
            "error": self.errors_3d.mean(1),
            "error_flat": self.errors_2d.mean(1),
            "error_68": self.errors_3d[:, list(POINTS_68)].mean(1),
            "error_interocular": interocular_vertex_errors(self.predicted, self.labeled).mean(1),
            "error_68_interocular": interocular_vertex_errors(self.predicted[..., :2], self.labeled[..., :2])[
                :, list(POINTS_68)
            ].mean(1),
        }
        return {name: float(face_weights @ each / total) if total else float("nan") for name, each in per_face.items()}

    def mean_shape(self) -> np.ndarray:
        """Compute the mean labeled vertices (468, 2).

        They are relative to the box center, in face sizes.
        """
        centers, sizes = (self.boxes[:, :2] + self.boxes[:, 2:]) / 2, box_sizes(self.boxes.astype(np.float64))
        shape: np.ndarray = ((self.labeled[..., :2] - centers[:, None]) / sizes[:, None, None]).mean(0)
        return shape


def pair_meshes(detections: SplitDetections, manifest: Manifest, iou: float, score: float) -> MeshPairs | None:
    """Pair the predicted meshes of a split with the labeled ones.

    Args:
        detections: of the split.
        manifest: of the scenes.
        iou: lowest IoU of a detection with its labeled face.
        score: lowest detection score.

    Returns:
        None without labeled meshes, without a mesh head, or without a pair.
    """
    labels = read_meshes(manifest)
    pairs: list[tuple[np.ndarray, ...]] = []
    for i, (scene, candidates) in enumerate(zip(detections.scenes, detections.candidates, strict=True)):
        detected, boxes = candidates.above(score), labeled_boxes(scene)
        if labels is None or detected.meshes is None:
            return None
        matches, is_first = match_detections(detected.boxes, boxes, iou)
        is_first &= matches < len(scene.faces)  # drops matches with ignored boxes
        labeled = labels[scene.image][matches[is_first]]
        has_mesh = np.isfinite(labeled).all((1, 2))
        faces = matches[is_first][has_mesh]
        has_identity = np.array([scene.faces[face].identity is not None for face in faces], bool)
        predicted = detected.meshes[is_first][has_mesh]
        pairs.append((predicted, labeled[has_mesh], boxes[faces], np.full(len(faces), i), has_identity))
    result = MeshPairs(*(np.concatenate(column) for column in zip(*pairs, strict=True)))
    return result if len(result.predicted) else None
