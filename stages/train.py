"""Train the joint network on prepared scenes: `python stages/train.py --scenes build/scenes --out build/model ...`.

Interrupt it whenever you like: it goes on from its last checkpoint. With train.processes above 1 it starts that many of
itself; on several machines start it yourself, with folders that all of them share:
`torchrun --nnodes 2 --nproc-per-node 1 --rdzv-backend c10d --rdzv-endpoint HOST:29500 stages/train.py --scenes ...`.
"""

import argparse
import sys
from contextlib import nullcontext
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "src"))  # an experiment's copy imports its own code

from onelook.data.face_dataset import FaceDataset
from onelook.data.manifest import MANIFEST, read_manifest
from onelook.data.mesh_labels import MESHES
from onelook.data.morphable_model import MORPHABLE_MODEL
from onelook.data.scene_dataset import SceneDataset
from onelook.data.teacher_embeddings import TEACHER_EMBEDDINGS, aligned_crops
from onelook.distributed import process_group, rank
from onelook.evaluation.model_selection import validation_figure
from onelook.files import sha256
from onelook.inference.torch_predictor import TorchPredictor
from onelook.model.embedding_head import EmbeddingHead
from onelook.model.grid_detector import GridDetector
from onelook.model.joint_network import JointNetwork
from onelook.model.pretrained import build_pretrained
from onelook.model.serialization import save_model
from onelook.model.teacher import init_tail_from_teacher
from onelook.reproducibility import seed_everything
from onelook.settings import Settings, load_settings
from onelook.tracking import stage_main, stage_run
from onelook.training.anchor_clustering import fit_anchor_sizes
from onelook.training.checkpoint import training_key
from onelook.training.launch import launch_processes
from onelook.training.loop import Callbacks, Trainer
from onelook.training.progress_display import ProgressDisplay, write_history

MEASURED = 300
"""Faces that the starting tail's statistics are measured on."""


def main() -> None:
    """Read the settings, train, write the model folder and the history."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--scenes", type=Path, required=True, help="folder that prepare wrote")
    parser.add_argument("--checkpoints", type=Path, required=True, help="where training can be resumed from")
    parser.add_argument("--history", type=Path, required=True, help="losses and figures of every epoch, as CSV")
    parser.add_argument("--out", type=Path, required=True, help="the model folder")
    arguments = parser.parse_args()
    settings = load_settings(Path("params.yaml"))
    if launch_processes(settings.train.processes):
        return
    with process_group():
        train(arguments, settings)


def train(arguments: argparse.Namespace, settings: Settings) -> None:
    """Train, alone or as one of several processes, of which the first alone tells and writes."""
    told, first = settings, rank() == 0
    drawn = settings.base.model_copy(update={"seed": settings.base.seed + settings.train.seed_offset})
    settings = settings.model_copy(update={"base": drawn})
    seed_everything(settings.base)
    manifest = read_manifest(arguments.scenes)
    outputs = [arguments.out, arguments.history]
    with stage_run("train", told, inputs=[arguments.scenes], outputs=outputs) if first else nullcontext() as run:
        scenes = SceneDataset(manifest, settings.train.augment, settings.base.seed)
        faces = None
        if settings.train.faces.batch_size > 0:
            faces = FaceDataset(
                manifest, scenes.index, settings.train.faces, settings.train.augment, settings.base.seed
            )
        network = build_pretrained(settings.model)
        if isinstance(network.detector, GridDetector):
            fit_anchor_sizes(network.detector, scenes, settings.base.seed)
        # The released weights bring a tail that knows faces already.
        if settings.teacher.path and settings.teacher.init_tail and settings.model.init != "released":
            assert isinstance(network.embedding, EmbeddingHead)  # the settings ask no grid for a tail
            init_tail_from_teacher(network.embedding, settings.teacher, aligned_crops(manifest, MEASURED))
        trainer = Trainer(network, scenes, settings, faces)
        sections = (settings.base, settings.teacher, settings.model, settings.train)
        files = [arguments.scenes / name for name in (MANIFEST, TEACHER_EMBEDDINGS, MESHES, MORPHABLE_MODEL)]
        data = [sha256(path) for path in files if path.exists()]
        trees = [part.model_dump(mode="json", exclude={"processes"}) for part in sections]  # any number may go on
        key = training_key(*trees, *data)
        if run is None:
            trainer.run(arguments.checkpoints, key, Callbacks(validate=lambda network: {"figure": 0.0}))
            return
        with ProgressDisplay(settings.train.epochs, trainer.steps()) as display:

            def epoch_done(epoch: int, figures: dict[str, float]) -> None:
                display.epoch_done(epoch, figures)
                run.metrics(figures, step=epoch)

            def validate(network: JointNetwork) -> dict[str, float]:
                return validation_figure(TorchPredictor(network), manifest, settings)

            watchers = Callbacks(validate=validate, epoch_done=epoch_done, step_done=display.step_done)
            progress = trainer.run(arguments.checkpoints, key, watchers)
        save_model(arguments.out, trainer.network)
        write_history(arguments.history, progress.history)
        run.metrics({f"best.{name}": value for name, value in progress.best.items()})
        run.artifact(arguments.history)


if __name__ == "__main__":
    stage_main(main)
