"""Trainings and layers that run in any number of processes: `torchrun distributed_program.py SCENES OUT`."""

import json
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.nn import functional

from helpers import trainings
from helpers.training_settings import (
    changed,
    dense_settings,
    face_crop_settings,
    grid_settings,
    identity_loss_settings,
    tiny_settings,
)
from onelook.distributed import all_gather, all_reduce_sum, process_group, rank, shard, world_size
from onelook.losses.margin import ArcFaceLoss
from onelook.settings import Settings
from onelook.training.sharding import clip_gradients, gather_state
from onelook.training.sync_batch_norm import convert_sync_batch_norm

# Few steps with a low rate: OHEM and batch norms over few faces amplify differences of rounding.
SHORT: dict[str, Any] = {"learning_rate": 3e-4, "epochs": 2}


def random_cascade_settings() -> Settings:
    """Return a cascade with random weights, in which all batch norms are trained."""
    settings = tiny_settings(learning_rate=1e-5, epochs=2, batch_size=6, tasks="detection")
    return changed(settings, model={"init": "random", "cascade": "all"})


def unsynced_settings() -> Settings:
    """Return the training "faces and scenes" without synchronized batch norm."""
    return face_crop_settings(batch_size=3, backbone_lr_mult=0.1, sync_batch_norm=False, **SHORT)


def sampled_classes_settings() -> Settings:
    """Return CosFace with a softmax over a fraction of the identities."""
    return changed(identity_loss_settings("cosface", **SHORT, batch_size=3), identity={"sampled_class_fraction": 0.7})


SETTINGS: dict[str, Callable[[], Settings]] = {
    "scenes": lambda: tiny_settings(**SHORT, batch_size=5, task_weighting="learned"),
    "at most one face per process": lambda: tiny_settings(**SHORT, tasks="recognition"),
    "accumulated": lambda: tiny_settings(**SHORT, batch_size=3, accumulation_steps=2, optimizer="sgd"),
    "faces and scenes": lambda: face_crop_settings(batch_size=3, backbone_lr_mult=0.1, **SHORT),
    "cascade": random_cascade_settings,
    # Few steps of few faces: the grid's batch norms amplify the small differences between the painted faces. In batches
    # of six, our batch norm and torch's already differ by 1.6e-4 in one process.
    "grid": lambda: grid_settings((5,), **SHORT | {"epochs": 1}, batch_size=4),
    "rendered faces": lambda: dense_settings(**SHORT),
    "sampled classes": sampled_classes_settings,
    "triplet": lambda: identity_loss_settings("triplet", **SHORT, batch_size=5),
    "oim": lambda: identity_loss_settings("oim", **SHORT, batch_size=5),
}
UNSYNCED = "unsynchronized batch norm"
"""The training "faces and scenes" in which each process normalizes its own shard."""
SHARDED = "sampled classes"
"""A training with sharded class centers."""
OF_FIVE_PEOPLE = (SHARDED, UNSYNCED, "faces and scenes")
"""Trainings on the scenes of five people in the folder `people`: of two, a process may have faces of one alone."""


def train(scenes: Path, out: Path, name: str, *, stop_after: int | None = None) -> list[dict[str, float]]:
    """Train from the checkpoint in `out`, if there is one, and return the history."""
    folder = scenes.with_name("people") if name in OF_FIVE_PEOPLE else scenes
    settings = unsynced_settings() if name == UNSYNCED else SETTINGS[name]()
    return trainings.train(folder, out / name, settings, stop_after=stop_after).history


def interrupt(scenes: Path, out: Path, name: str) -> None:
    """Interrupt a training after its first epoch."""
    with suppress(KeyboardInterrupt):
        train(scenes, out, name, stop_after=1)


