"""Measure the parts of RefineFace beside a plain cascade and no cascade.

    python benchmarks/refineface.py --scenes build/scenes [--jobs 2] [--out build/refineface]

The base is a small full form: MobileNet-0.25, P2 to P6, context modules, boxes and landmarks. Every row is trained
three times on the prepared scenes, from random weights; a finished training is not repeated. The table in
docs/ablation.md is rewritten. Faces are small below the largest anchor of the fine levels, whose boxes the selective
cascade does not refine.
"""

import argparse
import json
from collections.abc import Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
import torch

from onelook.data.manifest import Manifest, read_manifest
from onelook.data.scene_dataset import SceneDataset
from onelook.evaluation.average_precision import evaluate_detections
from onelook.evaluation.bootstrap import paired_difference
from onelook.evaluation.landmarks import landmark_metrics
from onelook.evaluation.probe_set import labeled_boxes
from onelook.evaluation.split_predictions import AP_IOU, SplitDetections, detect_split
from onelook.files import write_json
from onelook.geometry.anchors import FULL_LEVELS, is_coarse_level
from onelook.geometry.boxes import box_sizes
from onelook.inference.loading import load_torch_predictor
from onelook.model.joint_network import JointNetwork
from onelook.model.serialization import save_model
from onelook.reproducibility import seed_everything
from onelook.settings import Settings, load_settings
from onelook.training.callbacks import Callbacks
from onelook.training.loop import Trainer

DOCUMENT = Path("docs/ablation.md")
BEGIN, END = "<!-- made by benchmarks/refineface.py -->", "<!-- end of refineface.py -->"
REPEATS = 3
COMMON: Mapping[str, Any] = {
    "base.threads": 1,
    "prepare.mesh_labels": False,
    "model.pyramid_levels": "full",
    "model.fpn_channels": 32,
    "model.init": "random",
    "train.tasks": "detection",
    "train.epochs": 2,
    "train.batch_size": 4,
    "train.learning_rate": 0.003,
    "train.backbone_lr_mult": 1.0,
    "train.augment.crop_size": 192,
}
SECOND_STAGE = {"train.matching.positive": 0.5, "train.matching.negative": 0.4}
SELECTIVE = {"model.cascade": "selective"}
# The first row is what the others are compared with.
ROWS: Mapping[str, tuple[str, Mapping[str, Any]]] = {
    "none": ("no cascade", {}),
    "all": ("cascade: all", {"model.cascade": "all"}),
    "selective": ("cascade: selective", SELECTIVE),
    "thresholds": ("no cascade, thresholds of the second stage", SECOND_STAGE),
    "rfe": ("no cascade, context: rfe", {"model.context": "rfe"}),
    "margin": ("no cascade, scale margin 1", {"train.matching.scale_margin": 1.0}),
    "supervision": ("no cascade, feature supervision", {"train.weights.feature_supervision": 1.0}),
}
FIGURES = {"ap": "AP .5", "small": "AP .5, small faces", "large": "AP .5, large faces", "nme": "landmark error"}
# Side of the faces between the largest fine and the smallest coarse anchors, in pixels.
LARGE = float(
    np.sqrt(
        max(size for level in FULL_LEVELS if not is_coarse_level(level) for size in level.sizes)
        * min(size for level in FULL_LEVELS if is_coarse_level(level) for size in level.sizes)
    )
)

Figures = dict[str, float]


