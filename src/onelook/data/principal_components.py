"""Reduction of embeddings to their principal components."""

import numpy as np

from onelook.errors import DataError


def project_to_components(embeddings: np.ndarray, dim: int) -> np.ndarray:
    """Project embeddings to their first principal components and normalize them again.

    The components are those of the second moments, not of the covariance: nothing is subtracted, so that the cosine of
    two embeddings changes as little as possible. An embedding that is a concatenation, or that ends in a matrix of low
    rank, has far fewer components than numbers.

    Args:
        embeddings: (n, d) float32.
        dim: number of components.

    Returns:
        (n, dim) float32, L2-normalized.

    Raises:
        DataError: there are fewer numbers than components, or fewer embeddings.
    """
    if dim > min(embeddings.shape):
        count, length = embeddings.shape
        raise DataError(f"teacher.dim: {dim} components of {count} embeddings of {length} numbers; lower it")
    moments = embeddings.T.astype(np.float64) @ embeddings
    components = np.linalg.eigh(moments)[1][:, : -dim - 1 : -1]
    # The sign of an eigenvector is arbitrary; with this one, every machine computes the same targets.
    components *= np.sign(components[np.abs(components).argmax(axis=0), np.arange(dim)])
    projected = (embeddings @ components).astype(np.float32)
    rows: np.ndarray = projected / np.linalg.norm(projected, axis=1, keepdims=True).clip(1e-12)
    return rows
