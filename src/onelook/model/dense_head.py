"""The dense branch of RetinaFace 2019 (arXiv 1905.00641, section 3.2).

A face told so fully that it can be rendered.

From the features of an anchor: 128 parameters of shape and texture, 7 of the camera, 9 of the light.
"""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn

from onelook.geometry.alignment import apply_transform, similarity_transform
from onelook.geometry.anchors import AnchorLevel
from onelook.geometry.camera import NUM_CAMERA_PARAMETERS, project_points
from onelook.geometry.mesh import NUM_SHAPE_PARAMETERS, mesh_to_landmarks, triangles
from onelook.geometry.rendering import NUM_LIGHT_PARAMETERS, Rendering, render, shade
from onelook.model.anchor_head import AnchorHead
from onelook.model.mesh_decoder import MeshDecoder

# The camera before training, in the unit of the face's frame, of which a face is about three high: far enough for the
# little perspective that photos of faces have. The light stands as near as a lamp in a room.
_DISTANCE = 10.0
_LAMP = 5.0
# What a number of 1 changes camera and light by, in units, radians and shares: faces differ by as much, and by one
# standard deviation in the parameters of their shape and colors.
_STEP = 0.1
# Largest change of the logarithm of distance and focal length: the camera stays outside the face.
_LARGEST_CHANGE = 1.5


class DenseFaces(NamedTuple):
    """Faces in a photo.

    vertices: (k, 468, 3) x and y in pixels of the photo, and the distance from the camera in the face's own unit.
    colors: (k, 468, 3) RGB as lit, 0..1 and now and then beyond.
    """

    vertices: Tensor
    colors: Tensor


class DenseHead(nn.Module):
    """Readouts of every anchor size, and the decoder they share.

    Before training every face is the mean face as the camera sees it from straight ahead, under ambient light alone,
    moved, scaled and turned in the picture onto five landmarks: what the landmark head tells need not be learned twice,
    and pixels teach a shift of a few pixels only.
    """

    def __init__(self, channels: int, levels: Sequence[AnchorLevel]) -> None:
        super().__init__()
        self.readout = AnchorHead(channels, levels, NUM_SHAPE_PARAMETERS + NUM_CAMERA_PARAMETERS + NUM_LIGHT_PARAMETERS)
        for parameter in self.readout.parameters():
            nn.init.zeros_(parameter)
        self.decoder = MeshDecoder()

    def forward(self, features: Sequence[Tensor], images: Tensor, anchors: Tensor, landmarks: Tensor) -> DenseFaces:
        """Faces at anchors.

        Args:
            features: the maps the detection heads read, (B, c, H, W) per level, fine to coarse.
            images, anchors: (k,) int64, which image and which of its anchors, in the order of `make_anchors`.
            landmarks: (k, 5, 2) in pixels, where the mean face stands.
        """
        return self.decode(self.readout(features, images, anchors), landmarks)

    def decode(self, numbers: Tensor, landmarks: Tensor) -> DenseFaces:
        """Faces that numbers (k, 144) tell, from landmarks (k, 5, 2) on."""
        parameters, camera, light = numbers.split(
            [NUM_SHAPE_PARAMETERS, NUM_CAMERA_PARAMETERS, NUM_LIGHT_PARAMETERS], dim=1
        )
        colored = self.decoder(parameters)
        shapes, skin = colored.split(3, dim=-1)
        mean = project_points(self.decoder.mean[None, :, :3], _camera(camera.new_zeros(1, NUM_CAMERA_PARAMETERS)))
        seen = project_points(shapes, _camera(camera))
        points = torch.from_numpy(mesh_to_landmarks(mean.numpy()))
        onto = similarity_transform(points.expand(len(landmarks), -1, -1), landmarks)
        vertices = torch.cat([apply_transform(onto, seen[..., :2]), seen[..., 2:]], dim=-1)
        return DenseFaces(vertices, shade(shapes, skin, _light(light), torch.from_numpy(triangles())))


def _camera(numbers: Tensor) -> Tensor:
    """Camera parameters as `project_points` wants them.

    Numbers (k, 7) of 0 are a camera straight ahead.
    """
    changes = numbers * _STEP
    nearer = changes[:, [2, 6]].clip(-_LARGEST_CHANGE, _LARGEST_CHANGE).exp() * _DISTANCE
    return torch.cat([changes[:, :2], -nearer[:, :1], changes[:, 3:6], nearer[:, 1:]], dim=1)


def _light(numbers: Tensor) -> Tensor:
    """Illumination as `shade` wants it; numbers (k, 9) of 0 leave colors as they are."""
    start = numbers.new_tensor([0, 0, -_LAMP, 0, 0, 0, 1, 1, 1])
    return numbers * _STEP + start


def render_boxes(faces: DenseFaces, boxes: Tensor, side: int) -> Rendering:
    """Faces as they look inside boxes (k, 4; x1 y1 x2 y2) of the photo.

    Scaled to squares of `side` pixels.
    """
    scale = side / (boxes[:, None, 2:] - boxes[:, None, :2]).clip(min=1e-3)
    inside = (faces.vertices[..., :2] - boxes[:, None, :2]) * scale
    return render(torch.cat([inside, faces.vertices[..., 2:]], -1), faces.colors, torch.from_numpy(triangles()), side)


@torch.no_grad()
def crop_boxes(images: Tensor, owners: Tensor, boxes: Tensor, side: int) -> Tensor:
    """What photos (B, 3, H, W) in 0..255 show inside boxes (k, 4; x1 y1 x2 y2).

    (k, side, side, 3) RGB in 0..1.

    `owners` (k,) int64 says which photo each box lies in; boxes are of whole pixels (`round_boxes`).
    """
    crops = [
        nn.functional.interpolate(
            images[owner, None, :, y1:y2, x1:x2].float(), (side, side), mode="bilinear", antialias=True
        )
        for owner, (x1, y1, x2, y2) in zip(owners.tolist(), boxes.long().tolist(), strict=True)
    ]
    return torch.cat([images.new_zeros(0, 3, side, side), *crops]).permute(0, 2, 3, 1) / 255


def round_boxes(boxes: Tensor, height: int, width: int) -> Tensor:
    """Boxes (k, 4; x1 y1 x2 y2) as the nearest whole pixels of a photo of `height` x `width`, one at the least."""
    limits = boxes.new_tensor([width, height])
    low = boxes[:, :2].round().clamp(min=0).minimum(limits - 1)
    high = boxes[:, 2:].round().minimum(limits).maximum(low + 1)
    return torch.cat([low, high], dim=1)
