"""Hard probes of a gallery, by which an approximate index is tuned: poor photos of its people, simulated.

A probe is c·t + sqrt(1 - c²)·u, where t is a template. The similarity c is uniform in 0.4 to 0.7, as that of photos
that are hard to recognize. The noise u is orthogonal to t and has the covariance of the gallery's templates. Isotropic
noise would be too easy: it resembles no other person. `benchmarks/gallery_search.py` has the noise of real photos.
"""

import numpy as np

MIN_SIMILARITY, MAX_SIMILARITY = 0.4, 0.7
# Templates whose random combinations are the noise.
_COVARIANCE_SAMPLE = 2000
# Templates compared with all probes in one matrix product.
_BLOCK_SIZE = 65_536


def sample_hard_probes(rows: np.ndarray, count: int, rng: np.random.Generator) -> np.ndarray:
    """Simulate hard probes of randomly chosen people.

    Args:
        rows: (n, d) float32, L2-normalized templates, also memory-mapped.
        count: number of probes; at most n are made.
        rng: generator of the choice and the noise.

    Returns:
        (m, d) float32, L2-normalized.
    """
    templates = rows[np.sort(rng.choice(len(rows), min(count, len(rows)), replace=False))]
    others = rows[np.sort(rng.choice(len(rows), min(_COVARIANCE_SAMPLE, len(rows)), replace=False))]
    noise = rng.standard_normal((len(templates), len(others)), np.float32) @ (others - others.mean(axis=0))
    return add_noise(templates, noise, rng)


def add_noise(templates: np.ndarray, noise: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Turn each template (m, d) toward its noise (m, d), to a random hard similarity; return probes (m, d) float32."""
    directions = noise - (noise * templates).sum(axis=1, keepdims=True) * templates
    directions /= np.maximum(np.linalg.norm(directions, axis=1, keepdims=True), 1e-12)
    cosines = rng.uniform(MIN_SIMILARITY, MAX_SIMILARITY, (len(templates), 1)).astype(np.float32)
    probes: np.ndarray = cosines * templates + np.sqrt(1 - cosines**2) * directions
    return probes


def best_similarities(rows: np.ndarray, probes: np.ndarray) -> np.ndarray:
    """Compute the similarity (m,) of each probe (m, d) to the most similar of all rows (n, d), by brute force."""
    best = np.full(len(probes), -np.inf, np.float32)
    for start in range(0, len(rows), _BLOCK_SIZE):
        np.maximum(best, (probes @ rows[start : start + _BLOCK_SIZE].T).max(axis=1), out=best)
    return best
