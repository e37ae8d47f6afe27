"""How many images a second does training see? Our loop against a plain one, over the same network, in one run.

    python benchmarks/training_throughput.py [--scenes build/scenes] [--crops 320] [--steps 4] [--rounds 5]

Ours is the training loop with its loader. The plain one is what a tutorial writes: batches made in the foreground,
faces matched and hard negatives mined image by image, the memory as torch lays it out. Same augmented photos, same
network, losses and optimiser: on the first batch both must have the same loss, or the benchmark ends. Detection from
nothing, two threads; the two take turns, and medians are over the turns. Prints a Markdown table.
"""

import argparse
import copy
import statistics
import sys
import time
from collections.abc import Sequence
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

import torch
from rich.console import Console
from rich.progress import Progress
from torch import Tensor, nn
from torch.nn import functional

from onelook.data.batches import Batch, TrainingScenes
from onelook.data.scene import read_manifest
from onelook.geometry.anchors import AnchorOutputs, corners, make_anchors
from onelook.geometry.boxes import encode_boxes, encode_landmarks
from onelook.model.joint import JointNetwork
from onelook.reproducible import make_reproducible
from onelook.settings import Settings, Thresholds, Train, load_settings
from onelook.training.loop import Trainer

THREADS = 2
TOLERANCE = 1e-4  # of the loss, relative
FULL = {"backbone": "resnet50", "levels": "full", "pyramid": 256, "context": "plain"}
# How the table tells it, what differs from params.yaml, photos in a batch.
FORMS: tuple[tuple[str, dict[str, Any], int], ...] = (
    ("light: MobileNet-0.25, three levels", {}, 12),
    ("full: ResNet-50, P2 to P6", FULL, 4),
    ("full, with the cascade", {**FULL, "cascade": True}, 4),
)


class Pace(NamedTuple):
    """One turn: images a second, and the share of the time that was spent waiting for the loader."""

    images: float
    waiting: float


class Ours(Trainer):
    """The trainer, for a few steps an epoch, with a note of when each of them begins."""

    def __init__(self, network: JointNetwork, scenes: TrainingScenes, settings: Settings, steps: int) -> None:
        super().__init__(network, scenes, settings)
        self.few = steps
        self.began: list[float] = []

    def steps(self) -> int:
        return self.few

    def _set_rates(self, step: int, steps: int) -> None:
        self.began.append(time.perf_counter())  # the first thing a step does
        super()._set_rates(step, steps)

    def turn(self, epoch: int) -> Pace:
        """Train for an epoch."""
        self.began, ended = [], [time.perf_counter()]
        self._epoch(epoch, lambda epoch, step: ended.append(time.perf_counter()))
        waited = sum(begin - end for begin, end in zip(self.began, ended, strict=False))
        return _pace(self.few * self.settings.batch, ended[-1] - ended[0], waited)


class Plain:
    """The loop of a tutorial."""

    def __init__(self, network: JointNetwork, scenes: TrainingScenes, settings: Settings, steps: int) -> None:
        self.network = network.train()
        self.scenes = scenes
        self.settings = settings.train
        self.few = steps
        side = settings.train.augment.crop
        self.anchors = make_anchors(side, side, network.detector.levels)
        decaying = [parameter for parameter in network.parameters() if parameter.ndim > 1]
        others = [parameter for parameter in network.parameters() if parameter.ndim <= 1]
        self.optimiser = torch.optim.AdamW(
            [
                {"params": decaying, "weight_decay": settings.train.weight_decay},
                {"params": others, "weight_decay": 0.0},
            ],
            lr=settings.train.learning_rate,
        )

    def turn(self, epoch: int) -> Pace:
        """Train for an epoch."""
        start, waited = time.perf_counter(), 0.0
        batches = islice(self.scenes.batches(epoch, self.settings.batch), self.few)
        for _ in range(self.few):
            asked = time.perf_counter()
            batch = next(batches)
            waited += time.perf_counter() - asked
            loss = self.loss(batch)
            self.optimiser.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(self.network.parameters(), self.settings.clip)
            self.optimiser.step()
        return _pace(self.few * self.settings.batch, time.perf_counter() - start, waited)

    def loss(self, batch: Batch) -> Tensor:
        """The weighted sum of the losses of all stages."""
        shared = self.network(batch.images)
        matching = self.settings.matching
        if shared.first is None:
            stages = [(shared.anchors, matching)]
        else:
            stages = [(shared.first, matching.cascade.first), (shared.anchors, matching.cascade.second)]
        total = torch.zeros(())
        starts = self.anchors.expand(len(batch.images), -1, -1)
        for outputs, thresholds in stages:
            total = total + stage_loss(outputs, starts, thresholds, batch, self.settings)
            starts = shared.starts(self.anchors)
        return total


