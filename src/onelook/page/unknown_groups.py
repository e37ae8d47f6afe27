"""Groups of unrecognized faces: the same unknown person in several photos."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from onelook.gallery.clustering import cluster_faces, is_clusterable
from onelook.gallery.data import GalleryMetadata
from onelook.page.photos import Face
from onelook.page.wording import suggested_name

MAX_ENROLLED = 16
"""Best faces of a group that are enrolled: more hardly improve a template."""


@dataclass(frozen=True, eq=False)
class FaceGroup:
    """Faces that look like one person, the best first.

    Attributes:
        faces: the faces.
        suggestion: the enrolled person that they may well be, or None.
    """

    faces: tuple[Face, ...]
    suggestion: str | None


@dataclass(frozen=True, eq=False)
class UnknownFaces:
    """The unrecognized faces of many photos.

    Attributes:
        groups: groups of two and more faces, the largest first.
        singles: faces that are in one photo only, the best first.
        poor: number of further faces, too small, blurred or turned away to be grouped.
    """

    groups: tuple[FaceGroup, ...]
    singles: tuple[Face, ...]
    poor: int


def group_unknown_faces(faces: Sequence[Face], metadata: GalleryMetadata) -> UnknownFaces:
    """Cluster the unrecognized ones of these faces.

    A face that occurs twice, because a photo was opened under two names, counts once.
    """
    unrecognized = {face.pending.digest: face for face in faces if face.identified.name is None}
    usable = [face for face in unrecognized.values() if is_clusterable(face.pending.quality, metadata.unusable)]
    poor = len(unrecognized) - len(usable)
    if not usable:
        return UnknownFaces((), (), poor)
    weights = np.asarray([face.pending.quality.weight for face in usable])
    labels = cluster_faces(np.stack([face.pending.embedding for face in usable]), weights, metadata)
    clusters: dict[int, list[Face]] = {}
    for i in np.argsort(-weights, kind="stable"):
        clusters.setdefault(int(labels[i]), []).append(usable[i])
    groups = sorted((cluster for cluster in clusters.values() if len(cluster) > 1), key=len, reverse=True)
    singles = tuple(cluster[0] for cluster in clusters.values() if len(cluster) == 1)
    return UnknownFaces(tuple(FaceGroup(tuple(group), _suggest(group)) for group in groups), singles, poor)


def _suggest(group: Sequence[Face]) -> str | None:
    """Return the most confident suggestion for a face of a group, unless a face is known not to be that person."""
    likely = [face.identified for face in group if suggested_name(face.identified) is not None]
    if not likely:
        return None
    name = max(likely, key=lambda face: face.confidence or 0.0).nearest
    return None if any(face.identified.rejected and face.identified.nearest == name for face in group) else name
