"""FAISS on a card against FAISS on the CPU."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from onelook.gallery.faiss_index import MIN_GPU_SIZE, TemplateIndex, build_flat_index
from onelook.gallery.faiss_library import count_gpus
from onelook.gallery.gpu_index import GpuIndex

pytestmark = [pytest.mark.gpu, pytest.mark.skipif(count_gpus() == 0, reason="needs faiss-gpu and a CUDA card")]


@pytest.fixture(scope="module")
def rows() -> np.ndarray:
    rows = np.random.default_rng(0).normal(size=(MIN_GPU_SIZE, 128)).astype(np.float32)
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def test_card_ranks_as_the_exact_index_of_the_cpu(rows: np.ndarray) -> None:
    probes = rows[::100] + np.float32(0.03) * rows[1::100]
    ranking = TemplateIndex(rows, [f"{number:05d}" for number in range(len(rows))]).search(probes)
    similarities, indices = build_flat_index(rows).search(probes, 2)
    np.testing.assert_allclose(ranking.similarities, similarities, atol=1e-5)
    np.testing.assert_array_equal(ranking.indices[:, 0], indices[:, 0])


def test_threads_share_the_indexes_of_a_card(rows: np.ndarray) -> None:
    def search(start: int) -> np.ndarray:
        index = GpuIndex(build_flat_index(rows[start:]))
        return np.concatenate([index.search(rows[start : start + 8], 1)[1][:, 0] for _ in range(50)])

    with ThreadPoolExecutor(4) as pool:
        for found in pool.map(search, range(16)):
            np.testing.assert_array_equal(found, np.tile(np.arange(8), 50))


def test_missing_neighbors_have_index_minus_one(rows: np.ndarray) -> None:
    _, found = GpuIndex(build_flat_index(rows[:1])).search(rows[:1], 2)
    np.testing.assert_array_equal(found, [[0, -1]])
