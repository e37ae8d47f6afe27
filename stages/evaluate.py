"""Evaluate a model and the baselines: `python stages/evaluate.py --scenes build/scenes --model build/model ...`.

Timing differs from run to run, so it goes to MLflow and to timing.json beside the output folder, not into it.
"""

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "src"))  # an experiment's copy imports its own code

from onelook.data.image_io import read_image, write_image
from onelook.data.manifest import read_manifest
from onelook.device import resolve_device
from onelook.evaluation.evaluate import evaluate
from onelook.evaluation.renderings import draw_renderings
from onelook.evaluation.report import FIGURES, write_evaluation
from onelook.evaluation.timing import time_predictions
from onelook.experiment.mlflow_run import flatten_keys
from onelook.experiment.stage_main import stage_main
from onelook.experiment.stage_run import stage_run
from onelook.files import write_json
from onelook.inference.baseline_predictors import open_baselines
from onelook.inference.loading import load_torch_predictor
from onelook.model.baseline_folder import find_baselines
from onelook.reproducibility import seed_everything
from onelook.settings import load_settings

TIMED_SCENES = 40
"""Number of test scenes that are timed."""
RENDERED_FACES = 24
"""Number of validation faces in the renderings of a dense head."""


def main() -> None:
    """Evaluate a model, write the report, time it, and log the run."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--scenes", type=Path, required=True, help="folder that prepare wrote")
    parser.add_argument("--model", type=Path, required=True, help="folder that train wrote")
    parser.add_argument("--baselines", type=Path, default=Path("build/baselines"), help="folder that baselines wrote")
    parser.add_argument("--out", type=Path, required=True, help="metrics, threshold, curves and pictures")
    arguments = parser.parse_args()
    settings = load_settings(Path("params.yaml"))
    seed_everything(settings.base)
    manifest = read_manifest(arguments.scenes)
    device = resolve_device(settings.base.device)
    predictor = load_torch_predictor(arguments.model, device=device)
    out: Path = arguments.out
    baselines = open_baselines(arguments.baselines, device)
    inputs = [arguments.scenes, arguments.model, *find_baselines(arguments.baselines).values()]
    with stage_run("evaluate", settings, inputs=inputs, outputs=[out], device=device) as run:
        evaluation = evaluate(predictor, manifest, settings, baselines)
        write_evaluation(evaluation, manifest, out)
        if predictor.network.dense is not None:
            images = (read_image(manifest.path(scene)) for scene in manifest.select("validation"))
            sheet = draw_renderings(predictor, images, settings.detect, RENDERED_FACES)
            write_image(out / "pictures" / "renderings.png", sheet)
        timed = [read_image(manifest.path(scene)) for scene in manifest.select("test")[:TIMED_SCENES]]
        timing = time_predictions(predictor, timed, settings.detect)
        write_json(out.parent / "timing.json", {name: round(value, 2) for name, value in timing.items()}, private=False)
        run.log_metrics(flatten_keys(evaluation.metrics))
        run.log_metrics({f"timing.{name}": value for name, value in timing.items()})
        if evaluation.recognition is not None:
            run.log_metrics({"threshold": evaluation.calibration["threshold"]})
        for name in ("metrics.json", "calibration.json", "curves"):
            run.log_artifact(out / name)
        for picture in sorted((out / "pictures").iterdir()):
            run.log_artifact(picture, "pictures", shows_people=picture.stem not in FIGURES)


if __name__ == "__main__":
    stage_main(main)
