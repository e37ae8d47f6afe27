"""Turn photos into annotated scenes and enrolment photos: `python stages/prepare.py --out build/scenes`."""

import argparse
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "src"))  # an experiment's copy imports its own code

import numpy as np

from onelook.data.blending import is_blend
from onelook.data.labelled import KINDS
from onelook.data.meshes import read_meshes
from onelook.data.people import SPLITS
from onelook.data.photo import read_photo, write_photo
from onelook.data.preparing import Prepared, prepare
from onelook.data.scene import read_manifest
from onelook.drawing import ORANGE, SKY, draw_faces, tile
from onelook.model.detections import Detections
from onelook.model.face_mesh import FaceMesh
from onelook.model.look import public_detector
from onelook.model.recogniser import Recogniser
from onelook.reproducible import make_reproducible
from onelook.settings import Detect, load_settings
from onelook.tracking import stage_main, stage_run

SHOWN = 4
"""Scenes of each split, and as many enrolment photos, on the contact sheet."""


def main() -> None:
    """Read the settings, prepare the data folder, log its counts and a contact sheet."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True, help="the data folder: images/ and manifest.jsonl")
    out: Path = parser.parse_args().out
    settings = load_settings(Path("params.yaml"))
    # Photos go through the small detector one by one: on a busy machine two threads waited for each other ten times
    # longer than one needed for the work.
    make_reproducible(settings.base.model_copy(update={"threads": 1}))
    detector = public_detector()
    detect = Detect(score=settings.prepare.annotate.score, nms=0.4, longest_side=1280)

    def find(photo: np.ndarray) -> Detections:
        return detector.look([photo], detect, embed=False)[0]

    teach = Recogniser(settings.teacher).embed if settings.teacher.path else None
    find_mesh = FaceMesh().find if settings.prepare.meshes else None
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
            write_photo(sheet, _contact_sheet(out))
            run.artifact(sheet, "pictures")


def _counts(prepared: Prepared) -> dict[str, float]:
    counts = {"photos.left_out": float(len(prepared.left_out)), **prepared.counts}
    for split in SPLITS:
        own = [scene for scene in prepared.scenes if scene.split == split]
        names = {f.identity for s in own for f in s.faces if f.identity is not None}
        counts[f"{split}.people"] = sum(not is_blend(name) for name in names)
        counts[f"{split}.blended_people"] = sum(map(is_blend, names))
        counts[f"{split}.scenes"] = sum(s.role == "scene" for s in own)
        counts[f"{split}.faces"] = sum(len(s.faces) for s in own if s.role == "scene")
        counts[f"{split}.enrolment_photos"] = sum(s.role == "enrol" for s in own)
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
    """Some scenes of each split with their faces, ignored boxes in orange, and some enrolment photos."""
    manifest = read_manifest(root)
    shown = [scene for split in SPLITS for scene in manifest.select(split)[:SHOWN]]
    shown += manifest.select("test", "enrol")[:SHOWN]
    pictures = []
    for scene in shown:
        faces = len(scene.faces)
        boxes = np.array([*(face.box for face in scene.faces), *scene.ignored], np.float32).reshape(-1, 4)
        landmarks = np.full((len(boxes), 5, 2), np.nan, np.float32)
        landmarks[:faces] = np.array([face.landmarks for face in scene.faces], np.float32).reshape(-1, 5, 2)
        colours = [SKY] * faces + [ORANGE] * len(scene.ignored)
        pictures.append(draw_faces(read_photo(manifest.path(scene)), boxes, landmarks, colours=colours))
    return tile(pictures, columns=SHOWN, width=SHOWN * 480)


if __name__ == "__main__":
    stage_main(main)
