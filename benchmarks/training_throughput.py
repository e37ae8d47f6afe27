"""Time the training loop against a plain one over the same network.

Images per second, in one run.

    python benchmarks/training_throughput.py [--scenes build/scenes] [--crops 320] [--steps 4] [--rounds 5]

The peer is a tutorial's loop: batches made in the foreground, faces matched and hard negatives mined image by image,
torch's default memory layout. Augmented photos, network, losses and optimizer are the same: the benchmark ends unless
both losses agree on the first batch. Detection from random weights, two threads; the two take turns, and medians are
over the turns. Prints a Markdown table.
"""

import argparse
import copy
import statistics
import sys
import time
from collections.abc import Sequence
from itertools import count
from pathlib import Path
from typing import Any

import torch
from plain_loop import Pace, PlainLoop
from rich.console import Console
from rich.progress import Progress

from onelook.data.manifest import read_manifest
from onelook.data.scene_dataset import SceneDataset
from onelook.model.joint_network import JointNetwork
from onelook.reproducibility import seed_everything
from onelook.settings import Settings, load_settings
from onelook.training.loop import Trainer

THREADS = 2
TOLERANCE = 1e-4  # of the loss, relative
FULL = {"backbone": "resnet50", "pyramid_levels": "full", "fpn_channels": 256, "context": "plain"}
# How the table tells it, what differs from params.yaml, photos in a batch.
FORMS: tuple[tuple[str, dict[str, Any], int], ...] = (
    ("light: MobileNet-0.25, three levels", {}, 12),
    ("full: ResNet-50, P2 to P6", FULL, 4),
    ("full, with the cascade", {**FULL, "cascade": "all"}, 4),
)


class Ours(Trainer):
    """Trainer with a few steps an epoch that records when each step begins."""

    def __init__(self, network: JointNetwork, scenes: SceneDataset, settings: Settings, steps: int) -> None:
        super().__init__(network, scenes, settings)
        self.few = steps
        self.began: list[float] = []
        self.ahead = self.batches(count())

    def steps_per_epoch(self) -> int:
        return self.few

    def set_learning_rates(self, step: int, steps_per_epoch: int) -> None:
        self.began.append(time.perf_counter())  # the first thing a step does
        super().set_learning_rates(step, steps_per_epoch)

    def turn(self, epoch: int) -> Pace:
        """Train for an epoch."""
        self.began, ended = [], [time.perf_counter()]
        self.train_epoch(epoch, self.ahead, lambda epoch, step: ended.append(time.perf_counter()))
        waited = sum(begin - end for begin, end in zip(self.began, ended, strict=False))
        return Pace.of(self.few * self.settings.batch_size, ended[-1] - ended[0], waited)


def main() -> None:
    """Time every form at every size and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--scenes", type=Path, default=Path("build/scenes"), help="folder that prepare wrote")
    parser.add_argument("--crops", type=int, nargs="+", default=[320], help="sides of the training crops, in pixels")
    parser.add_argument("--steps", type=int, default=4, help="of a turn")
    parser.add_argument("--rounds", type=int, default=5, help="turns of either loop, after one to warm up")
    arguments = parser.parse_args()
    rows = [(form, crop) for form in FORMS for crop in arguments.crops]
    lines = ["| network | crop | batch | ours, images/s | plain, images/s | ratio | waiting, onelook | … plain |"]
    lines.append("|---" * 8 + "|")
    with Progress(console=Console(stderr=True)) as progress:
        task = progress.add_task("training", total=len(rows) * (1 + arguments.rounds))
        for (told, changes, batch), crop in rows:
            ours, plain = make_loops(arguments.scenes, _settings(changes, batch, crop), arguments.steps)
            turns = []
            for epoch in range(1 + arguments.rounds):
                turns.append((ours.turn(epoch), plain.turn(epoch)))
                progress.advance(task)
            lines.append(f"| {told} | {crop} | {batch} | {_row(turns[1:])} |")
    print("\n".join(lines))


def make_loops(scenes: Path, settings: Settings, steps: int) -> tuple[Ours, PlainLoop]:
    """Return both loops over copies of one network.

    Their losses on the first batch agree.
    """
    seed_everything(settings.base)
    network = JointNetwork(settings.model)
    training = SceneDataset(read_manifest(scenes), settings.train.augment, settings.base.seed)
    plain = PlainLoop(copy.deepcopy(network), training, settings, steps)
    ours = Ours(network.train(), training, settings, steps)
    batch = next(training.batches(0, settings.train.batch_size))
    with torch.no_grad():
        one, two = float(ours.losses(batch, None, 0, 0)["total"]), float(plain.loss(batch))
    if abs(one - two) > TOLERANCE * max(1.0, abs(two)):
        sys.exit(
            f"the loops do different work: the loss of the first batch is {one:.6f} in ours, {two:.6f} in the other"
        )
    return ours, plain


def _settings(changes: dict[str, Any], batch: int, crop: int) -> Settings:
    tree = load_settings(Path("params.yaml")).model_dump()
    tree["base"]["threads"] = THREADS
    tree["model"] |= {"init": "random", **changes}
    tree["train"] |= {"tasks": "detection", "batch_size": batch}
    tree["train"]["augment"]["crop_size"] = crop
    return Settings.model_validate(tree)


def _row(turns: Sequence[tuple[Pace, Pace]]) -> str:
    ours, plain = (statistics.median(turn[side].images for turn in turns) for side in (0, 1))
    waiting = [statistics.median(turn[side].waiting for turn in turns) for side in (0, 1)]
    ratio = statistics.median(turn[0].images / turn[1].images for turn in turns)
    return f"{ours:.2f} | {plain:.2f} | {ratio:.2f} | {waiting[0]:.1%} | {waiting[1]:.1%}"


if __name__ == "__main__":
    main()
