"""Losses of a training batch, by task: detection, LwF, mesh, rendered faces, identity and distillation."""

import copy
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import NamedTuple, TypeVar

import numpy as np
import torch
from torch import Tensor, nn

from onelook.data.batched_photometric import distort_images
from onelook.data.face_dataset import FaceBatch
from onelook.data.rng import Stream, make_rng
from onelook.data.scene_dataset import SceneBatch
from onelook.device import to_device
from onelook.distributed import all_gather
from onelook.geometry.anchors import AnchorOutputs, is_coarse_anchor
from onelook.losses.detection import CascadeStage, Matches, TrainedAnchors, cascade_losses
from onelook.losses.distillation import distillation_loss, similarity_loss
from onelook.losses.feature_supervision import feature_supervision_loss, select_regions
from onelook.losses.margin import CombinedMarginLoss, sample_classes
from onelook.losses.mesh import encode_mesh_targets, mask_labeled, mesh_and_landmarks_loss
from onelook.losses.task_weights import TaskWeights
from onelook.model.detection_heads import dropped_anchors
from onelook.model.feature_supervision import FeatureSupervision
from onelook.model.joint_network import JointNetwork
from onelook.model.retinaface import NetworkOutput, RetinaFace
from onelook.precision import to_float32
from onelook.settings import Settings
from onelook.training.anchor_sampling import sample_anchors
from onelook.training.face_sampling import EmbeddedFaces, LandmarkDraws, draw_landmarks, sample_landmarks, select_faces
from onelook.training.rendered_faces import rendering_loss

# Streams of the random numbers of a step.
_LANDMARKS, _RENDERING, _CLASSES, _MESHES = 1, 2, 3, 4

ANCHORS_PER_MESH = 64
"""Largest number of positive anchors with a mesh loss in a step, as a multiple of the faces with a mesh."""

Batch = TypeVar("Batch", SceneBatch, FaceBatch)


