"""Fill the pipeline's gallery: `python stages/index.py --model build/model --scenes build/scenes ...`."""

import argparse
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "src"))  # an experiment's copy imports its own code

import numpy as np

from onelook.data.image_io import read_image, write_image
from onelook.data.manifest import Manifest, Split, read_manifest
from onelook.drawing import tile
from onelook.errors import DataError
from onelook.experiment.pyfunc_model import NAME, SERVING
from onelook.gallery import storage
from onelook.gallery.calibration import calibrated_metadata
from onelook.gallery.data import empty_gallery
from onelook.gallery.drawing import draw_identified
from onelook.gallery.enrollment import add_new, rows_of_scenes
from onelook.gallery.faiss_backend import FaissBackend
from onelook.gallery.gallery import Gallery
from onelook.inference.loading import load_torch_predictor
from onelook.reproducibility import seed_everything
from onelook.settings import load_settings
from onelook.tracking import stage_main, stage_run

SHOWN_SCENES = 4


def main() -> None:
    """Enroll the split's enrollment photos under the calibrated threshold, and log the gallery as a model."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", type=Path, required=True, help="folder that train wrote")
    parser.add_argument("--scenes", type=Path, required=True, help="folder that prepare wrote")
    parser.add_argument("--evaluation", type=Path, required=True, help="folder that evaluate wrote")
    parser.add_argument("--out", type=Path, required=True, help="the gallery folder")
    arguments = parser.parse_args()
    settings = load_settings(Path("params.yaml"))
    # Photos go through the network one by one: a second thread gains little, and waits long on a busy machine.
    seed_everything(settings.base.model_copy(update={"threads": 1}))
    manifest = read_manifest(arguments.scenes)
    if manifest.nameless:
        raise DataError(f"{arguments.scenes}: nobody has a name, so there is no gallery to fill; detection needs none")
    inputs = [arguments.model, arguments.scenes, arguments.evaluation]
    with stage_run("index", settings, inputs=inputs, outputs=[arguments.out]) as run:
        looker = load_torch_predictor(arguments.model)
        calibration = arguments.evaluation / "calibration.json"
        terms = calibrated_metadata(calibration, looker.fingerprint, looker.embedding_size, managed=True)
        rows, missed = rows_of_scenes(looker, terms.detect, manifest, settings.index.split)
        contents = add_new(empty_gallery(terms), rows)
        storage.create(arguments.out, contents, replace=True)
        gallery = Gallery(FaissBackend(arguments.out, contents), looker)
        people = len(gallery.people())
        print(f"{arguments.out}: {people} people, {len(rows.entries)} photos; face not found in {len(missed)}")
        run.metrics({"people": people, "faces": len(rows.entries), "missed": len(missed)})
        with tempfile.TemporaryDirectory() as folder:
            picture = Path(folder) / "identified.png"
            write_image(picture, identified(gallery, manifest, settings.index.split))
            run.artifact(picture, "pictures")
        run.pyfunc(SERVING, {"model": arguments.model, "gallery": arguments.out}, NAME)


def identified(gallery: Gallery, manifest: Manifest, split: Split) -> np.ndarray:
    """The first scenes of a split that show several people, with what the gallery says, as one RGB picture."""
    scenes = [scene for scene in manifest.select(split) if len(scene.faces) > 1] or manifest.select(split)
    photos = [read_image(manifest.path(scene)) for scene in scenes[:SHOWN_SCENES]]
    drawn = [draw_identified(photo, gallery.identify(photo)) for photo in photos]
    return tile(drawn, columns=2, width=1280)


if __name__ == "__main__":
    stage_main(main)
