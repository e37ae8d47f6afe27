"""Eigenfaces against a plain singular value decomposition."""

import numpy as np
import pytest

from onelook.evaluation.eigenfaces import SIDE, Eigenfaces


@pytest.fixture(scope="module")
def crops() -> np.ndarray:
    """40 smooth pictures: random mixtures of a dozen waves."""
    rng = np.random.default_rng(0)
    x, y = np.meshgrid(np.linspace(0, 1, SIDE), np.linspace(0, 1, SIDE))
    waves = np.stack([np.sin(2 * np.pi * (a * x + b * y)) for a, b in rng.uniform(0.5, 3, (12, 2))])
    pictures = np.tensordot(rng.standard_normal((40, 12)) * np.linspace(2, 0.5, 12), waves, 1)
    return (127 + 18 * pictures).clip(0, 255).astype(np.uint8)


def test_equals_whitening_by_singular_values(crops: np.ndarray) -> None:
    rows = crops.reshape(40, -1).astype(np.float64)
    rows = (rows - rows.mean(1, keepdims=True)) / rows.std(1, keepdims=True)
    mean = rows[:30].mean(0)
    _, values, directions = np.linalg.svd(rows[:30] - mean, full_matrices=False)
    expected = (rows - mean) @ directions[:6].T / values[:6]
    expected /= np.linalg.norm(expected, axis=1, keepdims=True)
    found = Eigenfaces(crops[:30], 6, seed=0).embed(crops)
    assert found.dtype == np.float32
    # Components have no sign, so what is compared are the similarities.
    np.testing.assert_allclose(found @ found.T, expected @ expected.T, atol=1e-3)


def test_light_and_contrast_do_not_matter(crops: np.ndarray) -> None:
    floor = Eigenfaces(crops, 10, seed=0)
    dimmed = (crops * 0.5 + 30).round().astype(np.uint8)
    assert (floor.embed(crops) * floor.embed(dimmed)).sum(1).min() > 0.99


def test_fewer_crops_than_components_and_none_to_embed(crops: np.ndarray) -> None:
    floor = Eigenfaces(crops[:5], 100, seed=0)
    assert floor.embed(crops).shape == (40, 4)
    assert floor.embed(crops[:0]).shape == (0, 4)
    flat = floor.embed(np.full((1, SIDE, SIDE), 128, np.uint8))
    assert np.isfinite(flat).all()
