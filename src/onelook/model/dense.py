"""The dense branch of RetinaFace 2019 (arXiv 1905.00641, section 3.2): a face told so fully that it can be rendered.

From the features of an anchor: 128 parameters of shape and texture, 7 of the camera, 9 of the light.
"""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn

from onelook.geometry.anchors import AnchorLevel
from onelook.geometry.camera import CAMERA, project
from onelook.geometry.mesh import PARAMETERS, triangles
from onelook.geometry.render import Rendered, render
from onelook.geometry.shading import ILLUMINATION, shade
from onelook.model.mesh_decoder import MeshDecoder
from onelook.model.readout import AnchorReadout

# The camera before training, in the unit of the face's frame, of which a face is about three high: far enough for the
# little perspective that photos of faces have. The light stands as near as a lamp in a room.
_DISTANCE = 10.0
_LAMP = 5.0
# Largest change of the logarithm of distance and focal length: the camera stays outside the face.
_LARGEST_CHANGE = 1.5


class DenseFaces(NamedTuple):
    """Faces in a photo.

    vertices: (k, 468, 3) x and y in pixels of the photo, and the distance from the camera in the face's own unit.
    colours: (k, 468, 3) RGB as lit, 0..1 and now and then beyond.
    """

    vertices: Tensor
    colours: Tensor


class DenseHead(nn.Module):
    """Readouts of every anchor size, and the decoder they share.

    Before training every face is the mean face, straight before the camera, as large as the box it starts from and
    under ambient light alone.
    """

    def __init__(self, channels: int, levels: Sequence[AnchorLevel]) -> None:
        super().__init__()
        self.readout = AnchorReadout(channels, levels, PARAMETERS + CAMERA + ILLUMINATION)
        for parameter in self.readout.parameters():
            nn.init.zeros_(parameter)
        self.decoder = MeshDecoder()

    def forward(self, features: Sequence[Tensor], images: Tensor, anchors: Tensor, starts: Tensor) -> DenseFaces:
        """Faces at anchors.

        Args:
            features: the maps the detection heads read, (B, c, H, W) per level, fine to coarse.
            images, anchors: (k,) int64, which image and which of its anchors, in the order of `make_anchors`.
            starts: (k, 4; centre x, centre y, width, height) in pixels, where the mean face stands.
        """
        return self.decode(self.readout(features, images, anchors), starts)

    def decode(self, numbers: Tensor, starts: Tensor) -> DenseFaces:
        """Faces that numbers (k, 144) tell, seen from boxes (k, 4; centre, size)."""
        parameters, camera, light = numbers.split([PARAMETERS, CAMERA, ILLUMINATION], dim=1)
        coloured = self.decoder(parameters)
        shapes, skin = coloured.split(3, dim=-1)
        plane = project(shapes, self._camera(camera))
        side = starts[:, None, 2:].prod(-1, keepdim=True).sqrt()
        vertices = torch.cat([starts[:, None, :2] + side * plane[..., :2], plane[..., 2:]], dim=-1)
        corners = torch.from_numpy(triangles())
        return DenseFaces(vertices, shade(shapes, skin, _light(light), corners))

    def _camera(self, numbers: Tensor) -> Tensor:
        """Camera parameters as `project` wants them; numbers (k, 7) of 0 show the mean face in a square of side 1."""
        shape = self.decoder.mean[:, :3]
        low, high = shape.amin(0), shape.amax(0)
        focal = _DISTANCE / (high - low)[:2].prod().sqrt().clip(min=1e-6)
        change = numbers[:, [2, 6]].clip(-_LARGEST_CHANGE, _LARGEST_CHANGE).exp()
        aside = numbers[:, :2] + (low + high)[:2] / 2
        return torch.cat([aside, -_DISTANCE * change[:, :1], numbers[:, 3:6], focal * change[:, 1:]], dim=1)


def _light(numbers: Tensor) -> Tensor:
    """Illumination as `shade` wants it; numbers (k, 9) of 0 leave colours as they are."""
    start = numbers.new_tensor([0, 0, -_LAMP, 0, 0, 0, 1, 1, 1])
    return numbers + start


def render_boxes(faces: DenseFaces, boxes: Tensor, side: int) -> Rendered:
    """Faces as they look inside boxes (k, 4; x1 y1 x2 y2) of the photo, scaled to squares of `side` pixels."""
    scale = side / (boxes[:, None, 2:] - boxes[:, None, :2]).clip(min=1e-3)
    inside = (faces.vertices[..., :2] - boxes[:, None, :2]) * scale
    return render(torch.cat([inside, faces.vertices[..., 2:]], -1), faces.colours, torch.from_numpy(triangles()), side)


@torch.no_grad()
def cut_boxes(images: Tensor, owners: Tensor, boxes: Tensor, side: int) -> Tensor:
    """What photos (B, 3, H, W) in 0..255 show inside boxes (k, 4; x1 y1 x2 y2): (k, side, side, 3) RGB in 0..1.

    `owners` (k,) int64 says which photo each box lies in; boxes are of whole pixels (`whole_pixels`).
    """
    crops = [
        nn.functional.interpolate(
            images[owner, None, :, y1:y2, x1:x2].float(), (side, side), mode="bilinear", antialias=True
        )
        for owner, (x1, y1, x2, y2) in zip(owners.tolist(), boxes.long().tolist(), strict=True)
    ]
    return torch.cat([images.new_zeros(0, 3, side, side), *crops]).permute(0, 2, 3, 1) / 255


def whole_pixels(boxes: Tensor, height: int, width: int) -> Tensor:
    """Boxes (k, 4; x1 y1 x2 y2) as the nearest whole pixels of a photo of `height` x `width`, one at the least."""
    limits = boxes.new_tensor([width, height])
    low = boxes[:, :2].round().clamp(min=0).minimum(limits - 1)
    high = boxes[:, 2:].round().minimum(limits).maximum(low + 1)
    return torch.cat([low, high], dim=1)
