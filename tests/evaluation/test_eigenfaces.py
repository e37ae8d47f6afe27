import numpy as np
import pytest

from onelook.evaluation.eigenfaces import SIDE, Eigenfaces


@pytest.fixture(scope="module")
def crops() -> np.ndarray:
    """40 smooth images: random mixtures of twelve waves."""
    rng = np.random.default_rng(0)
    x, y = np.meshgrid(np.linspace(0, 1, SIDE), np.linspace(0, 1, SIDE))
    waves = np.stack([np.sin(2 * np.pi * (a * x + b * y)) for a, b in rng.uniform(0.5, 3, (12, 2))])
    images = np.tensordot(rng.standard_normal((40, 12)) * np.linspace(2, 0.5, 12), waves, 1)
    return (127 + 18 * images).clip(0, 255).astype(np.uint8)


def test_similarities_equal_whitened_singular_vectors(crops: np.ndarray) -> None:
    rows = crops.reshape(40, -1).astype(np.float64)
    rows = (rows - rows.mean(1, keepdims=True)) / rows.std(1, keepdims=True)
    mean = rows[:30].mean(0)
    _, values, directions = np.linalg.svd(rows[:30] - mean, full_matrices=False)
    expected = (rows - mean) @ directions[:6].T / values[:6]
    expected /= np.linalg.norm(expected, axis=1, keepdims=True)
    embedded = Eigenfaces(crops[:30], 6, seed=0).embed(crops)
    assert embedded.dtype == np.float32
    # The signs of components are arbitrary, so similarities are compared.
    np.testing.assert_allclose(embedded @ embedded.T, expected @ expected.T, atol=1e-3)


def test_brightness_and_contrast_do_not_matter(crops: np.ndarray) -> None:
    eigenfaces = Eigenfaces(crops, 10, seed=0)
    dimmed = (crops * 0.5 + 30).round().astype(np.uint8)
    assert (eigenfaces.embed(crops) * eigenfaces.embed(dimmed)).sum(1).min() > 0.99


def test_few_or_no_or_flat_crops(crops: np.ndarray) -> None:
    eigenfaces = Eigenfaces(crops[:5], 100, seed=0)
    assert eigenfaces.embed(crops).shape == (40, 4)
    assert eigenfaces.embed(crops[:0]).shape == (0, 4)
    flat = eigenfaces.embed(np.full((1, SIDE, SIDE), 128, np.uint8))
    assert np.isfinite(flat).all()
