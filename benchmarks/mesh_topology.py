"""Derive the fixed triangles of the mesh.

Delaunay triangulation of the mean frontal face.

    python benchmarks/mesh_topology.py --data ../shared/data

Meshes of LFW training people are aligned by their eyes. The mean of the frontal ones is triangulated in the image
plane. Every vertex's mirror vertex is the one nearest to its mirror image. Writes
src/onelook/geometry/mesh_topology.json and prints how many edges a published topology of the same vertices shares.
"""

import argparse
import json
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.progress import track
from scipy.optimize import linear_sum_assignment
from scipy.spatial import Delaunay

from onelook.data.readers.lfw import read_lfw
from onelook.files import write_text
from onelook.geometry.alignment import similarity_transform
from onelook.geometry.mesh import EYE_CORNERS, NOSE_TIP
from onelook.inference.torch_predictor import public_detector
from onelook.model.mesh_teacher import MeshTeacher
from onelook.settings import DetectSettings, LfwSettings

PHOTOS = 3000
STRAIGHT = 0.08  # how far the nose tip may be from the middle, in distances of the eyes
TARGET = Path("src/onelook/geometry/mesh_topology.json")


def main() -> None:
    """Find meshes, average, triangulate, write and compare."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder that holds lfw/ and mesh/")
    arguments = parser.parse_args()
    mean = mean_face(arguments.data / "lfw")
    triangles = Delaunay(mean).simplices
    # All of them turn the same way: in the photo, y downwards, clockwise.
    a, b, c = (mean[triangles[:, i]] for i in range(3))
    across, down = (b - a).T, (c - a).T
    turned = across[0] * down[1] - across[1] * down[0] < 0
    triangles[turned] = triangles[turned][:, ::-1]
    triangles = triangles[np.lexsort(triangles.T[::-1])]
    distances = np.linalg.norm(mean[:, None] - (mean * (-1, 1))[None], axis=2)
    # Symmetric costs, but an assignment need not be its own inverse: keep pairs that choose each other.
    nearest = linear_sum_assignment(distances + distances.T)[1]
    twins = np.where(nearest[nearest] == np.arange(len(mean)), nearest, distances.argmin(1))
    write_text(TARGET, json.dumps({"triangles": triangles.tolist(), "twins": twins.tolist()}) + "\n")
    published = read_obj(arguments.data / "mesh/canonical_face_model.obj")
    ours, theirs = edges(triangles), edges(published)
    print(f"{len(triangles)} triangles, {len(ours)} edges; the published topology {len(published)} and {len(theirs)}")
    print(f"{len(ours & theirs)} edges are in both")
    print(f"{(twins[twins] == np.arange(len(mean))).sum()} of {len(mean)} vertices are their twin's twin")


def mean_face(root: Path) -> np.ndarray:
    """Return the mean frontal face (468, 2).

    Eyes level, their midpoint at the origin, one unit apart.
    """
    predictor, mesh_teacher = public_detector(), MeshTeacher()
    detect = DetectSettings(score=0.5, nms=0.4, longest_side=1280)
    reading = read_lfw(LfwSettings(path=str(root)))
    official = reading.official_splits or {}
    own = [portrait for portrait in reading.images if official[portrait.identity] == "train"]
    faces = []
    own = own[:: max(1, len(own) // PHOTOS)][:PHOTOS]
    for portrait in track(own, description="meshes", console=Console(stderr=True)):
        photo = portrait.read()
        found = predictor.predict([photo], detect, embed=False)[0]
        for box, landmarks in zip(found.boxes[:1], found.landmarks[:1], strict=True):
            vertices = mesh_teacher.predict(photo, box, landmarks)
            if vertices is not None:
                eyes = np.array([vertices[list(eye), :2].mean(0) for eye in EYE_CORNERS])
                transform = similarity_transform(eyes, np.array([[-0.5, 0.0], [0.5, 0.0]]))
                faces.append(vertices[:, :2] @ transform[:, :2].T + transform[:, 2])
    shapes = np.array(faces)
    return shapes[np.abs(shapes[:, NOSE_TIP, 0]) < STRAIGHT].mean(0)


def read_obj(path: Path) -> np.ndarray:
    """Read the triangles (m, 3) of a Wavefront OBJ file."""
    lines = [line.split() for line in path.read_text().splitlines() if line.startswith("f ")]
    return np.array([[int(corner.split("/")[0]) - 1 for corner in line[1:4]] for line in lines])


def edges(triangles: np.ndarray) -> set[tuple[int, int]]:
    """Return every edge once, the smaller vertex first."""
    sides = np.sort(np.concatenate([triangles[:, pair] for pair in ([0, 1], [1, 2], [2, 0])]), axis=1)
    return {(int(a), int(b)) for a, b in sides}


if __name__ == "__main__":
    main()
