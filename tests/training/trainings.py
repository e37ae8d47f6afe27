"""Trainings of every kind on painted scenes, as one of several processes: `torchrun trainings.py SCENES OUT`."""

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from test_dense_training import dense_settings
from test_grid_form import grid_settings
from test_loop import face_settings, tiny_settings, with_loss
from torch import nn

from onelook.data.batches import TrainingScenes
from onelook.data.faces import TrainingFaces
from onelook.data.scene import read_manifest
from onelook.model.look import starting_network
from onelook.settings import Settings
from onelook.together import gathered, joined, processes, rank, summed
from onelook.training.batch_norm import share_batch_norms
from onelook.training.loop import Trainer, Watchers

# Few steps of a low rate: hard examples and norms over few faces make of a rounding a difference that grows.
LOW = {"learning_rate": 3e-4, "epochs": 2}


def from_nothing() -> Settings:
    """A cascade whose batch norms all learn."""
    tree = tiny_settings(learning_rate=1e-5, epochs=2, batch=6, tasks="detection").model_dump()
    tree["model"] |= {"start": "nothing", "cascade": True}
    return Settings.model_validate(tree)


KINDS: dict[str, Callable[[], Settings]] = {
    "scenes": lambda: tiny_settings(**LOW, batch=5, balance="learned"),
    "a face or none in each process": lambda: tiny_settings(**LOW, tasks="recognition"),
    "accumulated": lambda: tiny_settings(**LOW, batch=3, accumulate=2, optimiser="sgd"),
    "faces and scenes": lambda: face_settings(batch=3, trunk_rate=0.1, **LOW),
    "cascade": from_nothing,
    # Its cells see the painted faces all but alike, and its norms make much of the little that is between them.
    "grid": lambda: grid_settings((5,), epochs=1, batch=6),
    "rendered faces": lambda: dense_settings(**LOW),
    "triplet": lambda: with_loss("triplet", **LOW, batch=5),
    "oim": lambda: with_loss("oim", **LOW, batch=5),
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


def norms() -> dict[str, list[float]]:
    """Of a shared batch norm over six rows, the first three and none among them: what it gives, learns and keeps."""
    draw = torch.Generator().manual_seed(3)
    whole, weights = torch.randn(6, 2, 3, 3, generator=draw), torch.randn(6, 2, 3, 3, generator=draw)
    norm = nn.Sequential(nn.BatchNorm2d(2))
    share_batch_norms(norm)
    found: dict[str, list[float]] = {}
    for name, ends in (("three", (3, 6)), ("none", (0, 6))):
        rows = slice(0, 6) if processes() == 1 else slice(0 if rank() == 0 else ends[0], ends[rank()])
        part = whole[rows].clone().requires_grad_()
        given = norm(part)
        (given * weights[rows]).sum().backward()
        assert part.grad is not None
        for what, value in {"given": given.detach(), "gradient": part.grad}.items():
            found[f"{what}, {name}"] = gathered(value).flatten().tolist()
    found["learned"] = torch.cat([summed(each.grad) for each in norm.parameters() if each.grad is not None]).tolist()
    found["kept"] = torch.cat([norm[0].running_mean, norm[0].running_var]).tolist()
    return found


def told(scenes: Path, out: Path) -> dict[str, dict[str, Any]]:
    """The history of each kind, that of an interrupted one, and what shared batch norms make of numbers."""
    histories = {name: train(scenes, out, name) for name in KINDS}
    try:
        train(scenes, out / "interrupted", "scenes", epochs=1)
    except KeyboardInterrupt:
        histories["interrupted"] = train(scenes, out / "interrupted", "scenes")
    return {"histories": histories, "norms": norms()}


def main() -> None:
    """Write what is told, as the first of the processes."""
    out = Path(sys.argv[2])
    with joined():
        everything = told(Path(sys.argv[1]), out)
        if rank() == 0:
            (out / "told.json").write_text(json.dumps(everything))


if __name__ == "__main__":
    main()
