"""Fill the pipeline's gallery: `python stages/index.py --model build/model --scenes build/scenes ...`."""

import argparse
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "src"))  # an experiment's copy imports its own code

import numpy as np

from onelook.data.image_io import read_image, write_image
from onelook.data.manifest import Manifest, Split, read_manifest
from onelook.device import resolve_device
from onelook.drawing import tile_images
from onelook.errors import DataError
from onelook.experiment.pyfunc_model import MODEL_NAME, SERVING_SCRIPT
from onelook.experiment.stage_main import stage_main
from onelook.experiment.stage_run import stage_run
from onelook.gallery import storage
from onelook.gallery.calibration import read_calibrated_metadata
from onelook.gallery.data import empty_gallery
from onelook.gallery.drawing import draw_faces
from onelook.gallery.enrollment import add_batch, embed_labeled_scenes
from onelook.gallery.faiss_backend import FaissBackend
from onelook.gallery.gallery import Gallery
from onelook.inference.loading import load_torch_predictor
from onelook.reproducibility import seed_everything
from onelook.settings import load_settings

EXAMPLE_SCENES = 4


def main() -> None:
    """Enroll the split's enrollment photos under the calibrated threshold, and log the gallery as a model."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", type=Path, required=True, help="folder that train wrote")
    parser.add_argument("--scenes", type=Path, required=True, help="folder that prepare wrote")
    parser.add_argument("--evaluation", type=Path, required=True, help="folder that evaluate wrote")
    parser.add_argument("--out", type=Path, required=True, help="the gallery folder")
    arguments = parser.parse_args()
    settings = load_settings(Path("params.yaml"))
    # On the CPU, photos go through the network one by one: a second thread gains little, and waits long on a busy
    # machine.
    seed_everything(settings.base.model_copy(update={"threads": 1}))
    manifest = read_manifest(arguments.scenes)
    if manifest.detection_only:
        raise DataError(f"{arguments.scenes}: nobody has a name, so there is no gallery to fill; detection needs none")
    device = resolve_device(settings.base.device)
    inputs = [arguments.model, arguments.scenes, arguments.evaluation]
    with stage_run("index", settings, inputs=inputs, outputs=[arguments.out], device=device) as run:
        predictor = load_torch_predictor(arguments.model, device=device)
        calibration = arguments.evaluation / "calibration.json"
        metadata = read_calibrated_metadata(calibration, predictor.fingerprint, predictor.embedding_size, managed=True)
        batch, missed = embed_labeled_scenes(predictor, metadata.detect, manifest, settings.index.split)
        data = add_batch(empty_gallery(metadata), batch)
        storage.create(arguments.out, data, replace=True)
        gallery = Gallery(FaissBackend(arguments.out), predictor)
        people = len(gallery.people())
        print(f"{arguments.out}: {people} people, {len(batch.faces)} photos; face not found in {len(missed)}")
        run.log_metrics({"people": people, "faces": len(batch.faces), "missed": len(missed)})
        with tempfile.TemporaryDirectory() as folder:
            picture = Path(folder) / "identified.png"
            write_image(picture, draw_examples(gallery, manifest, settings.index.split))
            run.log_artifact(picture, "pictures", shows_people=True)
        artifacts = {"model": arguments.model} | ({"gallery": arguments.out} if run.records_people else {})
        run.log_pyfunc(SERVING_SCRIPT, artifacts, MODEL_NAME)


def draw_examples(gallery: Gallery, manifest: Manifest, split: Split) -> np.ndarray:
    """Draw the first scenes of a split with several people, identified, into one RGB picture."""
    scenes = [scene for scene in manifest.select(split) if len(scene.faces) > 1] or manifest.select(split)
    images = [read_image(manifest.path(scene)) for scene in scenes[:EXAMPLE_SCENES]]
    return tile_images([draw_faces(image, gallery.identify(image)) for image in images], columns=2, width=1280)


if __name__ == "__main__":
    stage_main(main)