def run_batch_norm() -> dict[str, list[float]]:
    """Run a synchronized batch norm on six rows.

    Rank 0 has three of them, then none. Returns output, gradients and running statistics.
    """
    generator = torch.Generator().manual_seed(3)
    rows, weights = torch.randn(6, 2, 3, 3, generator=generator), torch.randn(6, 2, 3, 3, generator=generator)
    norm = nn.Sequential(nn.BatchNorm2d(2))
    convert_sync_batch_norm(norm)
    results: dict[str, list[float]] = {}
    for name, ends in (("three", (3, 6)), ("none", (0, 6))):
        own = slice(0, 6) if world_size() == 1 else slice(0 if rank() == 0 else ends[0], ends[rank()])
        inputs = rows[own].clone().requires_grad_()
        output = norm(inputs)
        (output * weights[own]).sum().backward()
        assert inputs.grad is not None
        results[f"output, {name}"] = all_gather(output.detach()).flatten().tolist()
        results[f"gradient, {name}"] = all_gather(inputs.grad).flatten().tolist()
    gradients = [parameter.grad for parameter in norm.parameters() if parameter.grad is not None]
    results["parameter gradients"] = torch.cat([all_reduce_sum(gradient) for gradient in gradients]).tolist()
    results["running statistics"] = torch.cat([norm[0].running_mean, norm[0].running_var]).tolist()
    return results


def run_classifier() -> dict[str, dict[str, list[float]]]:
    """Train a layer and a classifier of seven identities for three steps; return losses and state dicts."""
    results: dict[str, dict[str, list[float]]] = {}
    for name, classes in {"all": None, "some": [0, 1, 4, 6], "of rank 0": [0, 1]}.items():
        torch.manual_seed(5)
        layer, rows = nn.Linear(4, 8), torch.randn(6, 4)
        modules = nn.ModuleDict({"layer": layer, "identity_loss": ArcFaceLoss(8, 7, margin=0.3, scale=16)})
        identities = torch.tensor([0, 1, -1, 1, 0, 0] if name == "of rank 0" else [6, 0, -1, 4, 0, 6])
        optimizer = torch.optim.AdamW(modules.parameters(), lr=0.05)
        losses = []
        for _ in range(3):
            optimizer.zero_grad()
            own = shard(6)
            embeddings = all_gather(functional.normalize(layer(rows[own.start : own.stop])))
            loss = modules["identity_loss"](embeddings, identities, None if classes is None else torch.tensor(classes))
            loss.backward()
            for parameter in layer.parameters():
                assert parameter.grad is not None
                parameter.grad = all_reduce_sum(parameter.grad) / world_size()
            clip_gradients(modules, 0.5)
            optimizer.step()
            losses.append(loss.item())
        module_state, optimizer_state = gather_state(modules, optimizer)
        moments = {f"{key} {i}": value for i, each in optimizer_state["state"].items() for key, value in each.items()}
        results[name] = {key: value.flatten().tolist() for key, value in {**module_state, **moments}.items()}
        results[name]["losses"] = losses
    return results


def run(scenes: Path, out: Path) -> dict[str, dict[str, Any]]:
    """Run everything.

    Returns:
        The history of every training, and the results of batch norm and classifier. A training that was interrupted in
        OUT/taken is resumed; one is interrupted in OUT/left.
    """
    histories = {name: train(scenes, out, name) for name in (*SETTINGS, UNSYNCED)}
    interrupt(scenes, out / "interrupted", "scenes")
    histories["interrupted"] = train(scenes, out / "interrupted", "scenes")
    interrupt(scenes, out / "left", SHARDED)
    if (out / "taken").exists():
        histories["taken"] = train(scenes, out / "taken", SHARDED)
    return {"histories": histories, "batch_norm": run_batch_norm(), "classifier": run_classifier()}


def main() -> None:
    """Run everything as one of the processes; rank 0 writes OUT/results.json."""
    out = Path(sys.argv[2])
    with process_group():
        results = run(Path(sys.argv[1]), out)
        if rank() == 0:
            (out / "results.json").write_text(json.dumps(results))


if __name__ == "__main__":
    main()
