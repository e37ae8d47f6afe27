"""Training of a small recognizer with one identity loss, from names alone; a helper of identity_losses.py.

    crop ─ frozen detector's maps ─ principal components ─▶ dropout, 512, PReLU ─▶ dropout, 128 ─▶ embedding

Only the last two layers train. The detector is the public one, trained on WIDER FACE, which has no names.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from identity_loss_data import COMPONENTS, Features
from pair_metrics import Pairs, score_given
from torch import Tensor, nn
from torch.nn import functional

from onelook.evaluation.verification import fold_accuracy, score_pairs, tar_at_far
from onelook.files import write_json
from onelook.losses.identity import build_identity_loss
from onelook.losses.margin import CombinedMarginLoss
from onelook.reproducibility import seed_everything
from onelook.settings import BaseSettings, IdentitySettings
from onelook.training.learning_rates import one_cycle_factor

SEED = 2026
DIM, HIDDEN = 128, 512
BATCH, TOGETHER = 128, 4
"""Photos in a batch; those of a person that come together, so that the triplet loss has positives."""
WEIGHT_DECAY = 0.05
MEASURED = (1 / 24, 1 / 12, 1 / 4, 1 / 2, 3 / 4, 1)
"""Parts of the training after which it is measured."""
FAR = 0.01


@dataclass(frozen=True)
class Variant:
    """A loss with its parameters.

    Attributes:
        label: in the table.
        identity: what differs from the defaults of `train.identity`.
        normalize: embeddings have length 1, as those of the joint network; False: the length that the layer gives.
        annealed: the factor of the angle (SphereFace) rises from 1 to its value in the first half of the training.
    """

    label: str
    identity: dict[str, Any] = field(default_factory=dict)
    normalize: bool = True
    annealed: bool = False


@dataclass(frozen=True)
class Training:
    """Training of a variant, by name: training set, steps, learning rate and repeat."""

    variant: str
    people: str
    steps: int
    rate: float
    repeat: int

    def path(self, folder: Path) -> Path:
        """Return the file of its results."""
        return folder / f"{self.variant}-{self.people}-{self.steps}-{self.rate:g}-{self.repeat}.json"


class Recognizer(nn.Module):
    """Principal components (n, COMPONENTS) to embeddings (n, DIM) of any length."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Dropout(0.5),
            nn.Linear(COMPONENTS, HIDDEN, bias=False),
            nn.BatchNorm1d(HIDDEN),
            nn.PReLU(HIDDEN),
            nn.Dropout(0.3),
            nn.Linear(HIDDEN, DIM, bias=False),
            nn.BatchNorm1d(DIM),
        )

    def forward(self, rows: Tensor) -> Tensor:
        """Embed rows (n, COMPONENTS)."""
        embeddings: Tensor = self.body(rows)
        return embeddings

    @torch.inference_mode()
    def embed(self, rows: Tensor) -> np.ndarray:
        """Embed photos and mirror images (n, 2, COMPONENTS) as L2-normalized means (n, DIM)."""
        self.eval()
        embeddings = functional.normalize(functional.normalize(self(rows.flatten(0, 1))).view(-1, 2, DIM).sum(1))
        self.train()
        return embeddings.numpy()


def train(training: Training, variant: Variant, features: dict[str, Features], pairs: Pairs, folder: Path) -> None:
    """Train and write curve, scores of the pairs, and TAR on the other training set; nothing where they are there."""
    path = training.path(folder)
    if path.exists():
        return
    seed_everything(BaseSettings(seed=SEED + training.repeat, threads=1))
    own = features[training.people]
    recognizer = Recognizer()
    settings = IdentitySettings.model_validate(variant.identity)
    loss = build_identity_loss(settings, DIM, 1 + int(own.people.max()))
    parameters = [*recognizer.parameters(), *loss.parameters()]
    optimizer = torch.optim.AdamW(parameters, lr=training.rate, weight_decay=WEIGHT_DECAY, fused=True)
    rng = np.random.default_rng([SEED, training.repeat])
    batches = endless_batches(own.people, rng)
    measured_after = {max(1, round(part * training.steps)) for part in MEASURED}
    curve: list[dict[str, float]] = []
    losses: list[float] = []
    for step in range(training.steps):
        if variant.annealed and isinstance(loss, CombinedMarginLoss):
            loss.m1 = 1 + (settings.sphereface.margin - 1) * min(1.0, 2 * step / training.steps)
        for group in optimizer.param_groups:
            group["lr"] = training.rate * one_cycle_factor(step, training.steps)
        photos = next(batches)
        embeddings = recognizer(own.rows[photos, rng.integers(2, size=len(photos))])
        if variant.normalize:
            embeddings = functional.normalize(embeddings)
        value = loss(embeddings, torch.from_numpy(own.people[photos]))
        optimizer.zero_grad()
        value.backward()
        optimizer.step()
        losses.append(float(value.detach()))
        if step + 1 in measured_after:
            scores = score_given(recognizer.embed(features["test"].rows), pairs)
            curve.append({"step": step + 1, "loss": float(np.mean(losses)), **verify(scores, pairs.same)})
            losses = []
    finite = bool(np.isfinite(scores).all() and np.isfinite([each["loss"] for each in curve]).all())
    if not finite:  # JSON has no NaN; such a training is worth nothing
        scores = np.zeros(len(pairs.same))
        curve = [{name: value if np.isfinite(value) else 0.0 for name, value in each.items()} for each in curve]
    other = features["celeba" if training.people == "lfw" else "lfw"]
    result = {
        "curve": curve,
        "finite": finite,
        "scores": scores.tolist(),
        "validation_tar": validate(recognizer, other) if finite else 0.0,
    }
    write_json(path, result)


def load(training: Training, folder: Path) -> dict[str, Any]:
    """Return the results of a finished training."""
    result: dict[str, Any] = json.loads(training.path(folder).read_text(encoding="utf-8"))
    return result


def verify(scores: np.ndarray, same: np.ndarray) -> dict[str, float]:
    """Return accuracy in ten folds and TAR of scored pairs."""
    return {"accuracy": fold_accuracy(scores, same).mean, "tar": tar_at_far(scores, same, FAR)}


def validate(recognizer: Recognizer, faces: Features) -> float:
    """Return the TAR of all pairs of every third photo."""
    embeddings, people = recognizer.embed(faces.rows[::3]), faces.people[::3]
    return score_pairs(embeddings, people, np.arange(len(people)), SEED).tar_at_far(FAR)


def endless_batches(people: np.ndarray, rng: np.random.Generator) -> Iterator[np.ndarray]:
    """Yield photos (BATCH,) int64, each once a pass, up to TOGETHER of a person in a batch side by side."""
    waiting = np.zeros(0, np.int64)
    while True:
        while len(waiting) < BATCH:
            waiting = np.concatenate([waiting, shuffled_groups(people, rng)])
        yield waiting[:BATCH]
        waiting = waiting[BATCH:]


def shuffled_groups(people: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Shuffle photos (n,) in groups of up to TOGETHER of a person."""
    photos = rng.permutation(len(people))
    photos = photos[np.argsort(people[photos], kind="stable")]
    owners = people[photos]
    position = np.arange(len(photos)) - np.searchsorted(owners, owners)  # among the photos of the person
    group = np.unique(np.stack([owners, position // TOGETHER]), axis=1, return_inverse=True)[1].ravel()
    order = rng.permutation(1 + int(group.max()))
    return photos[np.argsort(order[group], kind="stable")]
