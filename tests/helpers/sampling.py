"""Random maps and faces to sample."""

import numpy as np
import torch

from helpers.networks import tiny_embedding
from onelook.geometry.alignment import REFERENCE_LANDMARKS
from onelook.settings import EmbeddingSettings


def random_sampling_case(seed: int, sampling: str) -> tuple[EmbeddingSettings, list[torch.Tensor], list[torch.Tensor]]:
    """Return settings, maps and landmarks in float64; faces are of any size and lie partly or wholly outside."""
    generator = torch.Generator().manual_seed(seed)
    rng = np.random.default_rng(seed)
    settings = tiny_embedding(8, sampling=sampling, strides=[(2, 4, 8, 16), (4, 16), (8,), (1, 4, 8)][seed % 4])
    height, width, count = (int(x) for x in torch.randint(16, 200, (3,), generator=generator))
    images = 1 + count % 3
    maps = [
        torch.randn(images, 3, -(-height // s), -(-width // s), generator=generator, dtype=torch.float64)
        for s in settings.strides
    ]
    template = torch.from_numpy(REFERENCE_LANDMARKS).double() / 112
    landmarks = []
    for _ in range(images):
        faces = int(rng.integers(0, 6))
        sides = torch.from_numpy(rng.uniform(1, 6, (faces, 1, 1))).exp()
        corners = torch.from_numpy(rng.uniform(-50, 200, (faces, 1, 2)))
        noise = torch.from_numpy(rng.normal(0, 0.03, (faces, 5, 2)))
        landmarks.append((template + noise) * sides + corners)
    return settings, maps, landmarks
