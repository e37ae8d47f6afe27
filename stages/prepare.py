"""Turn photos into annotated scenes and enrollment photos: `python stages/prepare.py --out build/scenes`."""

import argparse
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "src"))  # an experiment's copy imports its own code

import numpy as np

from onelook.data.detection_scenes import KINDS
from onelook.data.image_io import read_image, write_image
from onelook.data.manifest import read_manifest
from onelook.data.mesh_labels import read_meshes
from onelook.data.prepare import PreparedData, prepare
from onelook.data.splits import SPLITS
from onelook.data.synthesis.blending import is_blend
from onelook.detections import Detections
from onelook.drawing import ORANGE, SKY, draw_faces, tile
from onelook.inference.torch_predictor import public_detector
from onelook.model.mesh_teacher import MeshTeacher
from onelook.model.teacher import Teacher
from onelook.reproducibility import seed_everything
from onelook.settings import DetectSettings, load_settings
from onelook.tracking import stage_main, stage_run

SHOWN = 4
"""Scenes of each split, and as many enrollment photos, on the contact sheet."""


def main() -> None:
    """Read the settings, prepare the data folder, log its counts and a contact sheet."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True, help="the data folder: images/ and manifest.jsonl")
    out: Path = parser.parse_args().out
    settings = load_settings(Path("params.yaml"))
    # Photos go through the small detector one by one: on a busy machine two threads waited for each other ten times
    # longer than one needed for the work.
    seed_everything(settings.base.model_copy(update={"threads": 1}))
    detector = public_detector()
    detect = DetectSettings(score=settings.prepare.annotate.score, nms=0.4, longest_side=1280)

    def find(photo: np.ndarray) -> Detections:
        return detector.predict([photo], detect, embed=False)[0]

    teach = Teacher(settings.teacher).embed if settings.teacher.path else None
    find_mesh = MeshTeacher().find if settings.prepare.mesh_labels else None
    with stage_run("prepare", settings, inputs=[], outputs=[out]) as run:
        prepared = prepare(settings.prepare, settings.base.seed, find, out, teach, find_mesh)
        for line in prepared.left_out:
            print(line, file=sys.stderr)
        for kind, count in prepared.counts.items():
            print(f"{count} {KINDS[kind]}", file=sys.stderr)
        run.metrics(_counts(prepared))
        if find_mesh is not None:
            run.metrics(_mesh_shares(out))
        with tempfile.TemporaryDirectory() as folder:
            sheet = Path(folder) / "scenes.png"
            write_image(sheet, _contact_sheet(out))
            run.artifact(sheet, "pictures")


def _counts(prepared: PreparedData) -> dict[str, float]:
    counts = {"photos.left_out": float(len(prepared.left_out)), **prepared.counts}
    for split in SPLITS:
        own = [scene for scene in prepared.scenes if scene.split == split]
        names = {f.identity for s in own for f in s.faces if f.identity is not None}
        counts[f"{split}.people"] = sum(not is_blend(name) for name in names)
        counts[f"{split}.blended_people"] = sum(map(is_blend, names))
        counts[f"{split}.scenes"] = sum(s.role == "scene" for s in own)
        counts[f"{split}.faces"] = sum(len(s.faces) for s in own if s.role == "scene")
        counts[f"{split}.enrollment_photos"] = sum(s.role == "enroll" for s in own)
    return counts


def _mesh_shares(root: Path) -> dict[str, float]:
    """The share of each split's faces that got a mesh."""
    manifest = read_manifest(root)
    meshes = read_meshes(manifest) or {}
    shares = {}
    for split in SPLITS:
        faces = [known for s in manifest.scenes if s.split == split for known in np.isfinite(meshes[s.image])]
        if faces:
            shares[f"{split}.faces_with_mesh"] = float(np.mean([known.all() for known in faces]))
    return shares


def _contact_sheet(root: Path) -> np.ndarray:
    """Some scenes of each split with their faces, ignored boxes in orange, and some enrollment photos."""
    manifest = read_manifest(root)
    shown = [scene for split in SPLITS for scene in manifest.select(split)[:SHOWN]]
    shown += manifest.select("test", "enroll")[:SHOWN]
    pictures = []
    for scene in shown:
        faces = len(scene.faces)
        boxes = np.array([*(face.box for face in scene.faces), *scene.ignored], np.float32).reshape(-1, 4)
        landmarks = np.full((len(boxes), 5, 2), np.nan, np.float32)
        landmarks[:faces] = np.array([face.landmarks for face in scene.faces], np.float32).reshape(-1, 5, 2)
        colors = [SKY] * faces + [ORANGE] * len(scene.ignored)
        pictures.append(draw_faces(read_image(manifest.path(scene)), boxes, landmarks, colors=colors))
    return tile(pictures, columns=SHOWN, width=SHOWN * 480)


if __name__ == "__main__":
    stage_main(main)
