"""Measure MTCNN after each of its networks on the test scenes: AP, recall, false positives, point error.

    dvc exp run -S 'baselines=[mtcnn]'
    python benchmarks/mtcnn_stages.py --scenes build/scenes --baselines build/baselines

Rows: P-Net, R-Net and O-Net of MTCNN as trained here, and of the public weights where the facenet-pytorch wheel is
installed. Each network gets the squares that the ones before it accept. Columns:

- AP and recall at IoU 0.5. P-Net and R-Net accept windows from their published probabilities on, 0.6 and 0.7. O-Net
  counts from 0.02 on in AP, as in the stage `evaluate`, and from 0.7 on in the other columns.
- False positives a photo, second windows on a face among them: of all accepted windows, and of the best ones down to
  the score where the network still has O-Net's recall.
- Point error: by the distance of the eyes, of the found faces. The public P-Net and R-Net predict no points.

--limit takes at most that many scenes: the figures are then partial. Prints a Markdown table.
"""

import argparse
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from device_option import add_device_option
from recognition_pairs import spread
from rich.console import Console
from rich.progress import track
from two_stage_systems import OURS, PUBLIC, open_public_mtcnn

from onelook.data.detection_scenes import DetectionImage
from onelook.data.image_io import read_image
from onelook.data.manifest import Manifest, read_manifest
from onelook.device import resolve_device
from onelook.errors import OnelookError
from onelook.evaluation.average_precision import DetectionOutcomes, evaluate_detections, match_detections
from onelook.evaluation.landmarks import interocular_errors
from onelook.evaluation.split_predictions import AP_MIN_SCORE
from onelook.inference.baseline_predictors import MtcnnPredictor, open_baselines
from onelook.inference.mtcnn_cascade import SCORES, run_cascade
from onelook.process import configure_process

NETWORKS = ("P-Net", "R-Net", "O-Net")
MATCH_IOU = 0.5

Row = dict[str, str]


@dataclass(frozen=True, eq=False)
class StageResult:
    """Windows that a network accepts in a set of photos, matched to its faces.

    Attributes:
        all_outcomes: down to the lowest score of AP.
        outcomes: down to the published score.
        errors: (n,) interocular point errors of the found faces.
    """

    all_outcomes: DetectionOutcomes
    outcomes: DetectionOutcomes
    errors: np.ndarray

    @property
    def found(self) -> int:
        """Return the number of found faces."""
        return int(self.outcomes.is_true_positive.sum())

    def false_positives(self, found: int | None = None) -> int | None:
        """Return the number of false positives, of the best windows that find `found` faces; None where fewer are."""
        hits = np.cumsum(self.outcomes.is_true_positive)
        if found is None:
            return len(hits) - self.found
        if found > self.found:
            return None
        last = int(np.searchsorted(hits, found))
        return 0 if found == 0 else last + 1 - found


