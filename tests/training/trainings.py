"""Trainings of every kind on painted scenes, in one process or as one of several: `python trainings.py SCENES OUT`."""

import json
import sys
from collections.abc import Callable
from pathlib import Path

import torch
from test_dense_training import dense_settings
from test_grid_form import grid_settings
from test_loop import face_settings, tiny_settings, with_loss

from onelook.data.batches import TrainingScenes
from onelook.data.faces import TrainingFaces
from onelook.data.scene import read_manifest
from onelook.model.look import starting_network
from onelook.settings import Settings
from onelook.together import joined, rank
from onelook.training.loop import Trainer, Watchers

# Few steps of a low rate: hard examples and norms over few faces make of a rounding a difference that grows.
LOW = {"learning_rate": 3e-4, "epochs": 2}


def from_nothing(**model: object) -> Settings:
    """A network whose batch norms all learn, by one step: the second begins with the first's roundings grown."""
    tree = tiny_settings(learning_rate=1e-4, epochs=1, batch=6).model_dump()
    tree["model"] |= {"start": "nothing", **model}
    return Settings.model_validate(tree)


KINDS: dict[str, Callable[[], Settings]] = {
    "scenes": lambda: tiny_settings(**LOW, batch=5),
    "a face or none in each process": lambda: tiny_settings(**LOW),
    "learned balance": lambda: tiny_settings(**LOW, batch=5, balance="learned"),
    "detection": lambda: tiny_settings(**LOW, batch=5, tasks="detection", optimiser="sgd"),
    "recognition": lambda: tiny_settings(**LOW, batch=6, tasks="recognition"),
    "accumulated": lambda: tiny_settings(**LOW, batch=3, accumulate=2),
    "faces and scenes": lambda: face_settings(batch=3, trunk_rate=0.1, **LOW),
    "from nothing": from_nothing,
    "cascade": lambda: from_nothing(cascade=True),
    "grid": lambda: grid_settings((5,), **LOW, batch=6),
    "rendered faces": lambda: dense_settings(**LOW),
    **{loss: lambda loss=loss: with_loss(loss, **LOW, batch=5) for loss in ("triplet", "centre", "oim")},
}


def train(scenes: Path, out: Path, name: str, epochs: int | None = None) -> list[dict[str, float]]:
    """Train one kind, or go on with it; `epochs` stops early."""
    settings = KINDS[name]()
    torch.manual_seed(settings.base.seed)
    torch.set_num_threads(1)
    manifest = read_manifest(scenes)
    training = TrainingScenes(manifest, settings.train.augment, settings.base.seed)
    faces = None
    if settings.train.faces.batch:
        faces = TrainingFaces(manifest, training.index, settings.train.faces, settings.train.augment, 7)
    trainer = Trainer(starting_network(settings.model), training, settings, faces)

    def stop(epoch: int, figures: dict[str, float]) -> None:
        if epoch == epochs:
            raise KeyboardInterrupt

    watchers = Watchers(validate=lambda network: {"figure": 0.0}, epoch_done=stop)
    return trainer.run(out / name, "k", watchers).history


def main() -> None:
    """Write the history of each kind, that of an interrupted one, and what is said of a batch too small."""
    scenes, out = Path(sys.argv[1]), Path(sys.argv[2])
    torch.use_deterministic_algorithms(True)
    with joined():
        histories = {name: train(scenes, out, name) for name in KINDS}
        try:
            train(scenes, out / "interrupted", "scenes", epochs=1)
        except KeyboardInterrupt:
            histories["interrupted"] = train(scenes, out / "interrupted", "scenes")
        if rank() == 0:
            (out / "histories.json").write_text(json.dumps(histories))


if __name__ == "__main__":
    main()