def main() -> None:
    """Train, measure and write the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--scenes", type=Path, default=Path("build/scenes"), help="folder that prepare wrote")
    parser.add_argument("--rows", nargs="+", default=list(ROWS), choices=list(ROWS), help="rows of the table")
    parser.add_argument("--jobs", type=int, default=2, help="trainings at a time, a thread each")
    parser.add_argument("--out", type=Path, default=Path("build/refineface"), help="models and metrics")
    arguments = parser.parse_args()
    jobs = [(name, repeat, arguments.scenes, arguments.out) for repeat in range(REPEATS) for name in arguments.rows]
    with ProcessPoolExecutor(arguments.jobs, get_context("spawn")) as executor:
        measured = dict(zip([job[:2] for job in jobs], executor.map(run_job, *zip(*jobs, strict=True)), strict=True))
    metrics = {name: [measured[name, repeat] for repeat in range(REPEATS)] for name in arguments.rows}
    text = "\n\n".join([describe(read_manifest(arguments.scenes)), write_table(metrics)])
    print(text)
    before, rest = DOCUMENT.read_text(encoding="utf-8").split(BEGIN)
    DOCUMENT.write_text(f"{before}{BEGIN}\n\n{text}\n\n{END}{rest.split(END)[1]}", encoding="utf-8")


def run_job(name: str, repeat: int, scenes: Path, out: Path) -> Figures:
    """Train and measure a row once, unless its metrics are there."""
    place = out / f"{name}-{repeat}"
    if not (place / "metrics.json").exists():
        torch.set_num_threads(1)
        settings = row_settings(name, repeat)
        manifest = read_manifest(scenes)
        if not (place / "model").exists():
            save_model(place / "model", train(manifest, settings, place / "checkpoints"))
        write_json(place / "metrics.json", measure(place / "model", manifest, settings))
    figures: Figures = json.loads((place / "metrics.json").read_text(encoding="utf-8"))
    return figures


def row_settings(name: str, repeat: int) -> Settings:
    """Return the settings of a row; each repeat has another seed."""
    tree = load_settings(Path("params.yaml")).model_dump()
    tree["base"]["seed"] += repeat
    for path, value in {**COMMON, **ROWS[name][1]}.items():
        *sections, key = path.split(".")
        section = tree
        for each in sections:
            section = section[each]
        section[key] = value
    return Settings.model_validate(tree)


def train(manifest: Manifest, settings: Settings, checkpoints: Path) -> JointNetwork:
    """Train to the last epoch; nothing is selected on the validation split."""
    seed_everything(settings.base)
    scenes = SceneDataset(manifest, settings.train.augment, settings.base.seed)
    trainer = Trainer(JointNetwork(settings.model), scenes, settings)
    trainer.run(checkpoints, "refineface", Callbacks(lambda network: {"selection_metric": 0.0}))
    return trainer.network


def measure(model: Path, manifest: Manifest, settings: Settings) -> Figures:
    """Return the metrics of a network on the test photos, in per cent.

    The landmark error of a network without a detection above the threshold is left out.
    """
    detections = detect_split(load_torch_predictor(model), manifest, "test", settings.detect)
    errors = detections.landmark_errors(settings.evaluate.iou, settings.detect.score)
    figures = {
        "ap": detections.outcomes().average_precision(),
        "small": ap_of_sizes(detections, 0, LARGE),
        "large": ap_of_sizes(detections, LARGE, np.inf),
        "nme": landmark_metrics(errors.size_normalized)["nme"],
    }
    return {name: 100 * value for name, value in figures.items() if np.isfinite(value)}


def ap_of_sizes(detections: SplitDetections, low: float, high: float) -> float:
    """Return AP on the faces of sizes from `low` to below `high`.

    Other faces and detections of other sizes are ignored.
    """
    boxes, scores, faces, ignored = [], [], [], []
    for scene, found in zip(detections.scenes, detections.candidates, strict=True):
        labeled = labeled_boxes(scene)
        sizes, found_sizes = box_sizes(labeled), box_sizes(found.boxes)
        own = (found_sizes >= low) & (found_sizes < high)
        boxes.append(found.boxes[own])
        scores.append(found.scores[own])
        faces.append(labeled)
        ignored.append((np.arange(len(labeled)) >= len(scene.faces)) | (sizes < low) | (sizes >= high))
    return evaluate_detections(boxes, scores, faces, AP_IOU, ignored).average_precision()


def describe(manifest: Manifest) -> str:
    """Describe trainings and test photos."""
    test = manifest.select("test")
    sizes = np.array([face.size for scene in test for face in scene.faces])
    steps = COMMON["train.epochs"] * len(manifest.select("train")) // COMMON["train.batch_size"]
    changes = ", ".join(f"`{name}={value}`" for name, value in COMMON.items())
    return (
        f"Each row: {REPEATS} trainings of {steps} steps of {COMMON['train.batch_size']} scenes with {changes}. "
        f"Measured on {len(test)} scenes with {len(sizes)} faces, {int((sizes < LARGE).sum())} of them small "
        f"(below {LARGE:.0f} pixels). Brackets: lowest and highest of the trainings; of differences, in points, 95 % "
        "intervals (Student t)."
    )


def write_table(metrics: Mapping[str, Sequence[Figures]]) -> str:
    """Print a row a kind: the mean of its trainings, and its difference to the first row."""
    first = next(iter(metrics))
    lines = [f"| | {' | '.join(f'{label}, % | difference' for label in FIGURES.values())} |"]
    lines.append("|---" * (1 + 2 * len(FIGURES)) + "|")
    for name, repeats in metrics.items():
        cells = []
        for figure in FIGURES:
            own, base = ([row[figure] for row in rows if figure in row] for rows in (repeats, metrics[first]))
            cells.append(f"{np.mean(own):.1f} [{min(own):.1f}, {max(own):.1f}]" if own else "–")
            if name == first or len(own) < REPEATS or len(base) < REPEATS:
                cells.append("–")
                continue
            mean, low, high = paired_difference(own, base)
            cells.append(f"{mean:+.1f} [{low:+.1f}, {high:+.1f}]")
        lines.append(f"| {ROWS[name][0]} | {' | '.join(cells)} |")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
