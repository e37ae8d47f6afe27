import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as st

from onelook.losses.margin import sample_classes


@given(st.integers(1, 40), st.floats(0.01, 1), st.lists(st.integers(-1, 39), max_size=12), st.integers(0, 2**32 - 1))
def test_the_sample_has_the_size_of_the_fraction_and_includes_the_labels(
    count: int, fraction: float, faces: list[int], seed: int
) -> None:
    labels = torch.tensor([face % count if face >= 0 else -1 for face in faces], dtype=torch.int64)
    sampled = sample_classes(labels, count, fraction, np.random.default_rng(seed)).tolist()
    positives = {int(label) for label in labels if label >= 0}
    assert positives <= set(sampled) <= set(range(count)) and sampled == sorted(set(sampled))
    assert len(sampled) == max(len(positives), round(fraction * count))


def test_the_sample_depends_on_the_seed_alone() -> None:
    labels = torch.tensor([3, -1, 70])
    first, again, another = (
        sample_classes(labels, 100, 0.2, np.random.default_rng(seed)) for seed in ([1, 2], [1, 2], [1, 3])
    )
    assert first.equal(again) and not first.equal(another)


def test_negatives_are_sampled_uniformly() -> None:
    """Three of ten classes, one of them the label: two of nine negatives, 1000 times."""
    rng = np.random.default_rng(0)
    sampled = torch.cat([sample_classes(torch.tensor([4]), 10, 0.3, rng) for _ in range(1000)])
    counts = sampled.bincount(minlength=10)
    assert counts[4] == 1000 and counts.sum() == 3000
    negatives = counts[torch.arange(10) != 4]
    # Five standard deviations of the binomial distribution of 1000 draws with probability 2/9.
    assert bool(((negatives - 1000 * 2 / 9).abs() < 5 * (1000 * 2 / 9 * 7 / 9) ** 0.5).all())
