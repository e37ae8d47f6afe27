"""Pictures of mesh errors: the mean error of each vertex, and predicted meshes on detected faces."""

from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter

from onelook.data.image_io import read_image
from onelook.data.manifest import Manifest, Scene
from onelook.drawing import GREEN, SKY, draw_boxes, draw_mesh, fill_triangles, tile_images
from onelook.evaluation.mesh_error import MeshPairs
from onelook.geometry.alignment import apply_transform, crop_square
from onelook.geometry.mesh import mesh_to_landmarks, triangles
from onelook.geometry.mesh_location import locate_points

_SHOWN = 18
_COLUMNS = 6
_CELL = 240
_EXTENT = 1.5  # side of the cropped square, in sides of the box


def plot_vertex_errors(shape: np.ndarray, errors: np.ndarray, title: str) -> Figure:
    """Plot the mean face (468, 2), y down, colored by the mean errors (468,)."""
    figure = Figure(figsize=(6, 6), layout="constrained")
    axes = figure.add_subplot()
    axes.set_title(title, fontsize=11)
    colored = axes.tripcolor(shape[:, 0], shape[:, 1], triangles(), errors, shading="gouraud", cmap="cividis", vmin=0)
    axes.triplot(shape[:, 0], shape[:, 1], triangles(), color="white", linewidth=0.2)
    axes.set_aspect("equal")
    axes.invert_yaxis()
    axes.axis("off")
    bar = figure.colorbar(colored, ax=axes, format=PercentFormatter(1, decimals=1), shrink=0.8)
    bar.set_label("mean error / face size")
    return figure


def draw_mesh_sheet(manifest: Manifest, scenes: Sequence[Scene], meshes: MeshPairs) -> np.ndarray:
    """Draw faces from the smallest to the largest error, RGB uint8 (H, W, 3).

    They are evenly spaced by rank. The predicted mesh (blue) lies above the labeled one (green). Orange are the
    triangles of the predicted mesh that lie at the eyes, the nose and the mouth of the labeled one, and the same
    triangles of the label: they show which part of the face the predicted mesh has at these pixels.
    """
    order = meshes.errors_3d.mean(1).argsort()
    selected = order[np.unique(np.linspace(0, len(order) - 1, _SHOWN).astype(int))]
    cells = []
    for row in selected:
        image = read_image(manifest.path(scenes[meshes.scenes[row]]))
        label = f"{meshes.errors_3d[row].mean():.1%}"
        predicted, labeled = meshes.predicted[row], meshes.labeled[row]
        located = locate_points(mesh_to_landmarks(labeled), predicted, triangles()).triangles
        filled = triangles()[located[located >= 0]]
        pair = [
            _draw_cell(image, meshes.boxes[row], predicted, filled, SKY, label),
            _draw_cell(image, meshes.boxes[row], labeled, filled, GREEN, "label"),
        ]
        cells.append(np.concatenate(pair))
    return tile_images(cells, _COLUMNS, _COLUMNS * (_CELL + 4) + 4)


def _draw_cell(
    image: np.ndarray,
    box: np.ndarray,
    vertices: np.ndarray,
    filled: np.ndarray,
    color: tuple[int, int, int],
    label: str,
) -> np.ndarray:
    """Draw a mesh with filled triangles (k, 3; vertex indices) on the square around a face, (side, side, 3)."""
    crop, transform = crop_square(image, box, _EXTENT, _CELL)
    placed = apply_transform(transform, vertices[:, :2])
    picture = fill_triangles(draw_mesh(crop, placed, color), placed[filled])
    corner = np.array([[0, 0, _CELL, _CELL]], np.float32)
    return draw_boxes(picture, corner, labels=[label], colors=[color])
