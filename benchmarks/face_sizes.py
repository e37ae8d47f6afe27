"""Measure verification over face sizes: LFW's pairs resized so that the median face has 40 to 1,000 pixels.

    python benchmarks/face_sizes.py --data ../shared/data
    python benchmarks/face_sizes.py --data ../shared/data --pairs 250 --model build/model

Every photo is resized by one factor, and the face nearest its center is embedded: in a single pass at
`detect.longest_side`, and in octaves. Columns:

- accuracy: over the pairs, ten folds.
- strangers accepted: of all pairs of photos of different people, the fraction above the threshold that 1 % of them pass
  at 110 pixels.
- ms, ratio: time of a photo in octaves over that of its single pass, median.

Prints a Markdown table.
"""

import argparse
import time
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
from device_option import add_device_option, load_predictor
from rich.console import Console
from rich.progress import track

from onelook.data.image_io import read_image
from onelook.data.readers.lfw import photo_path, read_pairs
from onelook.evaluation.verification import fold_accuracy, threshold_at_rate
from onelook.inference.torch_predictor import TorchPredictor
from onelook.model.model_folder import RELEASED
from onelook.settings import DetectSettings

NATIVE_SIZE = 110  # median face of an LFW photo, in pixels
SIZES = (110, 40, 54, 165, 219, 325, 429, 1000)  # the first sets the threshold
OCTAVES = DetectSettings(score=0.5, nms=0.4, longest_side=1280)
SINGLE_PASS = OCTAVES.model_copy(update={"face_size": 8192})  # octave 0 answers for every face
FAR = 0.01


def main() -> None:
    """Embed the photos of the pairs at every size in both ways and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder that holds lfw/")
    parser.add_argument("--model", type=Path, default=RELEASED, help="model folder; by default the released weights")
    parser.add_argument("--pairs", type=int, default=1000, help="pairs of pairsDevTest.txt, evenly chosen")
    add_device_option(parser)
    arguments = parser.parse_args()
    root = arguments.data / "lfw"
    pairs = read_pairs(root / "pairsDevTest.txt")
    pairs = pairs[:: max(1, len(pairs) // arguments.pairs)]
    photos = sorted({photo_path(root, *photo) for one, two, _ in pairs for photo in (one, two)})
    people = np.array([photo.parent.name for photo in photos])
    rows = {photo: row for row, photo in enumerate(photos)}
    indices = np.array([[rows[photo_path(root, *photo)] for photo in pair[:2]] for pair in pairs])
    same = np.array([kind for _, _, kind in pairs])
    predictor = load_predictor(arguments.model, arguments.device)
    print(f"{len(pairs)} pairs of {len(photos)} photos\n")
    print("| face, pixels | accuracy: single pass | octaves | strangers accepted: single pass | octaves | ms, ratio |")
    print("|---|---|---|---|---|---|")
    thresholds: list[float] = []
    for size in SIZES:
        embeddings, ratio = embed_photos(predictor, photos, size)
        accuracies, accepted = [], []
        for method, vectors in enumerate(embeddings):
            scores = (vectors[indices[:, 0]] * vectors[indices[:, 1]]).sum(axis=1)
            accuracies.append(f"{fold_accuracy(scores, same)[0]:.3f}")
            strangers = stranger_scores(vectors, people)
            if size == SIZES[0]:
                thresholds.append(threshold_at_rate(np.sort(strangers)[::-1], FAR))
            accepted.append(f"{(strangers >= thresholds[method]).mean():.3f}")
        print(f"| {size} | {' | '.join(accuracies)} | {' | '.join(accepted)} | {ratio:.2f} |", flush=True)


def embed_photos(
    predictor: TorchPredictor, photos: Sequence[Path], size: int
) -> tuple[tuple[np.ndarray, np.ndarray], float]:
    """Embed the central faces of resized photos in a single pass and in octaves.

    Returns:
        Embeddings (n, d) of both, NaN where no face was found, and the median ratio of their times.
    """
    rows: dict[DetectSettings, list[np.ndarray]] = {SINGLE_PASS: [], OCTAVES: []}
    ratios = []
    factor = size / NATIVE_SIZE
    for path in track(photos, description=f"{size} pixels", transient=True, console=Console(stderr=True)):
        interpolation = cv2.INTER_AREA if factor < 1 else cv2.INTER_LANCZOS4
        image = cv2.resize(read_image(path), None, fx=factor, fy=factor, interpolation=interpolation)
        seconds = []
        for detect, embeddings in rows.items():
            start = time.perf_counter()
            found = predictor.predict([image], detect)[0]
            seconds.append(time.perf_counter() - start)
            centers = found.boxes.reshape(-1, 2, 2).mean(axis=1)
            offsets = np.linalg.norm(centers - np.array(image.shape[1::-1]) / 2, axis=1)
            missing = np.full(predictor.embedding_size, np.nan, np.float32)
            embeddings.append(found.embeddings[offsets.argmin()] if len(found) else missing)
        ratios.append(seconds[1] / seconds[0])
    return (np.array(rows[SINGLE_PASS]), np.array(rows[OCTAVES])), float(np.median(ratios))


def stranger_scores(embeddings: np.ndarray, people: np.ndarray) -> np.ndarray:
    """Compute the similarities (m,) float64 of all pairs of photos of different people."""
    first, second = np.triu_indices(len(people), 1)
    different = people[first] != people[second]
    scores = (embeddings @ embeddings.T)[first[different], second[different]].astype(np.float64)
    return scores[np.isfinite(scores)]


if __name__ == "__main__":
    main()
