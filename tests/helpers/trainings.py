"""Trainings of every kind on painted scenes, as one of several processes: `torchrun trainings.py SCENES OUT`."""

import json
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import torch
from test_dense_training import dense_settings
from test_grid_form import grid_settings
from test_loop import face_settings, tiny_settings, with_loss
from torch import nn
from torch.nn import functional

from onelook.data.face_dataset import FaceDataset
from onelook.data.manifest import read_manifest
from onelook.data.scene_dataset import SceneDataset
from onelook.distributed import all_gather, all_reduce_sum, process_group, rank, shard, world_size
from onelook.losses.margin import ArcFaceLoss
from onelook.model.pretrained import build_pretrained
from onelook.settings import Settings
from onelook.training.loop import Callbacks, Trainer
from onelook.training.sharding import clip_gradients, gather_state
from onelook.training.sync_batch_norm import convert_sync_batch_norm

# Few steps of a low rate: hard examples and norms over few faces make of a rounding a difference that grows.
LOW = {"learning_rate": 3e-4, "epochs": 2}


def from_nothing() -> Settings:
    """A cascade whose batch norms all learn."""
    tree = tiny_settings(learning_rate=1e-5, epochs=2, batch=6, tasks="detection").model_dump()
    tree["model"] |= {"init": "random", "cascade": True}
    return Settings.model_validate(tree)


def sampled(settings: Settings, shard: float) -> Settings:
    """The same, told from so many of the identities."""
    tree = settings.model_dump()
    tree["train"]["identity"]["sample"] = shard
    return Settings.model_validate(tree)


KINDS: dict[str, Callable[[], Settings]] = {
    "scenes": lambda: tiny_settings(**LOW, batch=5, balance="learned"),
    "a face or none in each process": lambda: tiny_settings(**LOW, tasks="recognition"),
    "accumulated": lambda: tiny_settings(**LOW, batch=3, accumulate=2, optimizer="sgd"),
    "faces and scenes": lambda: face_settings(batch=3, trunk_rate=0.1, **LOW),
    "cascade": from_nothing,
    # Its cells see the painted faces all but alike, and its norms make much of the little that is between them.
    "grid": lambda: grid_settings((5,), epochs=1, batch=6),
    "rendered faces": lambda: dense_settings(**LOW),
    "few of the identities": lambda: sampled(with_loss("cosface", **LOW, batch=3), 0.7),
    "triplet": lambda: with_loss("triplet", **LOW, batch=5),
    "oim": lambda: with_loss("oim", **LOW, batch=5),
}


LEFT = "few of the identities"
"""Of scenes of more people than two, which lie beside the others."""


def train(scenes: Path, out: Path, name: str, epochs: int | None = None) -> list[dict[str, float]]:
    """Train one kind, or go on with it; `epochs` stops early."""
    settings = KINDS[name]()
    torch.manual_seed(settings.base.seed)
    torch.set_num_threads(1)
    manifest = read_manifest(scenes.with_name("people") if name == LEFT else scenes)
    training = SceneDataset(manifest, settings.train.augment, settings.base.seed)
    faces = None
    if settings.train.faces.batch_size:
        faces = FaceDataset(manifest, training.index, settings.train.faces, settings.train.augment, 7)
    trainer = Trainer(build_pretrained(settings.model), training, settings, faces)

    def stop(epoch: int, figures: dict[str, float]) -> None:
        if epoch == epochs:
            raise KeyboardInterrupt

    watchers = Callbacks(validate=lambda network: {"figure": 0.0}, epoch_done=stop)
    return trainer.run(out / name, "k", watchers).history


def norms() -> dict[str, list[float]]:
    """Of a shared batch norm over six rows, the first three and none among them: what it gives, learns and keeps."""
    draw = torch.Generator().manual_seed(3)
    whole, weights = torch.randn(6, 2, 3, 3, generator=draw), torch.randn(6, 2, 3, 3, generator=draw)
    norm = nn.Sequential(nn.BatchNorm2d(2))
    convert_sync_batch_norm(norm)
    found: dict[str, list[float]] = {}
    for name, ends in (("three", (3, 6)), ("none", (0, 6))):
        rows = slice(0, 6) if world_size() == 1 else slice(0 if rank() == 0 else ends[0], ends[rank()])
        part = whole[rows].clone().requires_grad_()
        given = norm(part)
        (given * weights[rows]).sum().backward()
        assert part.grad is not None
        for what, value in {"given": given.detach(), "gradient": part.grad}.items():
            found[f"{what}, {name}"] = all_gather(value).flatten().tolist()
    found["learned"] = torch.cat(
        [all_reduce_sum(each.grad) for each in norm.parameters() if each.grad is not None]
    ).tolist()
    found["kept"] = torch.cat([norm[0].running_mean, norm[0].running_var]).tolist()
    return found


def classifier() -> dict[str, dict[str, list[float]]]:
    """Three steps of a layer and a classifier of seven identities: losses, and all that a checkpoint has of both."""
    found: dict[str, dict[str, list[float]]] = {}
    for name, drawn in {"all": None, "some": [0, 1, 4, 6], "of the first process": [0, 1]}.items():
        torch.manual_seed(5)
        layer, rows = nn.Linear(4, 8), torch.randn(6, 4)
        learned = nn.ModuleDict({"layer": layer, "identity": ArcFaceLoss(8, 7, margin=0.3, scale=16)})
        who = torch.tensor([0, 1, -1, 1, 0, 0] if name == "of the first process" else [6, 0, -1, 4, 0, 6])
        optimizer = torch.optim.AdamW(learned.parameters(), lr=0.05)
        losses = []
        for _ in range(3):
            optimizer.zero_grad()
            own = shard(6)
            embeddings = all_gather(functional.normalize(layer(rows[own.start : own.stop])))
            loss = learned["identity"](embeddings, who, None if drawn is None else torch.tensor(drawn))
            loss.backward()
            for parameter in layer.parameters():
                assert parameter.grad is not None
                parameter.grad = all_reduce_sum(parameter.grad) / world_size()
            clip_gradients(learned, 0.5)
            optimizer.step()
            losses.append(loss.item())
        weights, steps = gather_state(learned, optimizer)
        kept = {f"{what} {i}": value for i, each in steps["state"].items() for what, value in each.items()}
        found[name] = {what: value.flatten().tolist() for what, value in {**weights, **kept}.items()}
        found[name]["losses"] = losses
    return found


def interrupt(scenes: Path, out: Path, name: str) -> None:
    """Leave a training after its first epoch."""
    with suppress(KeyboardInterrupt):
        train(scenes, out, name, epochs=1)


def told(scenes: Path, out: Path) -> dict[str, dict[str, Any]]:
    """The history of each kind, that of an interrupted one, and what shared norms and classifiers make of numbers.

    A training that was begun in OUT/taken is gone on with; one is left in OUT/left.
    """
    histories = {name: train(scenes, out, name) for name in KINDS}
    interrupt(scenes, out / "interrupted", "scenes")
    histories["interrupted"] = train(scenes, out / "interrupted", "scenes")
    interrupt(scenes, out / "left", LEFT)
    if (out / "taken").exists():
        histories["taken"] = train(scenes, out / "taken", LEFT)
    return {"histories": histories, "norms": norms(), "classifier": classifier()}


def main() -> None:
    """Write what is told, as the first of the processes."""
    out = Path(sys.argv[2])
    with process_group():
        everything = told(Path(sys.argv[1]), out)
        if rank() == 0:
            (out / "told.json").write_text(json.dumps(everything))


if __name__ == "__main__":
    main()
