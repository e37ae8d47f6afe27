"""Hard probes: their similarity to the people they show, and their noise."""

import numpy as np

from helpers.unit_rows import crowd
from onelook.gallery.hard_probes import add_noise, best_similarities, sample_hard_probes


def test_a_probe_has_a_hard_similarity_to_its_template() -> None:
    rng = np.random.default_rng(0)
    rows = crowd(300, 1)
    probes = add_noise(rows, rng.normal(size=rows.shape).astype(np.float32), rng)
    np.testing.assert_allclose(np.linalg.norm(probes, axis=1), 1, atol=1e-5)
    similarities = (probes * rows).sum(axis=1)
    assert similarities.min() >= 0.4 - 1e-5 and similarities.max() <= 0.7 + 1e-5
    assert abs(similarities.mean() - 0.55) < 0.02


def test_noise_has_the_directions_of_the_templates() -> None:
    rows = crowd(2000, 2)
    rows[:, 64:] = 0  # half of the dimensions are not used
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    probes = sample_hard_probes(rows, 50, np.random.default_rng(3))
    assert probes.shape == (50, 128)
    np.testing.assert_allclose(probes[:, 64:], 0, atol=1e-6)
    assert len(sample_hard_probes(rows[:20], 50, np.random.default_rng(3))) == 20


def test_equal_templates_give_finite_probes() -> None:
    rows = np.repeat(crowd(1, 4), 10, axis=0)
    assert np.isfinite(sample_hard_probes(rows, 5, np.random.default_rng(5))).all()


def test_best_similarities_over_several_blocks() -> None:
    rows = np.zeros((70_000, 2), np.float32)
    rows[[3, 69_999]] = [[1, 0], [0, 1]]
    np.testing.assert_allclose(best_similarities(rows, np.asarray([[1, 0], [0.6, 0.8]], np.float32)), [1, 0.8])
