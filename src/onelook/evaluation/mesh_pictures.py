"""Pictures of meshes: where on a face they err, and how they lie on faces found."""

from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter

from onelook.data.image_io import read_image
from onelook.data.manifest import Manifest, Scene
from onelook.drawing import GREEN, SKY, draw_faces, draw_mesh, tile
from onelook.evaluation.mesh_error import MeshPairs
from onelook.geometry.alignment import apply_transform, crop_square
from onelook.geometry.mesh import triangles

_SHOWN = 18
_COLUMNS = 6
_CELL = 240
_AROUND = 1.5  # side of what is shown of a scene, in sides of the box


def draw_vertex_errors(shape: np.ndarray, errors: np.ndarray, title: str) -> Figure:
    """The mean face (468, 2), y downwards, colored by the mean error (468,) of its vertices."""
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


def mesh_sheet(manifest: Manifest, scenes: Sequence[Scene], meshes: MeshPairs) -> np.ndarray:
    """Faces found, from the least error to the largest, evenly spaced: RGB uint8 (H, W, 3).

    Each pair: the mesh found in blue, above the labeled one in green.
    """
    order = meshes.solid.mean(1).argsort()
    chosen = order[np.unique(np.linspace(0, len(order) - 1, _SHOWN).astype(int))]
    cells = []
    for row in chosen:
        photo = read_image(manifest.path(scenes[meshes.scenes[row]]))
        label = f"{meshes.solid[row].mean():.1%}"
        pair = [
            _cell(photo, meshes.boxes[row], meshes.found[row], SKY, label),
            _cell(photo, meshes.boxes[row], meshes.labeled[row], GREEN, "label"),
        ]
        cells.append(np.concatenate(pair))
    return tile(cells, _COLUMNS, _COLUMNS * (_CELL + 4) + 4)


def _cell(
    photo: np.ndarray, box: np.ndarray, vertices: np.ndarray, color: tuple[int, int, int], label: str
) -> np.ndarray:
    """The surroundings of a face with a mesh upon it, (side, side, 3)."""
    shown, transform = crop_square(photo, box, _AROUND, _CELL)
    picture = draw_mesh(shown, apply_transform(transform, vertices[:, :2]), color)
    corner = np.array([[0, 0, _CELL, _CELL]], np.float32)
    return draw_faces(picture, corner, labels=[label], colors=[color])