def stage_loss(outputs: AnchorOutputs, starts: Tensor, thresholds: Thresholds, batch: Batch, settings: Train) -> Tensor:
    """Classification, boxes and landmarks, photo by photo. `starts` (B, n, 4): what the offsets lead from."""
    classification = box = landmarks = torch.zeros(())
    positives = pointed = 0
    for image, (boxes, points) in enumerate(zip(batch.boxes, batch.landmarks, strict=True)):
        anchors = starts[image]
        faces = match(corners(anchors), boxes, thresholds)
        rows = torch.nonzero(faces >= 0)[:, 0]
        each = functional.cross_entropy(outputs.logits[image], (faces >= 0).long(), reduction="none")
        hardest = each[faces == -1].sort(descending=True).values
        kept = int(max(len(rows), 1) * settings.matching.negatives_per_positive)
        classification = classification + each[rows].sum() + hardest[:kept].sum()
        positives += len(rows)
        if len(rows) == 0:
            continue
        wanted = encode_boxes(boxes[faces[rows]], anchors[rows])
        box = box + functional.smooth_l1_loss(outputs.boxes[image, rows], wanted, reduction="sum")
        rows = rows[points[faces[rows]].isfinite().all(-1).all(-1)]
        wanted = encode_landmarks(points[faces[rows]], anchors[rows])
        landmarks = landmarks + functional.smooth_l1_loss(outputs.landmarks[image, rows], wanted, reduction="sum")
        pointed += len(rows)
    weights = settings.weights
    losses = weights.classification * classification + weights.box * box
    return losses / max(positives, 1) + weights.landmarks * landmarks / max(pointed, 1)


def match(anchors: Tensor, boxes: Tensor, thresholds: Thresholds) -> Tensor:
    """The face (n,) of each anchor (n, 4; x1 y1 x2 y2), -1 for background and -2 for neither; a face at a time."""
    best = torch.zeros(len(anchors))
    faces = torch.full((len(anchors),), -1)
    nearest = []
    for face, (left, top, right, bottom) in enumerate(boxes.tolist()):
        wide = (anchors[:, 2].clamp(max=right) - anchors[:, 0].clamp(min=left)).clamp(min=0)
        high = (anchors[:, 3].clamp(max=bottom) - anchors[:, 1].clamp(min=top)).clamp(min=0)
        area = (anchors[:, 2] - anchors[:, 0]) * (anchors[:, 3] - anchors[:, 1])
        overlap = wide * high / (area + (right - left) * (bottom - top) - wide * high)
        better = overlap > best
        best[better], faces[better] = overlap[better], face
        if overlap.max() > 0:
            nearest.append((int(overlap.argmax()), face))
    faces[best < thresholds.positive] = -2
    faces[best < thresholds.negative] = -1
    for anchor, face in nearest:
        faces[anchor] = face
    return faces


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
            ours, plain = both_loops(arguments.scenes, _settings(changes, batch, crop), arguments.steps)
            turns = []
            for epoch in range(1 + arguments.rounds):
                turns.append((ours.turn(epoch), plain.turn(epoch)))
                progress.advance(task)
            lines.append(f"| {told} | {crop} | {batch} | {_row(turns[1:])} |")
    print("\n".join(lines))


def both_loops(scenes: Path, settings: Settings, steps: int) -> tuple[Ours, Plain]:
    """Both, over copies of one network; their losses on the first batch agree."""
    make_reproducible(settings.base)
    network = JointNetwork(settings.model)
    training = TrainingScenes(read_manifest(scenes), settings.train.augment, settings.base.seed)
    plain = Plain(copy.deepcopy(network), training, settings, steps)
    ours = Ours(network.train(), training, settings, steps)
    batch = next(training.batches(0, settings.train.batch))
    with torch.no_grad():
        one, two = float(ours.balance(ours.losses.of_scenes(batch, 0, 0))), float(plain.loss(batch))
    if abs(one - two) > TOLERANCE * max(1.0, abs(two)):
        sys.exit(
            f"the loops do different work: the loss of the first batch is {one:.6f} in ours, {two:.6f} in the other"
        )
    return ours, plain


def _settings(changes: dict[str, Any], batch: int, crop: int) -> Settings:
    tree = load_settings(Path("params.yaml")).model_dump()
    tree["base"]["threads"] = THREADS
    tree["model"] |= {"start": "nothing", **changes}
    tree["train"] |= {"tasks": "detection", "batch": batch}
    tree["train"]["augment"]["crop"] = crop
    return Settings.model_validate(tree)


def _pace(images: int, seconds: float, waited: float) -> Pace:
    return Pace(images / seconds, waited / seconds)


def _row(turns: Sequence[tuple[Pace, Pace]]) -> str:
    ours, plain = (statistics.median(turn[side].images for turn in turns) for side in (0, 1))
    waiting = [statistics.median(turn[side].waiting for turn in turns) for side in (0, 1)]
    ratio = statistics.median(turn[0].images / turn[1].images for turn in turns)
    return f"{ours:.2f} | {plain:.2f} | {ratio:.2f} | {waiting[0]:.1%} | {waiting[1]:.1%}"


if __name__ == "__main__":
    main()
