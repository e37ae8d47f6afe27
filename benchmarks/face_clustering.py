"""Measure the clustering of unknown faces on LFW's test people.

Beside the usual methods.

    python benchmarks/face_clustering.py --data ../shared/data

All photos of `peopleDevTest.txt`, the face nearest the center, embedded by the released weights, which were trained on
none of these people. B-cubed (Bagga and Baldwin 1998): precision is the fraction of a face's cluster that is the same
person, recall the fraction of the person's faces in the cluster; means over faces. The same over pairs of faces. The
peers get the setting that is best for them on these labels; ours has none. Then synthetic people, for time and memory.
"""

import argparse
import statistics
import time
from collections.abc import Callable
from functools import partial
from multiprocessing.connection import Connection
from pathlib import Path

import numpy as np
from identify_folder import peak
from peer_process import run_in_process
from rich.console import Console
from rich.progress import track
from scipy.sparse import coo_matrix
from sklearn.cluster import DBSCAN, HDBSCAN, AgglomerativeClustering

from onelook.data.image_io import read_image
from onelook.face_quality import DEFAULT_UNUSABLE, measure_face
from onelook.gallery.calibration import read_calibrated_metadata
from onelook.gallery.clustering import cluster_faces, is_clusterable, label_connected_components
from onelook.gallery.data import GalleryMetadata
from onelook.inference.loading import load_torch_predictor
from onelook.model.model_folder import RELEASED

PASS = 8
TRIED = np.arange(0.30, 0.66, 0.025)
SIZES = (10_000, 50_000)
ROUNDS = 3  # that are timed

Way = tuple[str, Callable[[], np.ndarray]]


def main() -> None:
    """Embed, cluster and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="the folder that holds lfw/")
    predictor = load_torch_predictor(RELEASED)
    terms = read_calibrated_metadata(
        RELEASED / "calibration.json", predictor.fingerprint, predictor.embedding_size, managed=False
    )
    rows, weights, owners, clear = embed(predictor, terms, parser.parse_args().data / "lfw")
    people = len(set(owners.tolist()))
    print(f"{len(rows)} faces of {people} people; {clear:.1%} of them would be grouped (clear, large and sharp)\n")
    print("| method | its setting | B-cubed P | R | F | pairs P | R | F | groups | s |")
    print("|---|---|---|---|---|---|---|---|---|---|")
    show("**onelook**", owners, [("none", lambda: cluster_faces(rows, weights, terms))])
    once = terms.threshold_for(len(rows))
    show("its first round alone", owners, [("none", lambda: label_connected_components(rows, once))])
    for method, ways in peers(rows).items():
        show(method, owners, ways)
    print("\n| random faces, ten a person | s | B-cubed F | memory grows by, MB |\n|---|---|---|---|")
    for count in SIZES:
        # A process of its own, so that its peak memory is its own.
        spent, score, grown = run_in_process(f"{count:,} faces", cluster_synthetic, count, terms.model_dump_json())
        print(f"| {count:,} | {spent:.1f} | {score:.3f} | {grown:.0f} |", flush=True)


def peers(rows: np.ndarray) -> dict[str, list[Way]]:
    """Return other methods, each with its settings."""
    distances = np.clip(1 - rows @ rows.T, 0, 2).astype(np.float64)

    def average(least: float) -> np.ndarray:
        method = AgglomerativeClustering(
            n_clusters=None, metric="precomputed", linkage="average", distance_threshold=1 - least
        )
        return method.fit_predict(distances)

    def density(least: float, faces: int) -> np.ndarray:
        return DBSCAN(eps=1 - least, min_samples=faces, metric="precomputed").fit_predict(distances)

    def hierarchy() -> np.ndarray:
        return HDBSCAN(min_cluster_size=2, metric="precomputed", copy=True).fit_predict(distances)

    tried = [(f"{least:.3f}", least) for least in TRIED]
    return {
        "Chinese whispers": [(name, partial(chinese_whispers, 1 - distances, least)) for name, least in tried],
        "average linkage (scikit-learn)": [(name, partial(average, least)) for name, least in tried],
        "DBSCAN (scikit-learn)": [
            (f"{name}, {faces} faces", partial(density, least, faces)) for name, least in tried for faces in (2, 3)
        ],
        "HDBSCAN (scikit-learn)": [("2 faces", hierarchy)],
    }


def cluster_synthetic(count: int, terms: str, connection: Connection) -> None:
    """Cluster synthetic people and send the cost and the quality.

    Sent: seconds, B-cubed F, and the growth of peak memory in megabytes.
    """
    many, labels = synthetic_faces(count, GalleryMetadata.model_validate_json(terms).embedding_size)
    before = peak()
    start = time.perf_counter()
    groups = cluster_faces(many, np.ones(count), GalleryMetadata.model_validate_json(terms))
    spent = time.perf_counter() - start
    connection.send((spent, b_cubed(groups, labels)[2], peak() - before))


def embed(predictor, terms: GalleryMetadata, root: Path) -> tuple[np.ndarray, np.ndarray, np.ndarray, float]:
    """Return embeddings (n, d), weights (n,) and identities (n,) of the center faces.

    And the clear fraction.
    """
    lines = [line.split() for line in (root / "peopleDevTest.txt").read_text().splitlines()[1:]]
    photos = [(name, f"{name}_{i:04d}.jpg") for name, count in lines for i in range(1, int(count) + 1)]
    rows, weights, owners, clear = [], [], [], []
    starts = range(0, len(photos), PASS)
    for start in track(starts, description="embedding", transient=True, console=Console(stderr=True)):
        some = photos[start : start + PASS]
        images = [read_image(root / "images" / name / file) for name, file in some]
        for (name, _), image, found in zip(some, images, predictor.predict(images, terms.detect), strict=True):
            if len(found) == 0:
                continue
            middles = found.boxes.reshape(-1, 2, 2).mean(axis=1)
            face = int(np.linalg.norm(middles - np.array(image.shape[1::-1]) / 2, axis=1).argmin())
            quality = measure_face(
                image, found.boxes[face], found.landmarks[face], found.scores[face], terms.detect.longest_side
            )
            rows.append(found.embeddings[face])
            weights.append(quality.weight)
            owners.append(name)
            clear.append(is_clusterable(quality, DEFAULT_UNUSABLE))
    return np.stack(rows), np.asarray(weights), np.asarray(owners), float(np.mean(clear))


def show(method: str, owners: np.ndarray, ways: list[Way]) -> None:
    """Print the row of the setting with the best B-cubed F, and its median seconds."""
    tried = [(b_cubed(singletons(cluster()), owners)[2], setting, cluster) for setting, cluster in ways]
    _, setting, cluster = max(tried, key=lambda way: way[:2])
    times = []
    for _ in range(ROUNDS):
        start = time.perf_counter()
        labels = singletons(cluster())
        times.append(time.perf_counter() - start)
    metrics = " | ".join(f"{value:.3f}" for value in (*b_cubed(labels, owners), *paired(labels, owners)))
    spent = statistics.median(times)
    print(f"| {method} | {setting} | {metrics} | {len(set(labels.tolist()))} | {spent:.1f} |", flush=True)


def chinese_whispers(similarities: np.ndarray, least: float) -> np.ndarray:
    """Cluster by Chinese whispers (Biemann 2006).

    Each face repeatedly takes the most frequent similar label.
    """
    labels = np.arange(len(similarities))
    near = [np.flatnonzero(row >= least) for row in similarities]
    rng = np.random.default_rng(0)
    for _ in range(20):
        before = labels.copy()
        for face in rng.permutation(len(labels)):
            others = near[face][near[face] != face]
            if len(others):
                kinds, places = np.unique(labels[others], return_inverse=True)
                labels[face] = kinds[np.bincount(places, similarities[face, others]).argmax()]
        if (labels == before).all():
            break
    return labels


def singletons(labels: np.ndarray) -> np.ndarray:
    """Return labels in which each unclustered face, -1, is a cluster of its own."""
    return np.where(labels < 0, labels.max() + 1 + np.arange(len(labels)), labels)


def overlaps(labels: np.ndarray, owners: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the sizes of every overlapping cluster and person, and of their overlap."""
    groups, people = (np.unique(each, return_inverse=True)[1] for each in (labels, owners))
    table = coo_matrix((np.ones(len(groups)), (groups, people))).tocsr().tocoo()
    return table.data, np.bincount(groups)[table.row], np.bincount(people)[table.col]


