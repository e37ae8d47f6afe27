import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import norm
from scipy.stats import t as student

from onelook.score_normalization import ImpostorPrior, SimilarityMoments, leave_one_out_moments, moments_of_others

PRIOR = ImpostorPrior(mean=0.05, std=0.12, mean_weight=10, std_weight=40)


def test_moments_of_others_equal_those_of_numpy() -> None:
    similarities = np.random.default_rng(0).normal(0.1, 0.2, (5, 8))
    similarities[0, 3] = np.nan  # a person left out of the gallery of the first face
    others = leave_one_out_moments(similarities)
    for row in range(5):
        for column in range(8):
            if np.isfinite(similarities[row, column]):
                rest = np.delete(similarities[row], column)
                rest = rest[np.isfinite(rest)]
                assert others.count[row, 0] == len(rest)
                assert others.mean[row, column] == pytest.approx(rest.mean())
                assert others.variance[row, column] == pytest.approx(rest.var())


def test_the_only_person_has_no_others() -> None:
    similarity = np.array([0.4])
    others = moments_of_others(1, similarity, similarity**2, similarity)
    assert (others.count, others.mean, others.variance) == (0, 0, 0)
    # Without others the prior alone holds: Student t of 40 degrees, as wide as the uncertain mean makes it.
    expected = norm.isf(student.sf((0.4 - 0.05) / (0.12 * np.sqrt(1 + 1 / 10)), 40))
    assert PRIOR.normalize(similarity, others)[0] == pytest.approx(expected)


def test_many_others_give_the_plain_z_score() -> None:
    others = SimilarityMoments(10**7, 0.3, 0.1**2)
    np.testing.assert_allclose(PRIOR.normalize(np.array([0.3, 0.5, 0.8]), others), [0, 2, 5], atol=1e-4)


finite = st.floats(-1, 1)


@given(finite, finite, st.integers(0, 10_000), finite, st.floats(0, 0.5))
def test_the_score_grows_with_the_similarity(one: float, other: float, count: int, mean: float, std: float) -> None:
    low, high = PRIOR.normalize(np.sort([one, other]), SimilarityMoments(count, mean, std**2))
    assert np.isfinite([low, high]).all()
    assert low <= high


@given(st.floats(0, 1), st.integers(1, 1000), finite, finite, st.floats(0.05, 0.3))
def test_a_face_more_similar_to_all_others_has_a_lower_score(
    excess: float, count: int, one: float, other: float, std: float
) -> None:
    less, more = sorted((one, other))
    similarity = more + excess
    scores = [float(PRIOR.normalize(np.array(similarity), SimilarityMoments(count, m, std**2))) for m in (less, more)]
    if less >= PRIOR.mean:  # below it, the distance to the prior also widens the distribution
        assert scores[1] <= scores[0] + 1e-9


@pytest.mark.parametrize("people", [5, 50, 500])
def test_scores_of_faces_that_follow_the_prior_are_standard_normal(people: int) -> None:
    rng = np.random.default_rng(people)
    count = 200_000 // people
    variance = PRIOR.std**2 * PRIOR.std_weight / rng.chisquare(PRIOR.std_weight, (count, 1))
    mean = PRIOR.mean + np.sqrt(variance / PRIOR.mean_weight) * rng.normal(size=(count, 1))
    similarities = mean + np.sqrt(variance) * rng.normal(size=(count, people))
    scores = PRIOR.normalize(similarities, leave_one_out_moments(similarities))
    for probability in (0.1, 0.01, 0.001):
        assert (scores > norm.isf(probability)).mean() == pytest.approx(probability, rel=0.25)
