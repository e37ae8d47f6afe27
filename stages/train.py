"""Train the joint network on prepared scenes: `python stages/train.py --scenes build/scenes --out build/model ...`.

- An interrupted run resumes from its last checkpoint.
- `train.processes` above 1: the stage launches that many processes of itself.
- On several machines, start it with torchrun, with folders that all of them share:
  `torchrun --nnodes 2 --nproc-per-node 1 --rdzv-backend c10d --rdzv-endpoint HOST:29500 stages/train.py --scenes ...`.
"""

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "src"))  # an experiment's copy imports its own code

import torch

from onelook.data.face_crops import FACE_CROP_LABELS
from onelook.data.face_dataset import FaceDataset, read_aligned_crops
from onelook.data.label_arrays import MESHES, TEACHER_EMBEDDINGS
from onelook.data.loader import choose_loader_options
from onelook.data.manifest import MANIFEST, Manifest, read_manifest
from onelook.data.morphable_model import MORPHABLE_MODEL
from onelook.data.scene_dataset import SceneDataset
from onelook.distributed import local_world_size, process_group, rank
from onelook.evaluation.model_selection import validation_metrics
from onelook.experiment.stage_main import stage_main
from onelook.experiment.stage_run import stage_run
from onelook.files import sha256
from onelook.inference.fast.sampling import use_fast_sampler
from onelook.inference.torch_predictor import TorchPredictor
from onelook.model.embedding_head import EmbeddingHead
from onelook.model.grid_detector import GridDetector
from onelook.model.joint_network import JointNetwork
from onelook.model.pretrained import build_pretrained, init_tail
from onelook.model.serialization import save_model
from onelook.reproducibility import seed_everything
from onelook.settings import Settings, load_settings
from onelook.training.anchor_clustering import fit_anchor_sizes
from onelook.training.callbacks import Callbacks, write_history
from onelook.training.checkpoint import training_key
from onelook.training.launch import launch_processes
from onelook.training.loop import Trainer
from onelook.training.progress_display import ProgressDisplay

CALIBRATION_FACES = 300
"""Number of faces that the batch-norm statistics of the tail are measured on."""


def main() -> None:
    """Read the settings, train, and write the model folder and the history."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--scenes", type=Path, required=True, help="folder that prepare wrote")
    parser.add_argument("--checkpoints", type=Path, required=True, help="folder of the checkpoint")
    parser.add_argument("--history", type=Path, required=True, help="losses and metrics of every epoch, as CSV")
    parser.add_argument("--out", type=Path, required=True, help="the model folder")
    arguments = parser.parse_args()
    settings = load_settings(Path("params.yaml"))
    if launch_processes(settings.train.processes):
        return
    with process_group(settings.base.device) as device:
        train(arguments, settings, device)


def train(arguments: argparse.Namespace, settings: Settings, device: torch.device) -> None:
    """Train in this process; rank 0 alone validates, logs and writes."""
    offset_base = settings.base.model_copy(update={"seed": settings.base.seed + settings.train.seed_offset})
    seeded = settings.model_copy(update={"base": offset_base})
    seed_everything(seeded.base)
    manifest = read_manifest(arguments.scenes)
    if rank() > 0:
        trainer, key = build_trainer(manifest, seeded, device)
        trainer.run(arguments.checkpoints, key, Callbacks(validate=lambda network: {"selection_metric": 0.0}))
        return
    outputs = [arguments.out, arguments.history]
    with stage_run("train", settings, inputs=[arguments.scenes], outputs=outputs, device=device) as run:
        trainer, key = build_trainer(manifest, seeded, device)
        with ProgressDisplay(settings.train.epochs, trainer.steps_per_epoch()) as display:

            def on_epoch_end(epoch: int, metrics: dict[str, float]) -> None:
                display.on_epoch_end(epoch, metrics)
                run.log_metrics(metrics, step=epoch)

            def validate(network: JointNetwork) -> dict[str, float]:
                return validation_metrics(TorchPredictor(network), manifest, seeded)

            callbacks = Callbacks(validate, on_epoch_end, display.on_step_end)
            state = trainer.run(arguments.checkpoints, key, callbacks)
        save_model(arguments.out, trainer.network)
        write_history(arguments.history, state.history)
        run.log_metrics({f"best.{name}": value for name, value in state.best.items()})
        run.log_artifact(arguments.history)


def build_trainer(manifest: Manifest, settings: Settings, device: torch.device) -> tuple[Trainer, str]:
    """Build the trainer on prepared scenes, and the key of its checkpoint."""
    loader = choose_loader_options(device, local_world_size())
    scenes = SceneDataset(manifest, settings.train.augment, settings.base.seed, loader)
    faces = None
    if settings.train.faces.batch_size > 0:
        faces = FaceDataset(
            manifest, scenes.index, settings.train.faces, settings.train.augment, settings.base.seed, loader
        )
    network = build_pretrained(settings.model)
    if isinstance(network.detector, GridDetector):
        fit_anchor_sizes(network.detector, scenes, settings.base.seed)
    # The released weights include a trained tail.
    tail_source = settings.teacher.tail_source
    if tail_source is not None and settings.model.init != "released":
        assert isinstance(network.embedding, EmbeddingHead)  # the settings refuse a grid with init_tail
        init_tail(network.embedding, tail_source, read_aligned_crops(manifest, CALIBRATION_FACES))
    sections = (settings.base, settings.teacher, settings.model, settings.train)
    # Any number of processes can resume a checkpoint, on any device.
    trees = [
        section.model_dump(mode="json", exclude={"processes", "device", "checkpoint_steps"}) for section in sections
    ]
    files = [manifest.root / name for name in (MANIFEST, TEACHER_EMBEDDINGS, FACE_CROP_LABELS, MESHES, MORPHABLE_MODEL)]
    digests = [sha256(path) for path in files if path.exists()]
    trainer = Trainer(network, scenes, settings, faces, device)
    if trainer.losses.detector_frozen and device.type == "cpu":
        # Without gradients of the maps 0.25 instead of 1.2 ms for a face (four maps, one thread, crops of 160 pixels).
        use_fast_sampler(network)
    return trainer, training_key(*trees, *digests)


if __name__ == "__main__":
    stage_main(main)