def b_cubed(labels: np.ndarray, owners: np.ndarray) -> tuple[float, float, float]:
    """Compute precision, recall and F over faces."""
    both, group, person = overlaps(labels, owners)
    return with_f((both**2 / group).sum() / len(labels), (both**2 / person).sum() / len(labels))


def paired(labels: np.ndarray, owners: np.ndarray) -> tuple[float, float, float]:
    """Compute precision, recall and F over pairs of faces."""
    both, *_ = overlaps(labels, owners)

    def pairs(counts: np.ndarray) -> float:
        return float((counts * (counts - 1.0)).sum() / 2)

    sizes = (np.unique(each, return_counts=True)[1] for each in (labels, owners))
    told, real = map(pairs, sizes)
    return with_f(pairs(both) / max(told, 1), pairs(both) / max(real, 1))


def with_f(precision: float, recall: float) -> tuple[float, float, float]:
    """Append the harmonic mean to precision and recall."""
    return precision, recall, 2 * precision * recall / max(precision + recall, 1e-12)


def synthetic_faces(count: int, size: int) -> tuple[np.ndarray, np.ndarray]:
    """Return unit vectors (count, size) float32 of synthetic people.

    Ten faces each; two faces of one person have a cosine of about 0.7.
    """
    rng = np.random.default_rng(0)
    owners = np.repeat(np.arange(count // 10), 10)
    rows = rng.standard_normal((count // 10, size), np.float32)[owners]
    rows += np.float32(0.65) * rng.standard_normal((count, size), np.float32)
    return rows / np.linalg.norm(rows, axis=1, keepdims=True), owners


if __name__ == "__main__":
    main()
