"""Time the rendering of a face.

Milliseconds a face, forward and backward, on one thread.

    python benchmarks/dense_rendering.py

The mean face of `build/scenes` (prepare.mesh_labels and prepare.morphable_model: true), rendered as in training;
medians.
"""

import argparse
from pathlib import Path
from statistics import median
from time import perf_counter

import torch

from onelook.data.manifest import read_manifest
from onelook.data.morphable_model import read_morphable_model
from onelook.geometry.alignment import REFERENCE_LANDMARKS
from onelook.geometry.anchors import LIGHT_LEVELS
from onelook.geometry.mesh import NUM_SHAPE_PARAMETERS
from onelook.model.dense_head import DenseHead, render_boxes
from onelook.training.rendered_faces import MAX_RENDERED_FACES

RUNS = 15
SIDES = (32, 48, 64)


def main() -> None:
    """Time and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--scenes", type=Path, default=Path("build/scenes"), help="folder that prepare wrote")
    torch.set_num_threads(1)
    torch.manual_seed(0)
    scenes: Path = parser.parse_args().scenes
    basis = read_morphable_model(read_manifest(scenes))
    if basis is None:
        parser.error(
            f"{scenes}: no basis; set prepare.mesh_labels and prepare.morphable_model: true and run `dvc repro prepare`"
        )
    head = DenseHead(8, LIGHT_LEVELS)
    head.decoder.set_morphable_model(*map(torch.from_numpy, basis))
    numbers = torch.cat(
        [torch.randn(MAX_RENDERED_FACES, NUM_SHAPE_PARAMETERS) * 0.5, torch.zeros(MAX_RENDERED_FACES, 16)], 1
    ).requires_grad_()
    landmarks = torch.from_numpy(REFERENCE_LANDMARKS).expand(MAX_RENDERED_FACES, 5, 2)
    boxes = torch.tensor([[16.0, 10, 96, 112]]).expand(MAX_RENDERED_FACES, 4)
    for side in SIDES:
        rows = [_times(head, numbers, landmarks, boxes, side) for _ in range(RUNS)]
        decoding, rendering, backwards = (
            1000 * median(column) / MAX_RENDERED_FACES for column in zip(*rows, strict=True)
        )
        print(f"{side} pixels: decode {decoding:.2f}, render {rendering:.2f}, backwards {backwards:.2f} ms a face")


def _times(
    head: DenseHead, numbers: torch.Tensor, landmarks: torch.Tensor, boxes: torch.Tensor, side: int
) -> tuple[float, float, float]:
    """Return the seconds to decode, to render and to backpropagate.

    For all faces at once.
    """
    start = perf_counter()
    faces = head.decode(numbers, landmarks)
    decoded = perf_counter()
    pictures = render_boxes(faces, boxes, side).images
    rendered = perf_counter()
    pictures.sum().backward()
    return decoded - start, rendered - decoded, perf_counter() - rendered


if __name__ == "__main__":
    main()
