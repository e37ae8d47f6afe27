"""Dense head: shape, texture, camera and light of a face, learned by rendering (arXiv 1905.00641, section 3.2).

At an anchor it predicts 128 parameters of shape and texture, 7 of the camera and 9 of the light, from which the face
can be rendered.

Difference from the paper: the untrained head predicts the mean face, frontal, under ambient light, aligned to the
predicted landmarks. The landmark head already predicts where the face is, and a pixel loss corrects only shifts of a
few pixels.
"""

from collections.abc import Sequence
from functools import lru_cache
from typing import NamedTuple

import torch
from torch import Tensor, nn

from onelook.device import to_device
from onelook.geometry.alignment import apply_transform, similarity_transform
from onelook.geometry.anchors import AnchorLevel
from onelook.geometry.camera import NUM_CAMERA_PARAMETERS, project_points
from onelook.geometry.mesh import NUM_SHAPE_PARAMETERS, mesh_to_landmarks, triangles
from onelook.geometry.rendering import NUM_LIGHT_PARAMETERS, Rendering, render, shade
from onelook.model.anchor_head import AnchorHead
from onelook.model.mesh_decoder import MeshDecoder

# Initial distances of camera and light, in units of the face's frame, in which a face is about 3 high. The perspective
# of that camera is weak, as in most photos of faces.
_CAMERA_DISTANCE = 10.0
_LIGHT_DISTANCE = 5.0
# Change of camera (units, radians) and light per unit of a parameter: about one standard deviation between photos, as
# in the parameters of shape and texture.
_PARAMETER_SCALE = 0.1
# Largest change of the logarithm of distance and focal length, so that the camera stays outside the face.
_MAX_LOG_CHANGE = 1.5


class DenseFaces(NamedTuple):
    """Colored meshes of faces in an image.

    vertices: (k, 468, 3) x and y in pixels of the image, and the distance from the camera in units of the face's frame.
    colors: (k, 468, 3) lit RGB, mostly in 0..1.
    """

    vertices: Tensor
    colors: Tensor


class DenseHead(nn.Module):
    """Linear prediction of the parameters at an anchor, and the mesh decoder."""

    def __init__(self, channels: int, levels: Sequence[AnchorLevel]) -> None:
        super().__init__()
        outputs = NUM_SHAPE_PARAMETERS + NUM_CAMERA_PARAMETERS + NUM_LIGHT_PARAMETERS
        self.anchor_head = AnchorHead(channels, levels, outputs)
        for parameter in self.anchor_head.parameters():
            nn.init.zeros_(parameter)
        self.decoder = MeshDecoder()

    def forward(self, features: Sequence[Tensor], images: Tensor, anchors: Tensor, landmarks: Tensor) -> DenseFaces:
        """Predict the faces at anchors.

        Args:
            features, images, anchors: as in `AnchorHead`.
            landmarks: (k, 5, 2) in pixels, to which the mean face is aligned.
        """
        return self.decode(self.anchor_head(features, images, anchors), landmarks)

    def decode(self, parameters: Tensor, landmarks: Tensor) -> DenseFaces:
        """Decode parameters (k, 144) to faces aligned to landmarks (k, 5, 2)."""
        shape_texture, camera, light = parameters.split(
            [NUM_SHAPE_PARAMETERS, NUM_CAMERA_PARAMETERS, NUM_LIGHT_PARAMETERS], dim=1
        )
        shapes, albedos = self.decoder(shape_texture).split(3, dim=-1)  # (k, 468, 3) each
        frontal = _decode_camera(camera.new_zeros(1, NUM_CAMERA_PARAMETERS))
        mean = project_points(self.decoder.mean[None, :, :3], frontal)
        mean_landmarks = mesh_to_landmarks(mean)
        alignment = similarity_transform(mean_landmarks.expand(len(landmarks), -1, -1), landmarks)
        projected = project_points(shapes, _decode_camera(camera))
        vertices = torch.cat([apply_transform(alignment, projected[..., :2]), projected[..., 2:]], dim=-1)
        return DenseFaces(vertices, shade(shapes, albedos, _decode_light(light), _triangles(vertices.device)))


