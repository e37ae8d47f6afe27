"""Unit vectors as templates of people."""

import numpy as np


def unit(rows: np.ndarray) -> np.ndarray:
    """Normalize rows (n, d) to float32."""
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


def crowd(count: int, seed: int) -> np.ndarray:
    """Return templates (count, 128) of people who come in families, as faces do."""
    rng = np.random.default_rng(seed)
    families = rng.normal(size=(count // 50 + 1, 128))
    return unit(families[rng.integers(len(families), size=count)] + rng.normal(size=(count, 128)))
