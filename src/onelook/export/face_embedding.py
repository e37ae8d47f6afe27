"""The embedding head as an exporter can follow it."""

from math import log2

import torch
from torch import Tensor, nn
from torch.nn import functional

from onelook.export.face_grid import FaceGrid
from onelook.export.face_samples import halved_maps, sample_levels
from onelook.model.embedding import EmbeddingHead

# As the head has them: the finest map's samples along each side of a cell, and the most halvings.
_DENSER = 2
_MOST_HALVINGS = 5


class FaceEmbedding(nn.Module):
    """Embeddings (n, size), of length 1, of faces in shared maps, with the weights of a head."""

    def __init__(self, head: EmbeddingHead) -> None:
        super().__init__()
        self.head = head
        self.dense = FaceGrid(head, _DENSER * head.sampled)
        self.plain = FaceGrid(head, head.sampled)

    def forward(self, maps: list[Tensor], landmarks: Tensor, owners: Tensor) -> Tensor:
        """Embed faces.

        Args:
            maps: shared maps (B, c, H / stride, W / stride), fine to coarse.
            landmarks: (n, 5, 2) in pixels.
            owners: (n,) int64, the image each face lies in.
        """
        head = self.head
        x = head.fuse[1:](self._fused(maps, landmarks, owners)).expand(-1, -1, head.samples, head.samples)
        return functional.normalize(head.out(head.gather(head.widen(head.tail(x)))).flatten(1))

    def _fused(self, maps: list[Tensor], landmarks: Tensor, owners: Tensor) -> Tensor:
        """The samples of all maps projected and summed: (n, channels, sampled, sampled)."""
        head, projection = self.head, self.head.fuse[0]
        assert isinstance(projection, nn.Conv2d)
        dense, plain = self.dense(landmarks), self.plain(landmarks)
        step = dense[:, 1] - dense[:, 0]
        spacing = step.square().sum(-1).sqrt()
        halvings = torch.log2(spacing / head.strides[0]).round().clamp(0, _MOST_HALVINGS)
        finest, *others = (maps[place] for place in head.places)
        side, channels = _DENSER * head.sampled, int(finest.shape[1])
        samples = sample_levels(halved_maps(finest, _MOST_HALVINGS), head.strides[0], halvings, dense, owners)
        start = channels * _DENSER**2
        kernel = projection.weight[:, :start].reshape(-1, channels, _DENSER, _DENSER)
        x = functional.conv2d(samples.reshape(-1, channels, side, side), kernel, projection.bias, stride=_DENSER)
        for each, stride in zip(others, head.strides[1:], strict=True):
            # The other maps are sampled half as densely, so they may stay twice as fine.
            later = int(log2(stride / head.strides[0])) - 1
            levels = halved_maps(each, _MOST_HALVINGS - later)
            samples = sample_levels(levels, stride, (halvings - later).clamp(min=0), plain, owners)
            channels = int(each.shape[1])
            kernel = projection.weight[:, start : start + channels]
            x = x + functional.conv2d(samples.reshape(-1, channels, head.sampled, head.sampled), kernel)
            start += channels
        return x