class TaskLosses:
    """The losses of the trained tasks, by the names of their weights, and their weighted sum.

    In distributed training the mean of the losses over the processes is the loss of the whole batch:

    - Losses of anchors are computed by each process on its shard.
    - Losses of embeddings are computed by every process on the embeddings of all processes.

    Batches are on the CPU, where labels and random numbers decide what is sampled, and are copied to the device of the
    network. Nothing is read back.

    Attributes:
        device: of the network.
        initial_network: a frozen copy of the network before training, the teacher of LwF; None where the initial
            weights detect no faces.
        detector_frozen: True where the detector has learning rate 0, so that its gradients are not computed.
    """

    def __init__(
        self,
        network: JointNetwork,
        identity_loss: nn.Module,
        task_weights: TaskWeights,
        settings: Settings,
        *,
        autocast: torch.autocast,
        embed_scenes: bool,
        feature_supervision: FeatureSupervision | None = None,
    ) -> None:
        """Copy the initial network where it is a teacher.

        Args:
            network: the network to train.
            identity_loss: maps embeddings and identities to a scalar.
            task_weights: maps the losses to their weighted sum.
            settings: what is trained, and the seed.
            autocast: precision of the network's forward pass.
            embed_scenes: True where the faces of scenes are embedded; False where face crops train recognition.
            feature_supervision: RefineFace's classifier of regions; None where it is not trained.
        """
        self.network = network
        self.identity_loss = identity_loss
        self.task_weights = task_weights
        self.feature_supervision = feature_supervision
        self.settings = settings.train
        self.seed = settings.base.seed
        self.autocast = autocast
        self.device = next(network.parameters()).device
        self.embed_scenes = embed_scenes and settings.train.tasks != "detection"
        self.initial_network: JointNetwork | None = None
        if network.settings.starts_from_detector:
            self.initial_network = copy.deepcopy(network).eval().requires_grad_(False)
        self.initial_network_embeds = network.settings.init == "released"
        self.detector_frozen = self.initial_network is not None and self.settings.backbone_lr_mult == 0

    def __call__(self, scenes: SceneBatch | None, faces: FaceBatch | None, epoch: int, batch: int) -> dict[str, Tensor]:
        """Compute the losses of scenes and face crops, and as `total` their weighted sum.

        Args:
            scenes: None where training is on face crops alone.
            faces: None where training is on scenes alone.
            epoch: counted from 0; with `batch` it seeds the random numbers.
            batch: its number within the epoch, from 0.
        """
        losses: dict[str, Tensor] = {}
        if scenes is not None:
            losses |= self.scene_losses(scenes, epoch, batch)
        if faces is not None:
            losses |= self.face_losses(faces, epoch, batch)
        return losses | {"total": self.task_weights(losses)}

    def face_losses(self, batch: FaceBatch, epoch: int, number: int) -> dict[str, Tensor]:
        """Compute the recognition losses of face crops; `epoch` and `number` seed the random numbers."""
        identities = all_gather(batch.identities)  # on the CPU, where the losses need them
        classes = self._sample_classes(identities, epoch, number)
        batch = self._upload(batch)
        embeddings = all_gather(self._embed(self._feature_maps(batch.images), batch.landmarks.split(1)))
        losses = {}
        if self.settings.weights.identity > 0:
            losses["identity"] = self._identity_loss(embeddings, identities, classes)
        if batch.teacher_embeddings is not None:
            losses |= self._distillation_losses(embeddings, all_gather(batch.teacher_embeddings))
        return losses

    def scene_losses(self, batch: SceneBatch, epoch: int, number: int) -> dict[str, Tensor]:
        """Compute the losses of the trained tasks on scenes; `epoch` and `number` seed the random numbers."""
        sample = self._sample_faces(batch, epoch, number)
        mesh_budget = 0 if self.network.mesh is None else ANCHORS_PER_MESH * _count_meshes(batch.meshes)
        batch = self._upload(batch)
        if self.settings.tasks == "recognition":
            landmarks = sample_landmarks(batch, sample.draws, self.settings)
            return self._recognition_losses(self._feature_maps(batch.images), None, batch, sample, landmarks)
        outputs, initial_outputs = self._forward(batch.images)
        anchors = self.network.detector.make_anchors(*batch.images.shape[2:])
        stages = self._cascade_stages(outputs, anchors)
        losses, matches = cascade_losses(
            stages,
            None
            if initial_outputs is None
            else [stage.outputs for stage in self._cascade_stages(initial_outputs, anchors)],
            batch.boxes,
            batch.landmarks,
            self.settings.matching.negatives_per_positive,
            batch.ignored,
            self.settings.matching.scale_margin,
        )
        last_anchors = stages[-1].anchors
        if self.feature_supervision is not None:
            regions = select_regions(outputs.anchor_outputs, last_anchors, matches, batch.boxes)
            logits = self.feature_supervision(outputs.head_features, regions.boxes)
            losses["feature_supervision"] = feature_supervision_loss(logits, regions)
        if self.network.mesh is not None and batch.meshes is not None:
            rng = self._rng(epoch, number, _MESHES)
            losses["mesh"] = self._mesh_loss(outputs, last_anchors, matches, batch.meshes, mesh_budget, rng)
        if self.network.dense is not None:
            rng = self._rng(epoch, number, _RENDERING)
            losses["pixel"] = rendering_loss(
                self.network.dense, outputs.head_features, outputs.anchor_outputs, last_anchors, matches, batch, rng
            )
        if not self.embed_scenes:
            return losses
        matched = outputs.anchor_outputs, last_anchors, matches
        landmarks = sample_landmarks(batch, sample.draws, self.settings, matched)
        initial_maps = None if initial_outputs is None else initial_outputs.feature_maps
        return losses | self._recognition_losses(outputs.feature_maps, initial_maps, batch, sample, landmarks)

    def _upload(self, batch: Batch) -> Batch:
        """Copy a batch to the device, and distort its images there unless the loader has."""
        batch = to_device(batch, self.device)
        return replace(batch, images=distort_images(batch.images, batch.photometric))

    def _rng(self, epoch: int, number: int, stream: int) -> np.random.Generator:
        return make_rng(self.seed, Stream.STEP, epoch, number, stream)

    def _forward(self, images: Tensor) -> tuple[NetworkOutput, NetworkOutput | None]:
        """Return the outputs of the network, and those of the initial network if there is one."""
        images = images.contiguous(memory_format=torch.channels_last)
        with torch.set_grad_enabled(not self.detector_frozen):
            outputs = self._run_network(self.network, images)
        if self.initial_network is None:
            return outputs, None
        if self.detector_frozen:
            return outputs, outputs
        with torch.no_grad():
            return outputs, self._run_network(self.initial_network, images)

    def _run_network(self, network: JointNetwork, images: Tensor) -> NetworkOutput:
        with self.autocast:
            outputs: NetworkOutput = network(images)
        return NetworkOutput(
            anchor_outputs=AnchorOutputs(*_to_float32(outputs.anchor_outputs)),
            feature_maps=_to_float32(outputs.feature_maps),
            head_features=_to_float32(outputs.head_features),
            first_stage=None if outputs.first_stage is None else AnchorOutputs(*_to_float32(outputs.first_stage)),
        )

    def _feature_maps(self, images: Tensor) -> list[Tensor]:
        """Compute the maps that faces are embedded from, without the detection heads."""
        with torch.set_grad_enabled(not self.detector_frozen), self.autocast:
            maps = self.network.detector.extract_feature_maps(images.contiguous(memory_format=torch.channels_last))
        return _to_float32(maps)

    def _embed(self, maps: list[Tensor], points: Sequence[Tensor]) -> Tensor:
        """Embed faces: maps as float32, points (n_i, 5, 2) of each image -> (n, d) float32."""
        with self.autocast:
            embeddings: Tensor = self.network.embed(maps, points)
        return to_float32(embeddings)

    def _cascade_stages(self, outputs: NetworkOutput, anchors: Tensor) -> list[CascadeStage]:
        """Pair the outputs of one or two stages with their anchors and thresholds."""
        matching = self.settings.matching
        if outputs.first_stage is None:
            return [CascadeStage(outputs.anchor_outputs, outputs.reference_boxes(anchors), matching)]
        trained = dropped = None
        if isinstance(self.network.detector, RetinaFace) and self.network.detector.is_selective:
            is_coarse = is_coarse_anchor(anchors, self.network.detector.levels)
            trained = TrainedAnchors(~is_coarse, is_coarse, torch.zeros_like(is_coarse))
            dropped = dropped_anchors(outputs.first_stage.logits)
        return [
            CascadeStage(outputs.first_stage, anchors, matching.cascade.first, trained),
            CascadeStage(
                outputs.anchor_outputs, outputs.reference_boxes(anchors), matching.cascade.second, dropped=dropped
            ),
        ]

    def _sample_faces(self, batch: SceneBatch, epoch: int, number: int) -> "_FaceSample":
        """Decide which faces of a batch on the CPU are embedded, and draw their random numbers."""
        faces = select_faces(batch, self.settings)
        draws = draw_landmarks(batch, self.settings, epoch, self._rng(epoch, number, _LANDMARKS))
        identities = all_gather(batch.identities[faces.images, faces.rows])
        return _FaceSample(
            *to_device((faces, draws), self.device), identities, self._sample_classes(identities, epoch, number)
        )

    def _mesh_loss(
        self,
        outputs: NetworkOutput,
        anchors: Tensor,
        matches: Matches,
        meshes: Tensor,
        budget: int,
        rng: np.random.Generator,
    ) -> Tensor:
        """Compute the mesh loss of up to `budget` positive anchors of faces with a mesh."""
        assert self.network.mesh is not None
        images, rows, valid = sample_anchors(mask_labeled(matches, meshes), max(1, budget), rng)
        target = encode_mesh_targets(matches, meshes, anchors, images, rows)
        return mesh_and_landmarks_loss(self.network.mesh(outputs.head_features, images, rows), target, valid)

    def _recognition_losses(
        self,
        maps: list[Tensor],
        initial_maps: list[Tensor] | None,
        batch: SceneBatch,
        sample: "_FaceSample",
        landmarks: Tensor,
    ) -> dict[str, Tensor]:
        """Compute the identity loss, and the distillation from the teacher or else from the released weights."""
        images, rows, counts = sample.faces
        points = landmarks[images, rows].split(counts)  # (n_i, 5, 2) per image
        if len(sample.identities) < 2:  # batch norm needs two faces
            return {"identity": maps[0].sum() * 0}
        embeddings = all_gather(self._embed(maps, points))
        losses = {"identity": self._identity_loss(embeddings, sample.identities, sample.classes)}
        if batch.teacher_embeddings is not None:
            target = batch.teacher_embeddings[images, rows]
            losses |= self._distillation_losses(embeddings, all_gather(target))
        elif self.initial_network is not None and self.initial_network_embeds and initial_maps is not None:
            with torch.no_grad():
                target = self.initial_network.embed(initial_maps, points)
            losses |= self._distillation_losses(embeddings, all_gather(target))
        return losses

    def _distillation_losses(self, embeddings: Tensor, target: Tensor) -> dict[str, Tensor]:
        """Compute the losses of the faces of all processes towards the teacher's embeddings."""
        losses = {"distillation": distillation_loss(embeddings, target)}
        if self.settings.weights.similarity > 0:
            losses["similarity"] = similarity_loss(embeddings, target)
        return losses

    def _identity_loss(self, embeddings: Tensor, identities: Tensor, classes: Tensor | None) -> Tensor:
        """Compute the identity loss of the faces of all processes."""
        sampled = () if classes is None else (classes,)
        loss: Tensor = self.identity_loss(embeddings, identities, *sampled)
        return loss

    def _sample_classes(self, identities: Tensor, epoch: int, number: int) -> Tensor | None:
        """Sample the classes of the softmax; None for all classes, and for losses without classes."""
        fraction = self.settings.identity.sampled_class_fraction
        if not isinstance(self.identity_loss, CombinedMarginLoss) or fraction == 1:
            return None
        return sample_classes(identities, self.identity_loss.identities, fraction, self._rng(epoch, number, _CLASSES))


class _FaceSample(NamedTuple):
    """The faces of a step to embed.

    Attributes:
        faces: on the device.
        draws: random numbers of their landmarks, on the device.
        identities: (n,) int64 of the faces of all processes, on the CPU.
        classes: classes of the softmax on the CPU; None for all.
    """

    faces: EmbeddedFaces
    draws: LandmarkDraws
    identities: Tensor
    classes: Tensor | None


def _count_meshes(meshes: Tensor | None) -> int:
    """Return the number of faces of all processes with a mesh (B, M, 468, 3)."""
    count = torch.zeros(1, dtype=torch.int64) if meshes is None else meshes[:, :, 0, 0].isfinite().sum()[None]
    return int(all_gather(count).sum())


def _to_float32(tensors: Iterable[Tensor]) -> list[Tensor]:
    return [to_float32(tensor) for tensor in tensors]
