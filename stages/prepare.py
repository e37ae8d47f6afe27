"""Prepare labeled scenes: `python stages/prepare.py --out build/scenes`."""

import argparse
import logging
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "src"))  # an experiment's copy imports its own code

import numpy as np

from onelook.data.detection_scenes import LABEL_ISSUES
from onelook.data.image_io import read_image, write_image
from onelook.data.label_arrays import read_meshes
from onelook.data.manifest import read_manifest
from onelook.data.prepare import PreparedData, prepare
from onelook.data.splits import SPLITS
from onelook.data.synthesis.blending import is_blend
from onelook.detections import Detections
from onelook.drawing import ORANGE, SKY, draw_boxes, tile_images
from onelook.experiment.stage_main import stage_main
from onelook.experiment.stage_run import stage_run
from onelook.inference.torch_predictor import public_detector
from onelook.model.mesh_teacher import MeshTeacher
from onelook.model.teacher import Teacher
from onelook.reproducibility import seed_everything
from onelook.settings import DetectSettings, load_settings
from onelook.workspace import link_ignored_photos

logger = logging.getLogger("onelook.stages.prepare")

COLUMNS = 4
"""Columns of the contact sheet: scenes of each split, and enrollment photos."""


def main() -> None:
    """Prepare the data folder; log its counts and a contact sheet."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True, help="data folder to write: images/ and manifest.jsonl")
    out: Path = parser.parse_args().out
    settings = load_settings(Path("params.yaml"))
    # One thread: the detector is small and takes one image at a time, too little work to divide.
    seed_everything(settings.base.model_copy(update={"threads": 1}))
    detector = public_detector()
    detect = DetectSettings(score=settings.prepare.annotate.score, nms=0.4, longest_side=1280)

    def detect_faces(image: np.ndarray) -> Detections:
        return detector.predict([image], detect, embed=False)[0]

    embed_faces = Teacher(settings.teacher, settings.base.device).embed_faces if settings.teacher.path else None
    predict_mesh = MeshTeacher().predict if settings.prepare.mesh_labels else None
    if settings.prepare.reader == "folder":
        link_ignored_photos(Path(settings.prepare.folder.path))
    with stage_run("prepare", settings, inputs=[], outputs=[out]) as run:
        prepared = prepare(
            settings.prepare,
            settings.base.seed,
            detect_faces,
            out,
            embed_faces,
            predict_mesh,
            teacher_dim=settings.teacher.dim,
        )
        for message in prepared.skipped:
            logger.warning("%s", message)
        for issue, count in prepared.counts.items():
            logger.warning("%d %s", count, LABEL_ISSUES[issue])
        run.log_metrics(_split_counts(prepared))
        if predict_mesh is not None:
            run.log_metrics(_mesh_fractions(out))
        with tempfile.TemporaryDirectory() as folder:
            sheet = Path(folder) / "scenes.png"
            write_image(sheet, _contact_sheet(out))
            run.log_artifact(sheet, "pictures", shows_people=True)


def _split_counts(prepared: PreparedData) -> dict[str, float]:
    """Count skipped photos, label issues, and people and scenes of each split."""
    counts = {"photos.skipped": float(len(prepared.skipped)), **prepared.counts}
    for split in SPLITS:
        own = [scene for scene in prepared.scenes if scene.split == split]
        names = {f.identity for s in own for f in s.faces if f.identity is not None}
        counts[f"{split}.people"] = sum(not is_blend(name) for name in names)
        counts[f"{split}.blended_people"] = sum(map(is_blend, names))
        counts[f"{split}.scenes"] = sum(s.role == "scene" for s in own)
        counts[f"{split}.faces"] = sum(len(s.faces) for s in own if s.role == "scene")
        counts[f"{split}.enrollment_photos"] = sum(s.role == "enroll" for s in own)
    return counts


def _mesh_fractions(root: Path) -> dict[str, float]:
    """Compute the fraction of each split's faces that have a mesh."""
    manifest = read_manifest(root)
    meshes = read_meshes(manifest) or {}
    fractions = {}
    for split in SPLITS:
        own = [mesh for scene in manifest.scenes if scene.split == split for mesh in meshes[scene.image]]
        if own:
            fractions[f"{split}.faces_with_mesh"] = float(np.mean([np.isfinite(mesh).all() for mesh in own]))
    return fractions


def _contact_sheet(root: Path) -> np.ndarray:
    """Draw scenes of each split and enrollment photos; ignored boxes are orange."""
    manifest = read_manifest(root)
    scenes = [scene for split in SPLITS for scene in manifest.select(split)[:COLUMNS]]
    scenes += manifest.select("test", "enroll")[:COLUMNS]
    images = []
    for scene in scenes:
        faces = len(scene.faces)
        boxes = np.array([*(face.box for face in scene.faces), *scene.ignored], np.float32).reshape(-1, 4)
        landmarks = np.full((len(boxes), 5, 2), np.nan, np.float32)
        landmarks[:faces] = np.array([face.landmarks for face in scene.faces], np.float32).reshape(-1, 5, 2)
        colors = [SKY] * faces + [ORANGE] * len(scene.ignored)
        images.append(draw_boxes(read_image(manifest.path(scene)), boxes, landmarks, colors=colors))
    return tile_images(images, columns=COLUMNS, width=COLUMNS * 480)


if __name__ == "__main__":
    stage_main(main)
