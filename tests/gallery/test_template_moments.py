import numpy as np
import pytest

from onelook.gallery.template_moments import TemplateMoments


@pytest.mark.parametrize("count", [2, 7, 5000])
def test_moments_equal_those_of_all_similarities(count: int) -> None:
    rng = np.random.default_rng(count)
    rows = rng.normal(size=(count + 9, 16)).astype(np.float32)
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    templates, probes = rows[:count], rows[count:]
    similarities = np.sort(probes.astype(np.float64) @ templates.T, axis=1)
    others = TemplateMoments(templates, count).of_others(probes, similarities[:, -1])
    assert others.count == count - 1
    np.testing.assert_allclose(others.mean, similarities[:, :-1].mean(axis=1), atol=1e-6)
    np.testing.assert_allclose(others.variance, similarities[:, :-1].var(axis=1), atol=1e-6)


def test_one_person_has_no_others() -> None:
    template = np.array([[1.0, 0.0]], np.float32)
    others = TemplateMoments(template, 1).of_others(template, np.array([1.0]))
    assert (others.count, others.mean[0], others.variance[0]) == (0, 0, 0)
