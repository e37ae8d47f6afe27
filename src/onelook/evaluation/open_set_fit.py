"""Fit of the open-set decision over several sets of held-out people: prior, tail, confidence and young faces.

- Prior: moment estimates over faces (empirical Bayes; Morris, "Parametric empirical Bayes inference", JASA 78, 1983).
  Each set has the same weight, so that the largest one does not decide.
- Tail: normalized scores of galleries of `GALLERY_SIZES` people, pooled; `open_set_calibration.fit_impostor_tail`.
- Confidence: Platt scaling of the sets with names.
- Young faces: Fisher's linear discriminant between children and adults, with a ridge ("The use of multiple measurements
  in taxonomic problems", 1936; Friedman, "Regularized discriminant analysis", JASA 84, 1989).
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from onelook.errors import DataError
from onelook.evaluation.open_set_calibration import fit_impostor_tail, fit_platt_scaling
from onelook.open_set import ImpostorModel, NormalTail, YoungFaces
from onelook.score_normalization import ImpostorPrior, leave_one_out_moments

GALLERY_SIZES = (20, 200)
"""Numbers of people in the galleries whose normalized scores the tail is fitted to."""
MAX_FACES = 800
"""Probes, and people, of a set at most: 800 x 800 similarities fix the tail of a set to a few thousandths."""
MAX_IMPOSTOR_SCORE = 5.0
"""Normalized score above which two photos without names count as the same person and are dropped.

