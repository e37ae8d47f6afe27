"""Distill a network with another backbone from the frozen released one.

A helper of backbone_shapes.py.

The photos are LFW's development training people and web photos outside the test split of `params.yaml`; nobody in
them is tested on. No label is read. First the new layers train alone, then all.
"""

import time
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import cv2
import numpy as np
import torch
from backbone_variants import Shape, build
from rich.console import Console
from rich.progress import track
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.nn import functional

from onelook.data.photometric import photometric_distortion
from onelook.data.readers.json_annotations import read_json_annotations
from onelook.data.readers.lfw import read_lfw
from onelook.files import atomic_file
from onelook.inference.decoding import postprocess_detections
from onelook.losses.distillation import distillation_loss, lwf_loss
from onelook.model.joint_network import JointNetwork
from onelook.model.model_folder import RELEASED
from onelook.model.retinaface import NetworkOutput
from onelook.model.serialization import load_model
from onelook.reproducibility import seed_everything
from onelook.settings import BaseSettings, JsonAnnotationsSettings, LfwSettings, load_settings
from onelook.training.learning_rates import one_cycle_factor

SEED = 2026
BATCH, SIDE = 8, 256
SCALES = 0.2, 1.5  # of the photos in a crop
WEB = 0.4  # share of the web photos among them
CELL = 250  # pixels of a photo's shorter side at scale 1
LIGHT = 0.5  # strength of the changes of light and sharpness
FACES, SMALLEST = 2, 24  # faces of a crop that are embedded at most; their least width in pixels
SURE = 0.5  # of the teacher, that it is a face
WEIGHTS = {"maps": 1.0, "outputs": 0.1, "embeddings": 2.0}
DECAY, CLIP = 1e-4, 5.0
SAVED = 100  # steps


class Stage(NamedTuple):
    """Part of the training, with a learning-rate cycle of its own."""

    name: str
    steps: int
    rate: float


STAGES = (Stage("new", 400, 3e-3), Stage("all", 1000, 5e-4))


class Crops(Protocol):
    """Source of the crops that both networks get."""

    def batch(self, rng: np.random.Generator) -> Tensor:
        """Return (B, 3, side, side) uint8."""


