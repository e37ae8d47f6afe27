"""Measure a mesh head: its own error.

And its effect on boxes and points. Three kinds, one table.

    python benchmarks/mesh_head.py --data ../shared/data [--jobs 2] [--out build/mesh_head]

LFW's development training people; every face gets a mesh from the labeling network. The released weights' detector is
trained further with a mesh head and without one, three times each, and a mesh head alone on the frozen detector. Mesh
error is measured on photos of LFW's development test people against the same labeling network; AP on 103 WIDER FACE
photos; AP and landmark error on web photos with boxes and points by human annotators. Missing trainings run as DVC
experiments; the table in docs/mesh.md is rewritten.
"""

import argparse
import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
from detection_retention import wider_ap, wider_photos
from dvc_experiments import Kind, fetch, fetch_model, format_commands, run_experiments
from rich.progress import track

from onelook.data.detection_scenes import DetectionImage
from onelook.data.image_io import read_image
from onelook.data.manifest import Manifest, read_manifest
from onelook.data.readers.json_annotations import read_json_annotations
from onelook.detections import Detections
from onelook.evaluation.average_precision import evaluate_detections, match_detections
from onelook.evaluation.bootstrap import paired_difference
from onelook.evaluation.landmarks import interocular_errors
from onelook.evaluation.mesh_error import MeshPairs, pair_meshes
from onelook.evaluation.split_predictions import SplitDetections, detect_faces
from onelook.files import write_json
from onelook.inference.loading import load_torch_predictor
from onelook.inference.torch_predictor import TorchPredictor
from onelook.settings import DetectSettings, JsonAnnotationsSettings, SplitFractions

REPEATS = 3
DOCUMENT = Path("docs/mesh.md")
BEGIN, END = "<!-- made by benchmarks/mesh_head.py -->", "<!-- end -->"
DETECT = DetectSettings(score=0.02, nms=0.4, longest_side=1280)
SHOWN = 0.5  # lowest score of a face whose points and mesh are looked at
IOU = 0.5
WIDER_SIDE = 640
COLUMNS = {
    "mesh": "mesh error, % of the face size",
    "mesh_flat": "… in the image plane, %",
    "mesh_68": "… of the 68 landmarks, %",
    "mesh_all": "… of all detected faces, %",
    "wider_ap": "WIDER AP .5, %",
    "web_ap": "web AP .5, %",
    "web_nme": "web landmark error, % of the eye distance",
}
ROWS = {
    "without-mesh": "boxes and landmarks, one epoch",
    "with-mesh": "boxes, landmarks and mesh, one epoch",
    "frozen-with-mesh": "mesh alone, on the frozen detector, four epochs",
}

Figures = dict[str, float]


def kinds(data: Path) -> dict[str, Kind]:
    """Return the three kinds of training."""
    common = (
        "base.threads=1",  # two experiments share two cores better than two threads share an experiment
        "prepare.reader=lfw",
        f"prepare.lfw.path={data.resolve() / 'lfw'}",
        "prepare.compose_scenes=false",
        "prepare.annotate.upscale=1",
        "prepare.split.train=0.7",
        "prepare.split.validation=0.04",
        "prepare.split.test=0.26",
        "prepare.enrollment_images=1",
        "prepare.mesh_labels=true",
        "train.tasks=detection",
        "train.batch_size=16",
        "train.learning_rate=0.005",
        "train.augment.crop_size=256",
        "train.augment.zoom=[0.25,1.5]",
    )
    changes = {
        "without-mesh": ("train.epochs=1", "train.backbone_lr_mult=0.02"),
        "with-mesh": ("train.epochs=1", "train.backbone_lr_mult=0.02", "model.mesh=true"),
        # Much cheaper: nothing is computed to change the detector.
        "frozen-with-mesh": ("train.epochs=4", "train.backbone_lr_mult=0", "model.mesh=true"),
    }
    return {name: Kind(name, common, own, 1 if "frozen" in name else REPEATS) for name, own in changes.items()}


