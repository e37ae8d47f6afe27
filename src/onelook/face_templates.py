"""Templates: the weighted mean direction of a person's unit embeddings.

Every comparison with a person uses these functions: evaluation, calibration, gallery search, face clustering and video
tracks. Sums are in float64, so that the template of a single embedding is that embedding.
"""

from collections.abc import Sequence

import numpy as np


def make_templates(
    embeddings: np.ndarray, groups: np.ndarray, count: int, weights: np.ndarray | None = None
) -> np.ndarray:
    """Compute the weighted mean direction of the embeddings of each group.

    Args:
        embeddings: (n, d) float32, L2-normalized rows.
        groups: (n,) int64 in 0..count-1, group of each row.
        count: number of groups.
        weights: (n,) at least 0, template weight of each row; equal by default.

    Returns:
        (count, d) float32, L2-normalized rows; zeros for a group whose weighted sum is zero.
    """
    rows = embeddings.astype(np.float64)
    if weights is not None:
        rows *= np.asarray(weights, np.float64)[:, None]
    sums = np.zeros((count, rows.shape[1]))
    np.add.at(sums, groups, rows)
    return normalize_sums(sums)


def make_person_templates(
    embeddings: np.ndarray, identities: Sequence[str], weights: np.ndarray | None = None
) -> tuple[list[str], np.ndarray]:
    """Compute the template of each person.

    Args:
        embeddings: (n, d) float32, L2-normalized rows.
        identities: n names, the person of each row.
        weights: (n,) at least 0, template weight of each row; equal by default.

    Returns:
        The names, sorted, and their templates (people, d) float32.
    """
    names = sorted(set(identities))
    column = {name: i for i, name in enumerate(names)}
    groups = np.asarray([column[identity] for identity in identities], np.int64)
    return names, make_templates(embeddings, groups, len(names), weights)


def normalize_sums(sums: np.ndarray) -> np.ndarray:
    """Normalize weighted sums (..., d) float64 to unit templates (..., d) float32."""
    templates: np.ndarray = sums / np.maximum(np.linalg.norm(sums, axis=-1, keepdims=True), 1e-12)
    return templates.astype(np.float32)
