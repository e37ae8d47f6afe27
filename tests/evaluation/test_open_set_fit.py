"""Fit of the open-set decision to simulated impostors with known differences between sets."""

from functools import cache

import numpy as np
import pytest

from onelook.errors import DataError
from onelook.evaluation.open_set_fit import (
    FaceSet,
    drop_same_person,
    fit_confidence,
    fit_impostors,
    fit_prior,
    fit_young_faces,
    impostor_similarities,
)
from onelook.open_set import ImpostorModel, NormalTail
from onelook.score_normalization import ImpostorPrior, leave_one_out_moments

DIM = 64


def sample_faces(count: int, common: float, rng: np.random.Generator, axis: int = 0) -> np.ndarray:
    """Sample unit vectors whose similarities have the mean `common`: all share a part along one axis."""
    rows = rng.normal(size=(count, DIM)) / np.sqrt(DIM)
    rows *= np.sqrt(1 - common)
    rows[:, axis] += np.sqrt(common)
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


def sample_named(people: int, common: float, rng: np.random.Generator) -> FaceSet:
    faces = sample_faces(people, common, rng)
    others = faces + 0.04 * rng.normal(size=faces.shape)
    rows = np.concatenate([faces, others / np.linalg.norm(others, axis=1, keepdims=True)]).astype(np.float32)
    return FaceSet("named", rows, np.tile(np.arange(people).astype(str), 2))


@cache
def fitted() -> tuple[ImpostorPrior, ImpostorModel]:
    rng = np.random.default_rng(0)
    sets = [
        sample_named(200, 0.0, rng),
        FaceSet("b", sample_faces(400, 0.1, rng)),
        FaceSet("c", sample_faces(400, 0.2, rng)),
    ]
    return fit_impostors(sets, rng)


def test_the_prior_has_the_moments_of_the_sets() -> None:
    prior, model = fitted()
    assert prior.mean == pytest.approx(0.1, abs=0.02)
    assert prior.std == pytest.approx(np.sqrt(1 / DIM), rel=0.15)
    # The means of the sets are 0, 0.1 and 0.2: their variance is 0.0067, that within a face 0.0156 or less.
    assert 1 < prior.mean_weight < 4
    assert (model.mean, model.std) == pytest.approx((0, 1), abs=0.2)
    assert model.slope > 0


@pytest.mark.parametrize("common", [0.0, 0.1, 0.2])
@pytest.mark.parametrize("people", [50, 500])
def test_the_promised_fpir_holds_where_everybody_is_alike(common: float, people: int) -> None:
    prior, model = fitted()
    rng = np.random.default_rng([people, round(100 * common)])
    similarities = sample_faces(4000, common, rng) @ sample_faces(people, common, rng).T
    scores = prior.normalize(similarities, leave_one_out_moments(similarities))
    rate = (scores.max(axis=1) >= model.threshold(0.01, people)).mean()
    assert rate <= 0.02
    if people == 500:  # with 50 people, the prior makes the threshold of the set with the highest mean stricter
        assert rate >= 0.002


def test_one_threshold_would_not_hold() -> None:
    prior, _ = fitted()
    single = NormalTail(mean=prior.mean, std=prior.std)
    rng = np.random.default_rng(1)
    similarities = sample_faces(4000, 0.3, rng) @ sample_faces(50, 0.3, rng).T
    assert (similarities.max(axis=1) >= single.threshold(0.01, 50)).mean() > 0.2


def test_the_own_person_is_no_impostor() -> None:
    rng = np.random.default_rng(2)
    faces = sample_named(50, 0.0, rng)
    similarities = impostor_similarities(faces, rng)
    assert similarities.shape == (50, 50)
    assert np.isnan(similarities).sum() == 50
    assert np.nanmax(similarities) < 0.6
    with pytest.raises(DataError, match="needs two"):
        impostor_similarities(FaceSet("one", faces.embeddings[:1], np.array(["a"])), rng)


def test_second_photos_of_a_person_without_a_name_are_dropped() -> None:
    rng = np.random.default_rng(3)
    similarities = rng.normal(0.1, 0.1, (100, 200))
    similarities[7, 9] = 0.95
    prior = fit_prior([similarities])
    dropped = drop_same_person(similarities, prior)
    assert np.argwhere(np.isnan(dropped)).tolist() == [[7, 9]]


def test_without_second_photos_there_is_no_confidence() -> None:
    prior, model = fitted()
    faces = sample_faces(20, 0.0, np.random.default_rng(4))
    with pytest.raises(DataError, match="two photos"):
        fit_confidence([FaceSet("a", faces)], prior, NormalTail(mean=model.mean, std=model.std))


def test_young_faces_are_told_from_adults_and_resemble_each_other() -> None:
    rng = np.random.default_rng(5)
    rows = np.concatenate([sample_faces(300, 0.4, rng, axis=1), sample_faces(600, 0.1, rng)])
    ages = np.repeat([7, 40], [300, 600])
    young = fit_young_faces(FaceSet("aged", rows), ages, np.tile(["0_0", "1_2"], 450))
    assert young.includes(sample_faces(500, 0.4, rng, axis=1)).mean() > 0.95
    assert young.includes(sample_faces(500, 0.1, rng)).mean() == pytest.approx(0.05, abs=0.05)
    assert young.impostors.mean == pytest.approx(0.4, abs=0.05)
    with pytest.raises(DataError, match="100 of each"):
        fit_young_faces(FaceSet("aged", rows[:300]), ages[:300], np.tile("0_0", 300))