def main() -> None:
    """Train, measure and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder that holds lfw/, widerface/ and scenes/")
    parser.add_argument("--jobs", type=int, default=2, help="experiments at a time, a thread each")
    parser.add_argument("--out", type=Path, default=Path("build/mesh_head"), help="models, scenes and metrics")
    arguments = parser.parse_args()
    torch.set_num_threads(1)  # nothing is timed, and two threads of a busy machine wait for each other
    trained = kinds(arguments.data)
    run_experiments(list(trained.values()), arguments.jobs)
    manifest = read_manifest(fetch(trained["with-mesh"].experiment(0), "build/scenes", arguments.out / "scenes"))
    bench = Bench(arguments.data, manifest)
    metrics: dict[str, list[Figures]] = {}
    for name, kind in trained.items():
        for repeat in range(kind.repeats):
            model = fetch_model(kind.experiment(repeat), arguments.out / "models")
            place = arguments.out / "metrics" / f"{model.name}.json"
            if not place.exists():
                place.parent.mkdir(parents=True, exist_ok=True)
                write_json(place, bench.measure(load_torch_predictor(model)))
            metrics.setdefault(name, []).append(json.loads(place.read_text(encoding="utf-8")))
    table = "\n\n".join(
        [
            bench.describe(),
            write_table(metrics),
            write_difference(metrics),
            format_commands({ROWS[name]: kind for name, kind in trained.items()}),
        ]
    )
    before, rest = DOCUMENT.read_text(encoding="utf-8").split(BEGIN)
    DOCUMENT.write_text(f"{before}{BEGIN}\n\n{table}\n\n{END}{rest.split(END)[1]}", encoding="utf-8")
    print(table)


class Bench:
    """The photos that everything is measured on; nobody in them is in the training."""

    def __init__(self, data: Path, manifest: Manifest) -> None:
        self.manifest = manifest
        self.wider = list(wider_photos(data / "widerface"))
        shares = SplitFractions(
            train=0.01, validation=0.01, test=0.98
        )  # which are not used: all photos are measured on
        self.web = read_json_annotations(JsonAnnotationsSettings(path=str(data / "scenes")), shares, 0).photos

    def measure(self, predictor: TorchPredictor) -> Figures:
        """Return all metrics of a network, in per cent."""
        boxes_and_points = {
            "wider_ap": 100 * wider_ap(predictor, self.wider, WIDER_SIDE),
            **web_metrics(predictor, self.web),
        }
        meshes = self.pair_meshes(predictor) if predictor.has_mesh_head else None
        if meshes is None:
            return boxes_and_points
        # Whoever stands behind the person of a photo has no name, and might be in the training.
        once = np.ones(len(self.manifest.select("test")))
        own, all_found = meshes.select(meshes.has_identity).metrics(once), meshes.metrics(once)
        named = {"mesh": own["error"], "mesh_flat": own["error_flat"], "mesh_68": own["error_68"]}
        named["mesh_all"] = all_found["error"]
        return boxes_and_points | {name: 100 * value for name, value in named.items()}

    def pair_meshes(self, predictor: TorchPredictor) -> MeshPairs | None:
        """Return the found and labeled meshes of the test people's faces."""
        scenes = self.manifest.select("test")
        found = detect_faces(predictor, self.manifest, scenes, DETECT, lambda photos: None, embed=False)
        return pair_meshes(SplitDetections(scenes, found), self.manifest, IOU, SHOWN)

    def describe(self) -> str:
        """Describe the data that was measured on."""
        scenes = self.manifest.select("test")
        people = len({face.identity for scene in scenes for face in scene.faces} - {None})
        faces = sum(len(photo.faces) for photo in self.web)
        return (
            f"Meshes: faces of {people} people in {len(scenes)} photos, none of whom is in the training set. Boxes: "
            f"{len(self.wider)} WIDER FACE photos at a longest side of {WIDER_SIDE} pixels, and {len(self.web)} web "
            f"photos with {faces} faces."
        )


def web_metrics(predictor: TorchPredictor, photos: Sequence[DetectionImage]) -> Figures:
    """Return AP and the error of eyes and nose over the eye distance, in per cent."""
    found, labeled, ignored, errors = [], [], [], []
    for photo in track(photos, description="web photos", transient=True):
        detections = predictor.predict([read_image(photo.path)], DETECT, embed=False)[0]
        boxes = np.array([face.box for face in photo.faces], np.float32).reshape(-1, 4)
        found.append(detections)
        labeled.append(np.concatenate([boxes, photo.ignored]))
        ignored.append(np.arange(len(labeled[-1])) >= len(boxes))
        errors.append(point_errors(detections.above(SHOWN), photo, boxes))
    outcomes = evaluate_detections(
        [each.boxes for each in found], [each.scores for each in found], labeled, IOU, ignored=ignored
    )
    return {"web_ap": 100 * outcomes.average_precision(), "web_nme": 100 * float(np.nanmean(np.concatenate(errors)))}


def point_errors(detections: Detections, photo: DetectionImage, boxes: np.ndarray) -> np.ndarray:
    """Return the mean distance (n,) of the labeled points of found faces."""
    claimed, first = match_detections(detections.boxes, boxes, IOU)
    points = np.array([face.landmarks for face in photo.faces], np.float32).reshape(-1, 5, 2)
    return interocular_errors(detections.landmarks[first], points[claimed[first]])


def write_table(metrics: Mapping[str, Sequence[Figures]]) -> str:
    """Print a row a kind: mean of the repeats, and the lowest and highest of them."""
    lines = [f"| what was trained | {' | '.join(COLUMNS.values())} |", "|---" * (1 + len(COLUMNS)) + "|"]
    for name, told in ROWS.items():
        cells = [_shown([row[column] for row in metrics[name] if column in row]) for column in COLUMNS]
        lines.append(f"| {told} | {' | '.join(cells)} |")
    return "\n".join(lines)


def write_difference(metrics: Mapping[str, Sequence[Figures]]) -> str:
    """Print the effect of the mesh head on boxes and points, in points of per cent."""
    columns = [column for column in COLUMNS if not column.startswith("mesh")]
    lines = [f"| with the mesh minus without, points | {' | '.join(COLUMNS[each] for each in columns)} |"]
    lines.append("|---" * (1 + len(columns)) + "|")
    cells = []
    for column in columns:
        ours, theirs = ([row[column] for row in metrics[each]] for each in ("with-mesh", "without-mesh"))
        mean, low, high = paired_difference(ours, theirs)
        cells.append(f"{mean:+.2f} [{low:+.2f}, {high:+.2f}]")
    lines.append(f"| mean of {REPEATS} repeats, 95 % interval | {' | '.join(cells)} |")
    return "\n".join(lines)


def _shown(values: Sequence[float]) -> str:
    if not values:
        return "–"
    return f"{values[0]:.2f}" if len(values) == 1 else f"{np.mean(values):.2f} [{min(values):.2f}, {max(values):.2f}]"


if __name__ == "__main__":
    main()
