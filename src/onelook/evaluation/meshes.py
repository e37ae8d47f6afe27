"""Mesh error: how far the vertices of the faces found are off, as a share of the face's size."""

from dataclasses import dataclass, fields
from functools import cached_property

import numpy as np

from onelook.data.meshes import read_meshes
from onelook.data.scene import Manifest
from onelook.evaluation.matching import claim_faces
from onelook.evaluation.probes import FoundSplit, labelled_boxes
from onelook.geometry.mesh import NOSE_TIP, POINTS_68


def vertex_errors(found: np.ndarray, labelled: np.ndarray, boxes: np.ndarray) -> np.ndarray:
    """Distance of every vertex, divided by the square root of the labelled box's area.

    Depth is counted from the tip of the nose in both: a photo does not tell how far away a face is.

    Args:
        found, labelled: (n, 468, 3), or (n, 468, 2) for the distances in the photo's plane alone.
        boxes: (n, 4) labelled boxes.

    Returns:
        (n, 468) float64, NaN for a face without a labelled mesh.
    """
    apart = found.astype(np.float64) - labelled
    apart[..., 2:] -= apart[:, NOSE_TIP, None, 2:]
    return np.linalg.norm(apart, axis=-1) / _sizes(boxes)[:, None]


def _sizes(boxes: np.ndarray) -> np.ndarray:
    return np.sqrt((boxes[:, 2:].astype(np.float64) - boxes[:, :2]).prod(-1))


@dataclass(frozen=True, eq=False)
class SeenMeshes:
    """Every labelled face that was found and has a labelled mesh.

    Attributes:
        found, labelled: (n, 468, 3) float32 in pixels of the scene.
        boxes: (n, 4) float32, the labelled ones.
        scenes: (n,) int64, the scene of each face.
        named: (n,) bool, whether it is known who it is.
        solid, flat: (n, 468) float64, errors in space and in the photo's plane, as shares of the face's size.
    """

    found: np.ndarray
    labelled: np.ndarray
    boxes: np.ndarray
    scenes: np.ndarray
    named: np.ndarray

    @cached_property
    def solid(self) -> np.ndarray:
        return vertex_errors(self.found, self.labelled, self.boxes)

    @cached_property
    def flat(self) -> np.ndarray:
        return vertex_errors(self.found[..., :2], self.labelled[..., :2], self.boxes)

    def only(self, chosen: np.ndarray) -> "SeenMeshes":
        """Those of the faces that `chosen` (n,) bool marks."""
        return SeenMeshes(*(getattr(self, each.name)[chosen] for each in fields(self)))

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
        """Where the vertices lie on average, (468, 2): from the middle of the labelled box, in sizes of the face."""
        middles, sizes = (self.boxes[:, :2] + self.boxes[:, 2:]) / 2, _sizes(self.boxes)
        shape: np.ndarray = ((self.labelled[..., :2] - middles[:, None]) / sizes[:, None, None]).mean(0)
        return shape


def see_meshes(seen: FoundSplit, manifest: Manifest, iou: float, score: float) -> SeenMeshes | None:
    """Pair the meshes of a split as it was seen with the labelled ones; None where there is no such pair.

    A face is found by a detection of at least `score` that overlaps it by `iou` or more.
    """
    labels = read_meshes(manifest)
    pairs: list[tuple[np.ndarray, ...]] = []
    for i, (scene, candidates) in enumerate(zip(seen.scenes, seen.candidates, strict=True)):
        shown, boxes = candidates.above(score), labelled_boxes(scene)
        if labels is None or shown.meshes is None:
            return None
        claimed, first = claim_faces(shown.boxes, boxes, iou)
        first &= claimed < len(scene.faces)  # the others are ignored boxes
        labelled = labels[scene.image][claimed[first]]
        known = np.isfinite(labelled).all((1, 2))
        faces = claimed[first][known]
        named = np.array([scene.faces[face].identity is not None for face in faces], bool)
        pairs.append((shown.meshes[first][known], labelled[known], boxes[faces], np.full(len(faces), i), named))
    seen_meshes = SeenMeshes(*(np.concatenate(column) for column in zip(*pairs, strict=True)))
    return seen_meshes if len(seen_meshes.found) else None
