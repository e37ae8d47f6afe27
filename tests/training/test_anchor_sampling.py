import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as st

from onelook.training.anchor_sampling import sample_anchors


@given(st.integers(1, 4), st.integers(1, 60), st.integers(1, 40), st.integers(0, 2**31))
def test_the_sample_is_a_subset_of_the_mask_without_repetition(images: int, n: int, budget: int, seed: int) -> None:
    mask = torch.rand(images, n, generator=torch.Generator().manual_seed(seed)) < 0.3
    sampled = sample_anchors(mask, budget, np.random.default_rng(seed))
    pairs = list(zip(sampled.images.tolist(), sampled.rows.tolist(), strict=True))
    assert len(set(pairs)) == len(pairs) == min(budget, int(mask.sum()))
    assert all(mask[pair] for pair in pairs) and bool(sampled.valid.all())


def test_every_anchor_is_sampled_about_as_often() -> None:
    rng = np.random.default_rng(0)
    mask = torch.zeros(3, 100, dtype=torch.bool)
    mask[:, 40:60] = True
    times = torch.zeros(3, 100)
    for _ in range(3000):
        images, rows, _ = sample_anchors(mask, 6, rng)
        times[images, rows] += 1
    assert times[~mask].sum() == 0
    # 300 expected each; the hash makes the draws of neighbors dependent, but not those of different steps.
    assert times[mask].min() > 230 and times[mask].max() < 370