class Photos:
    """Crops tiled with training photos at one scale.

    The smaller the scale, the more faces.
    """

    def __init__(self, data: Path) -> None:
        reading = read_lfw(LfwSettings(path=str(data / "lfw")))
        official = reading.official_splits or {}
        self.people = [each.path for each in reading.images if official[each.identity] == "train"]
        settings = load_settings(Path("params.yaml"))
        shares, seed = settings.prepare.split, settings.base.seed
        labeled = read_json_annotations(JsonAnnotationsSettings(path=str(data / "scenes")), shares, seed).photos
        self.web = [each.path for each in labeled if each.split != "test"]

    def batch(self, rng: np.random.Generator) -> Tensor:
        """Return (BATCH, 3, SIDE, SIDE) uint8, channels last in memory."""
        crops = np.array([self._crop(rng) for _ in range(BATCH)])
        return torch.from_numpy(crops).permute(0, 3, 1, 2)

    def _crop(self, rng: np.random.Generator) -> np.ndarray:
        scale = float(np.exp(rng.uniform(*np.log(SCALES))))
        cell = round(CELL * scale)
        top, left = rng.integers(cell, size=2)
        rows, columns = (-(-(SIDE + begin) // cell) for begin in (top, left))
        cells = [[self._cell(cell, scale, rng) for _ in range(columns)] for _ in range(rows)]
        photo = np.concatenate([np.concatenate(row, axis=1) for row in cells])[top : top + SIDE, left : left + SIDE]
        if rng.random() < 0.5:
            photo = photo[:, ::-1]
        return photometric_distortion(photo, LIGHT, rng)

    def _cell(self, side: int, scale: float, rng: np.random.Generator) -> np.ndarray:
        """Return the square `side` of a photo whose shorter side was resized to it."""
        paths = self.web if rng.random() < WEB else self.people
        # Where half the size is enough, decoding it takes half the time.
        how = cv2.IMREAD_COLOR if scale > 0.5 else cv2.IMREAD_REDUCED_COLOR_2
        photo = cv2.cvtColor(cv2.imread(str(paths[rng.integers(len(paths))]), how), cv2.COLOR_BGR2RGB)
        height, width = photo.shape[:2]
        zoom = side / min(height, width)
        size = max(side, round(width * zoom)), max(side, round(height * zoom))
        photo = cv2.resize(photo, size, interpolation=cv2.INTER_AREA if zoom < 1 else cv2.INTER_LINEAR)
        top, left = rng.integers(size[1] - side + 1), rng.integers(size[0] - side + 1)
        return photo[top : top + side, left : left + side]


def distill(name: str, shape: Shape, photos: Crops, folder: Path) -> JointNetwork:
    """Return the distilled network of a shape.

    Read from `folder` if finished, continued if begun.

    A shape that is not to be trained is returned as built.
    """
    final = folder / f"{name}.safetensors"
    if shape.distill and not final.exists():
        seed_everything(BaseSettings(seed=SEED, threads=1))
        folder.mkdir(parents=True, exist_ok=True)
        network = build(shape)
        for number, stage in enumerate(STAGES):
            train_stage(network, shape, photos, number, folder / f"{name}.{stage.name}.pt")
        state = {key: value.contiguous() for key, value in network.state_dict().items()}
        with atomic_file(final) as temporary:
            save_file(state, temporary)
        for stage in STAGES:
            (folder / f"{name}.{stage.name}.pt").unlink()
    network = build(shape)
    if shape.distill:
        network.load_state_dict(load_file(final))
    return network.eval()


def train_stage(network: JointNetwork, shape: Shape, photos: Crops, number: int, saved: Path) -> None:
    """Run one stage, from the checkpoint `saved` if there is one."""
    stage = STAGES[number]
    teacher: Any = load_model(RELEASED).to(memory_format=torch.channels_last).requires_grad_(False)  # type: ignore[call-overload]
    new = [network.get_submodule(name) for name in shape.new]
    network.requires_grad_(stage.name == "all")
    for module in new:
        module.requires_grad_(True)
    learning = [each for each in network.parameters() if each.requires_grad]
    optimizer = torch.optim.AdamW(learning, lr=stage.rate, weight_decay=DECAY)
    begin = 0
    if saved.exists():
        state = torch.load(saved, weights_only=True)
        network.load_state_dict(state["network"])
        optimizer.load_state_dict(state["optimizer"])
        begin = state["step"]
    # What was released keeps its statistics, and what is new keeps those of the first stage.
    network.eval()
    for module in new:
        module.train(stage.name == "new")
    sums: dict[str, float] = {}
    started = time.perf_counter()
    steps = range(begin, stage.steps)
    for step in track(steps, description=saved.stem, console=Console(stderr=True)):
        rng = np.random.default_rng([SEED, number, step])
        losses = loss_parts(network, teacher, photos.batch(rng), rng)
        for key, value in losses.items():
            sums[key] = sums.get(key, 0.0) + float(value.detach())
        for group in optimizer.param_groups:
            group["lr"] = stage.rate * one_cycle_factor(step, stage.steps)
        optimizer.zero_grad()
        torch.stack([WEIGHTS[key] * value for key, value in losses.items()]).sum().backward()
        nn.utils.clip_grad_norm_(learning, CLIP)
        optimizer.step()
        if (step + 1) % SAVED == 0 or step + 1 == stage.steps:
            state = {"network": network.state_dict(), "optimizer": optimizer.state_dict(), "step": step + 1}
            with atomic_file(saved) as temporary:
                torch.save(state, temporary)
            told = ", ".join(f"{key} {value / SAVED:.4f}" for key, value in sums.items())
            print(f"{saved.stem} {step + 1}: {told}; {time.perf_counter() - started:.0f} s", flush=True)
            sums = {}


def loss_parts(
    network: JointNetwork, teacher: JointNetwork, images: Tensor, rng: np.random.Generator
) -> dict[str, Tensor]:
    """Return the distances to the teacher on images (B, 3, H, W).

    In maps, outputs, embeddings.
    """
    with torch.no_grad():
        wanted = teacher(images)
        faces = _faces(wanted, teacher.detector.make_anchors(*images.shape[2:]), rng)
        known = teacher.embed(wanted.feature_maps, faces)
    # With the colors innermost, oneDNN's gradient of a 1x1 convolution of stride 2 writes where it must not.
    shared = network(images.contiguous())
    parts = {"maps": map_loss(shared, wanted), "outputs": lwf_loss(shared.anchor_outputs, wanted.anchor_outputs)}
    if len(known):
        parts["embeddings"] = distillation_loss(network.embed(shared.feature_maps, faces), known)
    return parts


def map_loss(shared: NetworkOutput, wanted: NetworkOutput) -> Tensor:
    """Compute the mean squared error of maps.

    Each channel in units of its variance in the teacher's map.

    The maps are the embedding head's and the detection heads' inputs; those of another shape than the teacher's are
    left out.
    """
    pairs = zip(
        [*shared.feature_maps, *shared.head_features], [*wanted.feature_maps, *wanted.head_features], strict=True
    )
    return torch.stack([_error(own, theirs) for own, theirs in pairs if own.shape == theirs.shape]).mean()


def _error(own: Tensor, wanted: Tensor) -> Tensor:
    variance = wanted.var((0, 2, 3))
    # A channel that hardly ever changes is not worth more than the others.
    variance = variance.clamp(min=0.01 * float(variance.mean()))
    return (functional.mse_loss(own, wanted, reduction="none").mean((0, 2, 3)) / variance).mean()


def _faces(wanted: NetworkOutput, anchors: Tensor, rng: np.random.Generator) -> list[Tensor]:
    """Return the teacher's landmarks (n, 5, 2) of a few faces of each image."""
    outputs: Any = type(wanted.anchor_outputs)(*(each.contiguous() for each in wanted.anchor_outputs))
    chosen = []
    for image in range(len(outputs.logits)):
        boxes, _, landmarks, _ = postprocess_detections(outputs, image, anchors, SURE, 0.4)
        rows = rng.permutation(np.flatnonzero(boxes[:, 2] - boxes[:, 0] >= SMALLEST))[:FACES]
        chosen.append(torch.from_numpy(landmarks[rows]))
    return chosen
