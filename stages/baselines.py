"""Train the baselines of params.yaml: `python stages/baselines.py --scenes build/scenes --out build/baselines ...`.

- Each is a run of its own in MLflow, and a folder of its own in the output, beside `baselines.json` with their names.
- An interrupted run resumes from its last checkpoint, in one process.
- Minutes of training differ from run to run, so they go to MLflow and to baselines_timing.json beside the output.
"""

import argparse
import shutil
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "src"))  # an experiment's copy imports its own code

import torch

from onelook.data.manifest import Manifest, read_manifest
from onelook.device import resolve_device
from onelook.evaluation.model_selection import validation_metrics
from onelook.experiment.stage_main import stage_main
from onelook.experiment.stage_run import stage_run
from onelook.files import write_json
from onelook.inference.mtcnn_cascade import propose_squares
from onelook.inference.torch_predictor import TorchPredictor
from onelook.model.baseline_folder import save_baseline
from onelook.model.joint_network import JointNetwork
from onelook.reproducibility import seed_everything
from onelook.settings import BaselineName, Settings, load_settings
from onelook.training.baselines import BaselineTraining, recognition_settings, train_baseline


def main() -> None:
    """Read the settings, train each baseline, and write its folder."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--scenes", type=Path, required=True, help="folder that prepare wrote")
    parser.add_argument("--checkpoints", type=Path, required=True, help="folder of the checkpoints, one folder each")
    parser.add_argument("--out", type=Path, required=True, help="the trained baselines, one folder each")
    arguments = parser.parse_args()
    settings = load_settings(Path("params.yaml"))
    out: Path = arguments.out
    minutes = {}
    if settings.baselines:
        manifest, device = read_manifest(arguments.scenes), resolve_device(settings.base.device)
        for name in settings.baselines:
            minutes[name] = train(name, arguments, manifest, settings, device)
    out.mkdir(parents=True, exist_ok=True)
    for folder in out.iterdir():
        if folder.is_dir() and folder.name not in settings.baselines:
            shutil.rmtree(folder)
    write_json(out / "baselines.json", settings.baselines)
    write_json(out.parent / "baselines_timing.json", minutes)


def train(
    name: BaselineName, arguments: argparse.Namespace, manifest: Manifest, settings: Settings, device: torch.device
) -> float:
    """Train a baseline in a run of its own; return the minutes that it took, over all interruptions."""
    base = settings.base.model_copy(update={"seed": settings.base.seed + settings.train.seed_offset})
    seeded = settings.model_copy(update={"base": base})
    seed_everything(seeded.base)
    checkpoints = arguments.checkpoints / name
    folder = arguments.out / name
    with stage_run(f"baseline {name}", settings, inputs=[arguments.scenes], outputs=[folder], device=device) as run:

        def on_epoch_end(epoch: int, metrics: dict[str, float]) -> None:
            run.log_metrics(metrics, step=epoch)

        def validate(network: JointNetwork) -> dict[str, float]:
            return validation_metrics(TorchPredictor(network), manifest, recognition_settings(seeded))

        training = BaselineTraining(manifest, seeded, device, checkpoints, propose_squares, validate, on_epoch_end)
        network, minutes = train_baseline(name, training)
        save_baseline(folder, name, seeded.model.embedding.dim, network)
        run.log_metrics({"timing.training_minutes": minutes})
    return round(minutes, 2)


if __name__ == "__main__":
    stage_main(main)