def _decode_camera(parameters: Tensor) -> Tensor:
    """Convert predictions (k, 7) to the camera parameters of `project_points`; 0 is a frontal camera."""
    changes = parameters * _PARAMETER_SCALE
    lengths = changes[:, 2::4].clip(-_MAX_LOG_CHANGE, _MAX_LOG_CHANGE).exp() * _CAMERA_DISTANCE
    return torch.cat([changes[:, :2], -lengths[:, :1], changes[:, 3:6], lengths[:, 1:]], dim=1)


def _decode_light(parameters: Tensor) -> Tensor:
    """Convert predictions (k, 9) to the light parameters of `shade`; 0 is white ambient light."""
    return parameters * _PARAMETER_SCALE + _initial_light(parameters.device, parameters.dtype)


@lru_cache(maxsize=8)
def _initial_light(device: torch.device, dtype: torch.dtype) -> Tensor:
    """Return the light parameters (9,) of white ambient light."""
    with torch.inference_mode(False):  # else autograd refuses a tensor that inference has cached
        return to_device(torch.tensor([0, 0, -_LIGHT_DISTANCE, 0, 0, 0, 1, 1, 1], dtype=dtype), device)


@lru_cache(maxsize=8)
def _triangles(device: torch.device) -> Tensor:
    """Return the triangles (m, 3) int64 of the mesh on a device."""
    with torch.inference_mode(False):
        return to_device(torch.from_numpy(triangles()), device)


def render_boxes(faces: DenseFaces, boxes: Tensor, side: int) -> Rendering:
    """Render faces inside boxes (k, 4; x1 y1 x2 y2) of the image, scaled to squares of `side` pixels."""
    scale = side / (boxes[:, None, 2:] - boxes[:, None, :2]).clip(min=1e-3)
    inside = (faces.vertices[..., :2] - boxes[:, None, :2]) * scale
    vertices = torch.cat([inside, faces.vertices[..., 2:]], -1)
    return render(vertices, faces.colors, _triangles(vertices.device), side)


@torch.no_grad()
def crop_boxes(images: Tensor, image_indices: Tensor, boxes: Tensor, side: int) -> Tensor:
    """Crop boxes out of images and resize the crops to squares of `side` pixels.

    Args:
        images: (B, 3, H, W) RGB in 0..255.
        image_indices: (k,) int64, the index of each box's image.
        boxes: (k, 4; x1 y1 x2 y2) of whole pixels (`round_boxes`).
        side: of the squares, in pixels.

    Returns:
        (k, side, side, 3) RGB in 0..1.
    """
    height, width = images.shape[2:]
    rows = _resize_weights(boxes[:, 1], boxes[:, 3], height, side)  # (k, side, H)
    columns = _resize_weights(boxes[:, 0], boxes[:, 2], width, side)
    pixels = images[image_indices].float()  # (k, 3, H, W)
    return (rows[:, None] @ pixels @ columns[:, None].mT).permute(0, 2, 3, 1) / 255


def _resize_weights(lows: Tensor, highs: Tensor, pixels: int, side: int) -> Tensor:
    """Compute the weights (k, side, pixels) of an antialiased linear resize of pixels `lows` to `highs` (k,).

    They are those of torch's bilinear interpolation with antialiasing: a triangle as wide as two pixels of the result,
    or of the image if those are larger.
    """
    scale = ((highs - lows) / side)[:, None, None]
    centers = lows[:, None, None] + scale * (torch.arange(side, device=lows.device)[:, None] + 0.5)
    positions = torch.arange(pixels, device=lows.device) + 0.5
    weights = (1 - (positions - centers).abs() / scale.clip(min=1)).clip(min=0)
    inside = (positions > lows[:, None, None]) & (positions < highs[:, None, None])
    weights = weights * inside
    return weights / weights.sum(-1, keepdim=True)


def round_boxes(boxes: Tensor, height: int, width: int) -> Tensor:
    """Round boxes (k, 4; x1 y1 x2 y2) to whole pixels of an image, at least one pixel wide and high."""
    x1, y1, x2, y2 = boxes.round().unbind(1)
    x1, y1 = x1.clamp(0, width - 1), y1.clamp(0, height - 1)
    x2, y2 = x2.clamp(max=width).maximum(x1 + 1), y2.clamp(max=height).maximum(y1 + 1)
    return torch.stack([x1, y1, x2, y2], dim=1)
