"""Embeddings of unseen people: verification of pairs, and the most similar photo; a helper of grid_study.py."""

from collections.abc import Mapping

import numpy as np
from grid_data import ClosedSet
from grid_evaluation import PhotoSet, embed_faces
from grid_metrics import SEED, Interval, with_intervals
from pair_metrics import assign_ten_folds, correct_by_fold

from onelook.data.manifest import Manifest
from onelook.evaluation.eigenfaces import SIDE, Eigenfaces, align_faces, to_gray
from onelook.inference.loading import load_torch_predictor
from onelook.model.model_folder import RELEASED
from onelook.model.pretrained import build_pretrained
from onelook.reproducibility import seed_everything
from onelook.settings import DetectSettings, Settings

COMPONENTS = 100
"""Components of the eigenfaces, as many as the pipeline's baseline has."""


def eigenface_embeddings(known: ClosedSet) -> np.ndarray:
    """Embed the unseen photos (n, dim) by eigenfaces of the known people's training photos."""
    model = Eigenfaces(_gray_crops(known.train), COMPONENTS, SEED)
    return model.embed(_gray_crops(known.unseen))


def _gray_crops(photos: Manifest) -> np.ndarray:
    landmarks = np.stack([scene.faces[0].landmarks for scene in photos.scenes])
    return to_gray(align_faces(photos, photos.scenes, np.arange(len(photos.scenes)), landmarks, SIDE))


def released_embeddings(photos: PhotoSet) -> np.ndarray:
    """Embed the labeled faces (n, dim) of photos with one face each by the released weights."""
    predictor, detect = load_torch_predictor(RELEASED), DetectSettings()
    faces = zip(photos.images, photos.labels.landmarks, strict=True)
    return np.concatenate([predictor.embed(image, points[None], detect) for image, points in faces])


def untrained_embeddings(settings: Settings, photos: PhotoSet) -> np.ndarray:
    """Embed the labeled faces (n, dim) by a grid before its training."""
    seed_everything(settings.base)
    labels = photos.labels
    return embed_faces(build_pretrained(settings.model), photos.images, labels.photos, labels.landmarks)


def draw_pairs(people: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return all pairs (k, 2) of photos of one person with as many random pairs of two, and the former's mask (k,).

    Args:
        people: (n,) int64, person of each photo.
    """
    pairs = np.stack(np.triu_indices(len(people), 1), axis=1)
    is_same = people[pairs[:, 0]] == people[pairs[:, 1]]
    genuine, others = pairs[is_same], pairs[~is_same]
    drawn = np.random.default_rng(SEED).choice(len(others), len(genuine), replace=False)
    same = np.repeat([True, False], len(genuine))
    return np.concatenate([genuine, others[drawn]]), same


def is_nearest_right(embeddings: np.ndarray, people: np.ndarray) -> np.ndarray:
    """Return a mask (n,) of the photos whose most similar other photo shows the same person."""
    similarities = embeddings @ embeddings.T
    np.fill_diagonal(similarities, -np.inf)
    nearest: np.ndarray = people[similarities.argmax(axis=1)] == people
    return nearest


def unseen_intervals(systems: Mapping[str, np.ndarray], people: np.ndarray) -> dict[str, dict[str, Interval]]:
    """Compute verification accuracy and rank-1 with intervals over people, and over seeds where there are several.

    Accuracy is that of ten folds over the pairs of `draw_pairs`.

    Args:
        systems: name: embeddings (seeds, n, dim), L2-normalized.
        people: (n,) int64.

    Returns:
        By system, `accuracy` and `rank1`.
    """
    _, people = np.unique(people, return_inverse=True)
    count = 1 + int(people.max())
    pairs, same = draw_pairs(people)
    folds = assign_ten_folds(same)
    intervals = {}
    for name, embeddings in systems.items():
        scores = [np.einsum("nd,nd->n", rows[pairs[:, 0]], rows[pairs[:, 1]]) for rows in embeddings]
        is_correct = np.stack([correct_by_fold(own.astype(np.float64), same, folds) for own in scores])
        is_nearest = np.stack([is_nearest_right(rows, people) for rows in embeddings])

        def metrics(
            weights: np.ndarray, is_correct: np.ndarray = is_correct, is_nearest: np.ndarray = is_nearest
        ) -> dict[str, float]:
            of_person, of_seed = weights[:count], weights[count:] / weights[count:].sum()
            of_pair = np.where(same, of_person[people[pairs[:, 0]]], of_person[people[pairs]].prod(axis=1))
            of_photo = of_person[people]
            return {
                "accuracy": float(of_seed @ is_correct @ of_pair / of_pair.sum()),
                "rank1": float(of_seed @ is_nearest @ of_photo / of_photo.sum()),
            }

        intervals[name] = with_intervals(metrics, (count, len(embeddings)))
    return intervals