def main() -> None:
    """Measure the networks and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--scenes", type=Path, required=True, help="folder that the stage prepare wrote")
    parser.add_argument("--baselines", type=Path, required=True, help="folder that the stage baselines wrote")
    parser.add_argument("--limit", type=int, help="most scenes")
    add_device_option(parser)
    arguments = parser.parse_args()
    configure_process()
    try:
        device = resolve_device(arguments.device)
        mtcnn = open_baselines(arguments.baselines, device).get("mtcnn")
        if not isinstance(mtcnn, MtcnnPredictor):
            raise OnelookError(f"{arguments.baselines}: has no mtcnn; `dvc exp run -S baselines=[mtcnn]`")
        photos = spread(test_photos(read_manifest(arguments.scenes)), arguments.limit)
        print(f"{len(photos)} test scenes, {sum(len(photo.faces) for photo in photos)} faces.\n")
        predictors = {OURS: mtcnn} | ({} if (public := open_public_mtcnn(device)) is None else {PUBLIC: public})
        print_table([row for name, each in predictors.items() for row in stage_rows(name, each, photos)])
    except OnelookError as error:
        sys.exit(str(error))


def test_photos(manifest: Manifest) -> list[DetectionImage]:
    """Return the test scenes of a manifest."""
    return [
        DetectionImage(manifest.path(scene), "test", scene.faces, scene.ignored, scene.source, scene.license)
        for scene in manifest.select("test")
    ]


def stage_rows(name: str, predictor: MtcnnPredictor, photos: Sequence[DetectionImage]) -> list[Row]:
    """Return the rows of a system, one for each network."""
    results = [
        measure_stage(predictor, count, photos, f"{network}, {name}") for count, network in enumerate(NETWORKS, 1)
    ]
    rows: list[Row] = []
    for network, result in zip(NETWORKS, results, strict=True):
        faces = int(result.outcomes.face_counts.sum())
        kept = result.false_positives(results[-1].found)
        rows.append(
            {
                "system": name,
                "after": network,
                "AP": f"{result.all_outcomes.average_precision():.3f}",
                "recall": f"{result.found / max(faces, 1):.3f}",
                "false positives a photo": f"{(result.false_positives() or 0) / max(len(photos), 1):.2f}",
                "at O-Net's recall": "–" if kept is None else f"{kept / max(len(photos), 1):.2f}",
                "point error": f"{result.errors.mean():.4f}" if len(result.errors) else "–",
            }
        )
    return rows


def measure_stage(
    predictor: MtcnnPredictor, count: int, photos: Sequence[DetectionImage], description: str
) -> StageResult:
    """Run the first `count` networks on photos."""
    networks = list(predictor.mtcnn.networks)[:count]
    lowest = (*SCORES[:2], AP_MIN_SCORE)
    device = next(networks[0].parameters()).device
    has_points = bool(networks[-1].get_parameter("landmarks.weight").any())
    boxes, scores, faces, ignored = [], [], [], []
    errors = [np.zeros(0)]
    for photo in track(photos, description=description, transient=True, console=Console(stderr=True)):
        pixels = torch.from_numpy(np.ascontiguousarray(read_image(photo.path).transpose(2, 0, 1)))[None].to(device)
        found = run_cascade(networks, pixels, lowest, predictor.min_face)
        is_valid = found.is_valid[0]
        boxes.append(found.boxes[0][is_valid].cpu().numpy())
        scores.append(found.scores[0][is_valid].cpu().numpy())
        labeled = np.array([face.box for face in photo.faces], np.float32).reshape(-1, 4)
        faces.append(np.concatenate([labeled, photo.ignored]))
        ignored.append(np.arange(len(faces[-1])) >= len(labeled))
        if has_points:
            is_accepted = scores[-1] >= SCORES[count - 1]
            points = found.landmarks[0][is_valid].cpu().numpy()[is_accepted]
            matches, is_first = match_detections(boxes[-1][is_accepted], faces[-1], MATCH_IOU)
            is_first &= matches < len(labeled)
            marked = np.array([face.landmarks for face in photo.faces], np.float32).reshape(-1, 5, 2)
            errors.append(interocular_errors(points[is_first], marked[matches[is_first]]))
    own = np.concatenate(errors)
    accepted = [each >= SCORES[count - 1] for each in scores]
    return StageResult(
        evaluate_detections(boxes, scores, faces, MATCH_IOU, ignored),
        evaluate_detections(
            [each[rows] for each, rows in zip(boxes, accepted, strict=True)],
            [each[rows] for each, rows in zip(scores, accepted, strict=True)],
            faces,
            MATCH_IOU,
            ignored,
        ),
        own[np.isfinite(own)],
    )


def print_table(rows: Sequence[Row]) -> None:
    """Print rows as Markdown."""
    columns = list(rows[0]) if rows else []
    print(f"| {' | '.join(columns)} |\n|{'---|' * len(columns)}")
    for row in rows:
        print(f"| {' | '.join(row[column] for column in columns)} |", flush=True)


if __name__ == "__main__":
    main()
