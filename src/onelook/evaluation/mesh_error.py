"""Mesh error: how far the vertices of the faces found are off, as a share of the face's size."""

from dataclasses import dataclass, fields
from functools import cached_property

import numpy as np

from onelook.data.manifest import Manifest
from onelook.data.mesh_labels import read_meshes
from onelook.evaluation.average_precision import match_detections
from onelook.evaluation.probe_set import SplitDetections, labeled_boxes
from onelook.geometry.mesh import NOSE_TIP, POINTS_68


def vertex_errors(found: np.ndarray, labeled: np.ndarray, boxes: np.ndarray) -> np.ndarray:
    """Distance of every vertex, divided by the square root of the labeled box's area.

    Depth is counted from the tip of the nose in both: a photo does not tell how far away a face is.

    Args:
        found, labeled: (n, 468, 3), or (n, 468, 2) for the distances in the photo's plane alone.
        boxes: (n, 4) labeled boxes.

    Returns:
        (n, 468) float64, NaN for a face without a labeled mesh.
    """
    apart = found.astype(np.float64) - labeled
    apart[..., 2:] -= apart[:, NOSE_TIP, None, 2:]
    return np.linalg.norm(apart, axis=-1) / _sizes(boxes)[:, None]


def _sizes(boxes: np.ndarray) -> np.ndarray:
    return np.sqrt((boxes[:, 2:].astype(np.float64) - boxes[:, :2]).prod(-1))


@dataclass(frozen=True, eq=False)
class MeshPairs:
    """Every labeled face that was found and has a labeled mesh.

    Attributes:
        found, labeled: (n, 468, 3) float32 in pixels of the scene.
        boxes: (n, 4) float32, the labeled ones.
        scenes: (n,) int64, the scene of each face.
        named: (n,) bool, whether it is known who it is.
        solid, flat: (n, 468) float64, errors in space and in the photo's plane, as shares of the face's size.
    """

    found: np.ndarray
    labeled: np.ndarray
    boxes: np.ndarray
    scenes: np.ndarray
    named: np.ndarray

    @cached_property
    def solid(self) -> np.ndarray:
        return vertex_errors(self.found, self.labeled, self.boxes)

    @cached_property
    def flat(self) -> np.ndarray:
        return vertex_errors(self.found[..., :2], self.labeled[..., :2], self.boxes)

    def only(self, chosen: np.ndarray) -> "MeshPairs":
        """Those of the faces that `chosen` (n,) bool marks."""
        return MeshPairs(*(getattr(self, each.name)[chosen] for each in fields(self)))

    def figures(self, weights: np.ndarray) -> dict[str, float]:
        """Means over the faces, each counted as often as its scene, `weights` (scenes,) float64; NaN without a face.

        `error`: of all vertices in space; `error_flat`: in the photo's plane; `error_68`: in space, of the 68 points.
        """
        counted = weights[self.scenes]
        total = counted.sum()
        per_face = {
            "error": self.solid.mean(1),
            "error_flat": self.flat.mean(1),
            "error_68": self.solid[:, list(POINTS_68)].mean(1),
        }
        return {name: float(counted @ each / total) if total else float("nan") for name, each in per_face.items()}

    def mean_shape(self) -> np.ndarray:
        """Where the vertices lie on average, (468, 2): from the middle of the labeled box, in sizes of the face."""
        middles, sizes = (self.boxes[:, :2] + self.boxes[:, 2:]) / 2, _sizes(self.boxes)
        shape: np.ndarray = ((self.labeled[..., :2] - middles[:, None]) / sizes[:, None, None]).mean(0)
        return shape


def pair_meshes(seen: SplitDetections, manifest: Manifest, iou: float, score: float) -> MeshPairs | None:
    """Pair the meshes of a split as it was seen with the labeled ones; None where there is no such pair.

    A face is found by a detection of at least `score` that overlaps it by `iou` or more.
    """
    labels = read_meshes(manifest)
    pairs: list[tuple[np.ndarray, ...]] = []
    for i, (scene, candidates) in enumerate(zip(seen.scenes, seen.candidates, strict=True)):
        shown, boxes = candidates.above(score), labeled_boxes(scene)
        if labels is None or shown.meshes is None:
            return None
        claimed, first = match_detections(shown.boxes, boxes, iou)
        first &= claimed < len(scene.faces)  # the others are ignored boxes
        labeled = labels[scene.image][claimed[first]]
        known = np.isfinite(labeled).all((1, 2))
        faces = claimed[first][known]
        named = np.array([scene.faces[face].identity is not None for face in faces], bool)
        pairs.append((shown.meshes[first][known], labeled[known], boxes[faces], np.full(len(faces), i), named))
    seen_meshes = MeshPairs(*(np.concatenate(column) for column in zip(*pairs, strict=True)))
    return seen_meshes if len(seen_meshes.found) else None
