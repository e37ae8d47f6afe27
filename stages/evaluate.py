"""Measure a model: `python stages/evaluate.py --scenes build/scenes --model build/model --out build/evaluation`.

How long a look takes goes to MLflow and to timing.json beside the folder, not into it: it differs from run to run.
"""

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "src"))  # an experiment's copy imports its own code

from onelook.data.image_io import read_image, write_image
from onelook.data.manifest import read_manifest
from onelook.evaluation.renderings import draw_renderings
from onelook.evaluation.report import evaluate, write_evaluation
from onelook.evaluation.timing import time_predictions
from onelook.experiment.run_record import flatten
from onelook.files import write_json
from onelook.inference.loading import load_torch_predictor
from onelook.reproducibility import seed_everything
from onelook.settings import load_settings
from onelook.tracking import stage_main, stage_run

TIMED = 40
"""Scenes the time of a look is measured on."""
RENDERED = 24
"""Validation faces in the picture of a dense head."""


def main() -> None:
    """Read the settings, evaluate, write the folder, time looks, log it all."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--scenes", type=Path, required=True, help="folder that prepare wrote")
    parser.add_argument("--model", type=Path, required=True, help="folder that train wrote")
    parser.add_argument("--out", type=Path, required=True, help="metrics, threshold, curves and pictures")
    arguments = parser.parse_args()
    settings = load_settings(Path("params.yaml"))
    seed_everything(settings.base)
    manifest = read_manifest(arguments.scenes)
    looker = load_torch_predictor(arguments.model)
    out: Path = arguments.out
    with stage_run("evaluate", settings, inputs=[arguments.scenes, arguments.model], outputs=[out]) as run:
        evaluation = evaluate(looker, manifest, settings)
        write_evaluation(evaluation, manifest, out)
        if looker.network.dense is not None:
            shown = (read_image(manifest.path(scene)) for scene in manifest.select("validation"))
            write_image(out / "pictures" / "renderings.png", draw_renderings(looker, shown, settings.detect, RENDERED))
        photos = [read_image(manifest.path(scene)) for scene in manifest.select("test")[:TIMED]]
        timing = time_predictions(looker, photos, settings.detect)
        write_json(out.parent / "timing.json", {name: round(value, 2) for name, value in timing.items()})
        run.metrics(flatten(evaluation.metrics))
        run.metrics({f"timing.{name}": value for name, value in timing.items()})
        if evaluation.people is not None:
            run.metrics({"threshold": evaluation.calibration["threshold"]})
        for name in ("metrics.json", "calibration.json", "curves", "pictures"):
            run.artifact(out / name)


if __name__ == "__main__":
    stage_main(main)
