"""What a batch costs: the losses of the tasks that are trained, on whole scenes and on single faces."""

import copy
from collections.abc import Callable, Iterable

import numpy as np
import torch
from torch import Tensor, nn

from onelook.data.face_dataset import FaceBatch
from onelook.data.scene_dataset import SceneBatch
from onelook.distributed import all_gather, rank
from onelook.geometry.anchors import AnchorOutputs
from onelook.losses.dense import rendering_loss
from onelook.losses.detection import CascadeStage, anchor_losses, predicted_landmarks
from onelook.losses.distillation import distillation_loss
from onelook.losses.identity_labels import NO_IDENTITY
from onelook.losses.margin import CombinedMarginLoss, sample_classes
from onelook.losses.mesh import labeled_positives, mesh_and_points_loss
from onelook.model.joint_network import JointNetwork
from onelook.model.retinaface import NetworkOutput
from onelook.settings import Settings


class TaskLosses:
    """The losses of detection, of recognition, or of both, by the names of their weights.

    Of processes that train together each sees a part of the batch, and their mean is the loss of the whole: what is
    said of anchors is summed up by each for its own, embeddings are compared by all with all.

    Attributes:
        starting: the network as training starts, kept as it is; None where that finds no faces yet.
        frozen: whether the detector stays what it was, so that nothing is computed to change it.
    """

    def __init__(self, network: JointNetwork, identity: nn.Module, settings: Settings, *, scenes_embed: bool) -> None:
        """`scenes_embed`: whether the faces of scenes are embedded; not where single faces teach recognition."""
        self.network = network
        self.identity = identity
        self.settings = settings.train
        self.seed = settings.base.seed
        self.recognizes = settings.train.tasks != "detection"
        self.scenes_embed = scenes_embed and self.recognizes
        start = network.settings
        self.starting = copy.deepcopy(network).eval().requires_grad_(False) if start.starts_from_detector else None
        self.knows_faces = start.init == "released"
        self.frozen = self.starting is not None and self.settings.backbone_lr_mult == 0

    def of_faces(self, batch: FaceBatch, epoch: int, step: int) -> dict[str, Tensor]:
        """Recognition on single faces; `epoch` and `step`, both from 0, choose what is random."""
        embeddings = self.network.embed(self._maps(batch.images), batch.landmarks.split(1))
        everyone = all_gather(embeddings)
        losses = {"identity": self._identity(everyone, all_gather(batch.identities), epoch, step)}
        if batch.taught is not None:
            losses["distil"] = distillation_loss(everyone, all_gather(batch.taught))
        return losses

    def of_scenes(self, batch: SceneBatch, epoch: int, step: int) -> dict[str, Tensor]:
        """The trained tasks on scenes; `epoch` and `step`, both from 0, choose what is random."""
        if self.settings.tasks == "recognition":
            landmarks, wanted = self._faces_to_embed(batch, self._points(batch, epoch, step))
            return self._recognition(self._maps(batch.images), None, batch, landmarks, wanted, epoch, step)
        images = batch.images.contiguous(memory_format=torch.channels_last)
        with torch.set_grad_enabled(not self.frozen):
            shared = self._pass(self.network, images)
        anchors = self.network.detector.anchors(*batch.images.shape[2:])
        start = None
        if self.starting is not None:
            with torch.no_grad():
                start = shared if self.frozen else self._pass(self.starting, images)
        stages = self._stages(shared, anchors)
        losses, matches = anchor_losses(
            stages,
            None if start is None else [stage.outputs for stage in self._stages(start, anchors)],
            batch.boxes,
            batch.landmarks,
            self.settings.matching.negatives_per_positive,
            batch.ignored,
        )
        if self.network.mesh is not None and batch.meshes is not None:
            images_of, rows, wanted_meshes = labeled_positives(matches, batch.meshes, stages[-1].anchors)
            losses["mesh"] = mesh_and_points_loss(self.network.mesh(shared.features, images_of, rows), wanted_meshes)
        if self.network.dense is not None:
            rng = np.random.default_rng([self.seed, epoch, step, 2])
            losses["pixel"] = rendering_loss(
                self.network.dense, shared.features, shared.anchors, stages[-1].anchors, matches, batch, rng
            )
        if not self.scenes_embed:
            return losses

        def predicted(image: int, labeled: Tensor) -> Tensor:
            return predicted_landmarks(shared.anchors, image, stages[-1].anchors[image], matches[image], labeled)

        landmarks, wanted = self._faces_to_embed(batch, self._points(batch, epoch, step, predicted))
        starting_maps = None if start is None else start.maps
        return losses | self._recognition(shared.maps, starting_maps, batch, landmarks, wanted, epoch, step)

    def _stages(self, shared: NetworkOutput, anchors: Tensor) -> list[CascadeStage]:
        """The heads' outputs with what each starts from and is matched by; two of a cascade."""
        matching = self.settings.matching
        if shared.first is None:
            return [CascadeStage(shared.anchors, shared.starts(anchors), matching)]
        return [
            CascadeStage(shared.first, anchors, matching.cascade.first),
            CascadeStage(shared.anchors, shared.starts(anchors), matching.cascade.second),
        ]

    def _maps(self, images: Tensor) -> list[Tensor]:
        with torch.set_grad_enabled(not self.frozen), self._precision():
            maps = self.network.detector.shared_maps(images.contiguous(memory_format=torch.channels_last))
        return _floats(maps)

    def _pass(self, network: JointNetwork, images: Tensor) -> NetworkOutput:
        with self._precision():
            told: NetworkOutput = network(images)
        return NetworkOutput(
            anchors=AnchorOutputs(*_floats(told.anchors)),
            maps=_floats(told.maps),
            features=_floats(told.features),
            first=None if told.first is None else AnchorOutputs(*_floats(told.first)),
        )

    def _precision(self) -> torch.autocast:
        return torch.autocast("cpu", torch.bfloat16, enabled=self.settings.precision == "bfloat16")

    def _recognition(
        self,
        maps: list[Tensor],
        starting_maps: list[Tensor] | None,
        batch: SceneBatch,
        landmarks: list[Tensor],
        wanted: list[Tensor],
        epoch: int,
        step: int,
    ) -> dict[str, Tensor]:
        """Identity, and what a teacher says of the faces; without one, what the released weights said of them.

        What those know of faces is to be kept, as what they know of where faces are.
        """
        identities = all_gather(torch.cat([who[mask] for who, mask in zip(batch.identities, wanted, strict=True)]))
        if len(identities) < 2:  # batch statistics need two faces
            return {"identity": maps[0].sum() * 0}
        embeddings = all_gather(self.network.embed(maps, landmarks))
        losses = {"identity": self._identity(embeddings, identities, epoch, step)}
        if batch.taught is not None:
            taught = torch.cat([rows[mask] for rows, mask in zip(batch.taught, wanted, strict=True)])
            losses["distil"] = distillation_loss(embeddings, all_gather(taught))
        elif self.starting is not None and self.knows_faces and starting_maps is not None:
            with torch.no_grad():
                known = self.starting.embed(starting_maps, landmarks)
            losses["distil"] = distillation_loss(embeddings, all_gather(known))
        return losses

    def _identity(self, embeddings: Tensor, identities: Tensor, epoch: int, step: int) -> Tensor:
        """The identity loss of the faces of all processes."""
        asked = [embeddings, identities]
        if isinstance(self.identity, CombinedMarginLoss) and self.settings.identity.sampled_class_fraction < 1:
            rng = np.random.default_rng([self.seed, epoch, step, 3])
            asked.append(
                sample_classes(identities, self.identity.identities, self.settings.identity.sampled_class_fraction, rng)
            )
        told: Tensor = self.identity(*asked)
        return told

    def _points(
        self, batch: SceneBatch, epoch: int, step: int, predicted: Callable[[int, Tensor], Tensor] | None = None
    ) -> list[Tensor]:
        """Landmarks to sample each image's faces at (n, 5, 2): labeled ones with noise.

        Where the network predicts them too, a growing share of the faces is sampled there: training sees what inference
        will. `predicted` takes an image's number and the labeled landmarks, which it gives back for faces not found.
        """
        rng = np.random.default_rng([self.seed, epoch, step, 1])
        augment = self.settings.augment
        share = augment.predicted_landmark_fraction * epoch / max(1, self.settings.epochs - 1)
        # The draws of the images of earlier processes come first.
        counts = all_gather(torch.tensor([len(labeled) for labeled in batch.landmarks])).tolist()
        first = all_gather(torch.tensor([len(batch.landmarks)]))[: rank()].sum()
        draws = [_draws(count, rng, predicted is not None) for count in counts][int(first) :]
        chosen = []
        for image, (boxes, labeled) in enumerate(zip(batch.boxes, batch.landmarks, strict=True)):
            noise, chance = draws[image]
            points = labeled + noise * augment.landmark_jitter * _sizes(boxes)[:, None, None]
            if predicted is not None:
                guess = chance < share
                points = torch.where(guess[:, None, None], predicted(image, points), points)
            chosen.append(points)
        return chosen

    def _faces_to_embed(self, batch: SceneBatch, points: list[Tensor]) -> tuple[list[Tensor], list[Tensor]]:
        """Of each image the landmarks to embed at, and which of its faces those are.

        Faces need landmarks, and somebody who knows them: a name, a teacher, or a loss that learns from strangers.
        """
        augment = self.settings.augment
        chosen, masks = [], []
        for image, (boxes, labeled, who) in enumerate(zip(batch.boxes, batch.landmarks, batch.identities, strict=True)):
            wanted = who != NO_IDENTITY
            if batch.taught is not None:
                wanted |= batch.taught[image].isfinite().all(-1)
            if self.settings.identity.uses_unlabeled_faces:
                # A face that is cut off or too small may be a person's who lost the name by it: it is no stranger.
                whole = ((labeled >= 0) & (labeled <= augment.crop_size)).all(-1).all(-1)
                wanted |= whole & (_sizes(boxes) >= augment.min_identity_size)
            wanted &= labeled.isfinite().all(-1).all(-1)
            chosen.append(points[image][wanted])
            masks.append(wanted)
        return chosen, masks


def _floats(tensors: Iterable[Tensor]) -> list[Tensor]:
    return [tensor.float() for tensor in tensors]


def _draws(count: int, rng: np.random.Generator, guessing: bool) -> tuple[Tensor, Tensor]:
    """The noise (n, 5, 2) on the landmarks of an image's faces and, where some are guessed, their chances (n,)."""
    noise = rng.standard_normal((count, 5, 2), np.float32)
    return torch.from_numpy(noise), torch.from_numpy(rng.random(count if guessing else 0))


def _sizes(boxes: Tensor) -> Tensor:
    """Face sizes (n,) of boxes (n, 4): the square root of the area."""
    return (boxes[:, 2:] - boxes[:, :2]).prod(1).clip(min=0).sqrt()