One impostor pair in 3.5 million reaches it where scores are standard normal.
"""
CHILD_AGES, MIN_ADULT_AGE = (3, 12), 20
ADULT_FRACTION = 0.05
"""Fraction of the adults that count as young."""
_RIDGE = 0.1


@dataclass(frozen=True, eq=False)
class FaceSet:
    """Faces of held-out people from one source.

    Attributes:
        name: of the source.
        embeddings: (n, d) float32.
        identities: (n,) strings; None: the photos have no names, and two photos count as two people.
    """

    name: str
    embeddings: np.ndarray
    identities: np.ndarray | None = None


def fit_impostors(sets: Sequence[FaceSet], rng: np.random.Generator) -> tuple[ImpostorPrior, ImpostorModel]:
    """Fit the prior, and the tail and confidence of the scores it normalizes.

    Raises:
        DataError: a set has fewer than two people, or nobody has two photos.
    """
    similarities = [impostor_similarities(faces, rng) for faces in sets]
    first = fit_prior(similarities)
    similarities = [
        each if faces.identities is not None else drop_same_person(each, first)
        for faces, each in zip(sets, similarities, strict=True)
    ]
    prior = fit_prior(similarities)
    return prior, fit_confidence(sets, prior, fit_tail(similarities, prior, rng))


def impostor_similarities(faces: FaceSet, rng: np.random.Generator) -> np.ndarray:
    """Compute similarities (n, p) of sampled probes to one photo each of sampled people; NaN for the own person.

    Raises:
        DataError: the set has fewer than two people.
    """
    identities = np.arange(len(faces.embeddings)) if faces.identities is None else faces.identities
    order = rng.permutation(len(identities))
    enrolled = order[np.unique(identities[order], return_index=True)[1]]
    if len(enrolled) < 2:
        raise DataError(f"{faces.name}: {len(enrolled)} person with a detected face; the calibration needs two")
    people = enrolled if faces.identities is not None else rng.permutation(enrolled)[: len(enrolled) // 2]
    people = rng.permutation(people)[:MAX_FACES]
    probes = np.setdiff1d(order, people)
    probes = rng.permutation(probes if len(probes) else order)[:MAX_FACES]
    similarities = faces.embeddings[probes].astype(np.float64) @ faces.embeddings[people].T
    similarities[identities[probes][:, None] == identities[people]] = np.nan
    return similarities


def fit_prior(sets: Sequence[np.ndarray]) -> ImpostorPrior:
    """Fit the prior to impostor similarities (n, p) of several sets, by moments.

    The weight of the mean is the variance within faces over the variance of the means between faces. The weight of the
    standard deviation follows from the variance of the log variances, which is 2 / weight. Both are without the
    sampling variance of p people.
    """
    means = [np.nanmean(each, axis=1) for each in sets]
    variances = [np.nanvar(each, axis=1, ddof=1) for each in sets]
    mean, within = (float(np.mean([values.mean() for values in each])) for each in (means, variances))
    logs = np.mean([np.log(values).mean() for values in variances])
    between, spread = 0.0, 0.0
    for similarities, face_means, face_variances in zip(sets, means, variances, strict=True):
        count = similarities.shape[1]
        between += float(((face_means - mean) ** 2).mean() - face_variances.mean() / count) / len(sets)
        spread += float(((np.log(face_variances) - logs) ** 2).mean() - 2 / (count - 1)) / len(sets)
    return ImpostorPrior(
        mean=round(mean, 6),
        std=round(within**0.5, 6),
        mean_weight=round(within / max(between, 1e-3 * within), 3),
        std_weight=round(2 / max(spread, 2e-3), 3),
    )


def drop_same_person(similarities: np.ndarray, prior: ImpostorPrior) -> np.ndarray:
    """Replace by NaN the similarities (n, p) of photos without names whose score exceeds `MAX_IMPOSTOR_SCORE`."""
    scores = prior.normalize(similarities, leave_one_out_moments(similarities))
    return np.where(scores > MAX_IMPOSTOR_SCORE, np.nan, similarities)


def fit_tail(sets: Sequence[np.ndarray], prior: ImpostorPrior, rng: np.random.Generator) -> NormalTail:
    """Fit the tail of the normalized scores of galleries drawn from impostor similarities (n, p) of several sets.

    Raises:
        DataError: the scores have no spread.
    """
    scores = []
    for similarities in sets:
        for size in GALLERY_SIZES:
            gallery = similarities[:, rng.permutation(similarities.shape[1])[:size]]
            drawn = prior.normalize(gallery, leave_one_out_moments(gallery))
            finite = drawn[np.isfinite(drawn)]
            scores.append(rng.choice(finite, MAX_FACES * GALLERY_SIZES[0]))  # as many of each set and size
    return _fit_tail(np.concatenate(scores))


def fit_confidence(sets: Sequence[FaceSet], prior: ImpostorPrior, tail: NormalTail) -> ImpostorModel:
    """Fit the confidence to the sets with names; each person's first photo is enrolled, the others are probes.

    Raises:
        DataError: nobody has two photos.
    """
    evidence, correct, weights = [], [], []
    for faces in sets:
        if faces.identities is None:
            continue
        people, first = np.unique(faces.identities, return_index=True)
        probes = np.setdiff1d(np.arange(len(faces.identities)), first)
        own = faces.identities[probes][:, None] == people
        similarities = faces.embeddings[probes].astype(np.float64) @ faces.embeddings[first].T
        for gallery in (similarities, np.where(own, np.nan, similarities)):
            scores = prior.normalize(gallery, leave_one_out_moments(gallery))
            scores = np.where(np.isfinite(scores), scores, -np.inf)
            evidence.append(-tail.log_expected_impostors(scores.max(axis=1), len(people)))
            correct.append(own[np.arange(len(probes)), scores.argmax(axis=1)] & np.isfinite(gallery).all(axis=1))
            weights.append(np.full(len(probes), 0.5 / max(len(probes), 1)))
    if not sum(map(len, evidence)):
        raise DataError("nobody of the calibration sets has two photos; name a set with names")
    intercept, slope = fit_platt_scaling(*map(np.concatenate, (evidence, correct, weights)))
    return ImpostorModel(mean=tail.mean, std=tail.std, intercept=intercept, slope=slope)


def fit_young_faces(faces: FaceSet, ages: np.ndarray, groups: np.ndarray) -> YoungFaces:
    """Fit the discriminant of children's faces, and the impostor tail of children of one group.

    Args:
        faces: photos without names.
        ages: (n,) in years.
        groups: (n,) strings, such as sex and origin: impostors of a child are children of the same group.

    Raises:
        DataError: there are too few children or adults.
    """
    is_child = (ages >= CHILD_AGES[0]) & (ages <= CHILD_AGES[1])
    is_adult = ages >= MIN_ADULT_AGE
    if min(is_child.sum(), is_adult.sum()) < 100:
        raise DataError(f"{faces.name}: {is_child.sum()} children and {is_adult.sum()} adults; 100 of each are needed")
    rows = faces.embeddings.astype(np.float64)
    children, adults = rows[is_child], rows[is_adult]
    centered = np.concatenate([children - children.mean(axis=0), adults - adults.mean(axis=0)])
    covariance = centered.T @ centered / len(centered)
    ridge = _RIDGE * np.trace(covariance) / len(covariance) * np.eye(len(covariance))
    direction = np.linalg.solve(covariance + ridge, children.mean(axis=0) - adults.mean(axis=0))
    direction = (direction / np.linalg.norm(direction)).round(6)
    pairs = []
    for group in np.unique(groups[is_child]):
        members = children[groups[is_child] == group]
        similarities = members @ members.T
        pairs.append(similarities[np.triu_indices(len(members), 1)])
    return YoungFaces(
        direction=tuple(direction.tolist()),
        limit=round(float(np.quantile(adults @ direction, 1 - ADULT_FRACTION)), 6),
        impostors=_fit_tail(np.concatenate(pairs)),
    )


def _fit_tail(scores: np.ndarray) -> NormalTail:
    parameters = fit_impostor_tail(np.sort(scores)[::-1])
    if parameters is None:
        raise DataError("the impostor scores of the calibration sets are all equal; use photos of more people")
    return NormalTail(mean=parameters[0], std=parameters[1])
