"""A plain training loop, as a tutorial writes it.

The peer of training_throughput.py.
"""

import time
from itertools import islice
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from onelook.data.scene_dataset import SceneBatch, SceneDataset
from onelook.geometry.anchors import AnchorOutputs, anchors_to_boxes
from onelook.geometry.boxes import encode_boxes, encode_landmarks
from onelook.model.joint_network import JointNetwork
from onelook.settings import MatchThresholds, Settings, TrainSettings


class Pace(NamedTuple):
    """Images per second of one turn.

    And the fraction of the time spent waiting for the loader.
    """

    images: float
    waiting: float

    @classmethod
    def of(cls, images: int, seconds: float, waited: float) -> "Pace":
        """Build the pace of a turn from its duration and its waiting time."""
        return cls(images / seconds, waited / seconds)


class PlainLoop:
    """Training loop with batches in the foreground and losses image by image.

    Otherwise as onelook's.
    """

    def __init__(self, network: JointNetwork, scenes: SceneDataset, settings: Settings, steps: int) -> None:
        self.network = network.train()
        self.scenes = scenes
        self.settings = settings.train
        self.few = steps
        side = settings.train.augment.crop_size
        self.anchors = network.detector.make_anchors(side, side)
        decaying = [parameter for parameter in network.parameters() if parameter.ndim > 1]
        others = [parameter for parameter in network.parameters() if parameter.ndim <= 1]
        self.optimizer = torch.optim.AdamW(
            [
                {"params": decaying, "weight_decay": settings.train.weight_decay},
                {"params": others, "weight_decay": 0.0},
            ],
            lr=settings.train.learning_rate,
        )

    def turn(self, epoch: int) -> Pace:
        """Train for an epoch."""
        start, waited = time.perf_counter(), 0.0
        batches = islice(self.scenes.batches(epoch, self.settings.batch_size), self.few)
        for _ in range(self.few):
            asked = time.perf_counter()
            batch = next(batches)
            waited += time.perf_counter() - asked
            loss = self.loss(batch)
            self.optimizer.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(self.network.parameters(), self.settings.max_grad_norm)
            self.optimizer.step()
        return Pace.of(self.few * self.settings.batch_size, time.perf_counter() - start, waited)

    def loss(self, batch: SceneBatch) -> Tensor:
        """Return the weighted sum of the losses of all stages."""
        shared = self.network(batch.images.contiguous())
        matching = self.settings.matching
        stages: list[tuple[AnchorOutputs, MatchThresholds]] = [(shared.anchor_outputs, matching)]
        if shared.first_stage is not None:
            stages = [(shared.first_stage, matching.cascade.first), (shared.anchor_outputs, matching.cascade.second)]
        total = torch.zeros(())
        starts = self.anchors.expand(len(batch.images), -1, -1)
        for outputs, thresholds in stages:
            total = total + stage_loss(outputs, starts, thresholds, batch, self.settings)
            starts = shared.reference_boxes(self.anchors)
        return total


def stage_loss(
    outputs: AnchorOutputs, starts: Tensor, thresholds: MatchThresholds, batch: SceneBatch, settings: TrainSettings
) -> Tensor:
    """Compute classification, box and landmark losses image by image.

    `starts` (B, n, 4) are the anchors.
    """
    classification = box = landmarks = torch.zeros(())
    positives = numbers = 0
    for image, (boxes, points) in enumerate(zip(batch.boxes, batch.landmarks, strict=True)):
        anchors = starts[image]
        faces = match(anchors_to_boxes(anchors), boxes, thresholds)
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
        wanted = encode_landmarks(points[faces[rows]], anchors[rows])
        known = wanted.isfinite()
        found = outputs.landmarks[image, rows][known]
        landmarks = landmarks + functional.smooth_l1_loss(found, wanted[known], reduction="sum")
        numbers += int(known.sum())
    weights = settings.weights
    losses = weights.classification * classification + weights.box * box
    return losses / max(positives, 1) + weights.landmarks * landmarks / max(numbers / 10, 1)


def match(anchors: Tensor, boxes: Tensor, thresholds: MatchThresholds) -> Tensor:
    """Return the face (n,) of each anchor (n, 4; x1 y1 x2 y2), -1 for background.

    -2 for ignored; face by face.
    """
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
