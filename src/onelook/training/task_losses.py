"""Losses of a training batch, by task: detection, LwF, mesh, rendered faces, identity and distillation."""

import copy
from collections.abc import Iterable

import numpy as np
import torch
from torch import Tensor, nn

from onelook.data.face_dataset import FaceBatch
from onelook.data.scene_dataset import SceneBatch
from onelook.distributed import all_gather
from onelook.geometry.anchors import AnchorOutputs
from onelook.losses.detection import CascadeStage, cascade_losses
from onelook.losses.distillation import distillation_loss
from onelook.losses.margin import CombinedMarginLoss, sample_classes
from onelook.losses.mesh import mesh_and_landmarks_loss, select_mesh_targets
from onelook.losses.task_weights import TaskWeights
from onelook.model.joint_network import JointNetwork
from onelook.model.retinaface import NetworkOutput
from onelook.settings import Settings
from onelook.training.face_sampling import sample_landmarks, select_faces
from onelook.training.rendered_faces import rendering_loss

# Streams of the random numbers of a step.
_LANDMARKS, _RENDERING, _CLASSES = 1, 2, 3


class TaskLosses:
    """The losses of the trained tasks, by the names of their weights, and their weighted sum.

    In distributed training the mean of the losses over the processes is the loss of the whole batch:

    - Losses of anchors are computed by each process on its shard.
    - Losses of embeddings are computed by every process on the embeddings of all processes.

    Attributes:
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
    ) -> None:
        """Copy the initial network where it is a teacher.

        Args:
            network: the network to train.
            identity_loss: maps embeddings and identities to a scalar.
            task_weights: maps the losses to their weighted sum.
            settings: what is trained, and the seed.
            autocast: precision of the detector's forward pass.
            embed_scenes: True where the faces of scenes are embedded; False where face crops train recognition.
        """
        self.network = network
        self.identity_loss = identity_loss
        self.task_weights = task_weights
        self.settings = settings.train
        self.seed = settings.base.seed
        self.autocast = autocast
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
        embeddings = all_gather(self.network.embed(self._feature_maps(batch.images), batch.landmarks.split(1)))
        losses = {"identity": self._identity_loss(embeddings, all_gather(batch.identities), epoch, number)}
        if batch.teacher_embeddings is not None:
            losses["distillation"] = distillation_loss(embeddings, all_gather(batch.teacher_embeddings))
        return losses

    def scene_losses(self, batch: SceneBatch, epoch: int, number: int) -> dict[str, Tensor]:
        """Compute the losses of the trained tasks on scenes; `epoch` and `number` seed the random numbers."""
        landmarks_rng = self._rng(epoch, number, _LANDMARKS)
        if self.settings.tasks == "recognition":
            landmarks = sample_landmarks(batch, self.settings, epoch, landmarks_rng)
            return self._recognition_losses(self._feature_maps(batch.images), None, batch, landmarks, epoch, number)
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
        )
        last_anchors = stages[-1].anchors
        if self.network.mesh is not None and batch.meshes is not None:
            images, rows, target = select_mesh_targets(matches, batch.meshes, last_anchors)
            losses["mesh"] = mesh_and_landmarks_loss(self.network.mesh(outputs.head_features, images, rows), target)
        if self.network.dense is not None:
            rng = self._rng(epoch, number, _RENDERING)
            losses["pixel"] = rendering_loss(
                self.network.dense, outputs.head_features, outputs.anchor_outputs, last_anchors, matches, batch, rng
            )
        if not self.embed_scenes:
            return losses
        matched = outputs.anchor_outputs, last_anchors, matches
        landmarks = sample_landmarks(batch, self.settings, epoch, landmarks_rng, matched)
        initial_maps = None if initial_outputs is None else initial_outputs.feature_maps
        return losses | self._recognition_losses(outputs.feature_maps, initial_maps, batch, landmarks, epoch, number)

    def _rng(self, epoch: int, number: int, stream: int) -> np.random.Generator:
        return np.random.default_rng([self.seed, epoch, number, stream])

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

    def _cascade_stages(self, outputs: NetworkOutput, anchors: Tensor) -> list[CascadeStage]:
        """Pair the outputs of one or two stages with their anchors and thresholds."""
        matching = self.settings.matching
        if outputs.first_stage is None:
            return [CascadeStage(outputs.anchor_outputs, outputs.reference_boxes(anchors), matching)]
        return [
            CascadeStage(outputs.first_stage, anchors, matching.cascade.first),
            CascadeStage(outputs.anchor_outputs, outputs.reference_boxes(anchors), matching.cascade.second),
        ]

    def _recognition_losses(
        self,
        maps: list[Tensor],
        initial_maps: list[Tensor] | None,
        batch: SceneBatch,
        landmarks: Tensor,
        epoch: int,
        number: int,
    ) -> dict[str, Tensor]:
        """Compute the identity loss, and the distillation from the teacher or else from the released weights."""
        faces = select_faces(batch, self.settings)
        counts = torch.bincount(faces[0], minlength=len(batch.images)).tolist()
        points = landmarks[faces].split(counts)  # (n_i, 5, 2) per image
        identities = all_gather(batch.identities[faces])
        if len(identities) < 2:  # batch norm needs two faces
            return {"identity": maps[0].sum() * 0}
        embeddings = all_gather(self.network.embed(maps, points))
        losses = {"identity": self._identity_loss(embeddings, identities, epoch, number)}
        if batch.teacher_embeddings is not None:
            target = batch.teacher_embeddings[faces]
            losses["distillation"] = distillation_loss(embeddings, all_gather(target))
        elif self.initial_network is not None and self.initial_network_embeds and initial_maps is not None:
            with torch.no_grad():
                target = self.initial_network.embed(initial_maps, points)
            losses["distillation"] = distillation_loss(embeddings, all_gather(target))
        return losses

    def _identity_loss(self, embeddings: Tensor, identities: Tensor, epoch: int, number: int) -> Tensor:
        """Compute the identity loss of the faces of all processes."""
        fraction = self.settings.identity.sampled_class_fraction
        classes = []
        if isinstance(self.identity_loss, CombinedMarginLoss) and fraction < 1:
            rng = self._rng(epoch, number, _CLASSES)
            classes = [sample_classes(identities, self.identity_loss.identities, fraction, rng)]
        loss: Tensor = self.identity_loss(embeddings, identities, *classes)
        return loss


def _to_float32(tensors: Iterable[Tensor]) -> list[Tensor]:
    return [tensor.float() for tensor in tensors]
