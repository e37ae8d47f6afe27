"""Measure how size and blur of enrolled faces affect recognition and quality.

    python benchmarks/enrollment_quality.py --data ../shared/data [--people 60]

Pairs: two photos each of LFW training people, drawn evenly from the list. The first is resized, or blurred by a
Gaussian whose standard deviation is a fraction of the face size; the second stays unchanged. A pair is accepted where
the similarity reaches the released threshold.

Templates: of people with eight photos, four are enrolled: two unchanged, one resized and one blurred at random. The
other four are probes. Three rows: plain mean, weighted mean, and `enroll` with the photos that it refuses left out.
"""

import argparse
from pathlib import Path

import cv2
import numpy as np

from onelook.data.image_io import read_image
from onelook.face_quality import Quality, measure_face, quality_problem
from onelook.gallery.calibration import Calibration, read_calibration
from onelook.gallery.faiss_index import TemplateIndex
from onelook.inference.loading import load_torch_predictor
from onelook.inference.torch_predictor import TorchPredictor
from onelook.model.model_folder import RELEASED
from onelook.settings import DetectSettings

SIZES = (108, 56, 36, 30, 24)
BLURS = (0.015, 0.03, 0.038, 0.045, 0.07)


def main() -> None:
    """Degrade, embed, compare and print a Markdown table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder that holds lfw/")
    parser.add_argument("--people", type=int, default=60, help="how many people")
    arguments = parser.parse_args()
    calibration = read_calibration(RELEASED / "calibration.json")
    predictor = load_torch_predictor(RELEASED)
    changes = [(size, 0.0) for size in SIZES] + [(SIZES[0], blur) for blur in BLURS]
    photos = pairs(arguments.data / "lfw", arguments.people)
    outcomes: dict[tuple[int, float], list[tuple[Quality, float] | None]] = {change: [] for change in changes}
    for first, second in photos:
        whole, other = predict(predictor, first, calibration.detect), predict(predictor, second, calibration.detect)
        if whole is None or other is None:
            continue
        for size, blur in changes:
            changed = change(first, size / whole[1].size, blur * size)
            embedded = predict(predictor, changed, calibration.detect)
            outcomes[size, blur].append(None if embedded is None else (embedded[1], float(embedded[0] @ other[0])))
    print("| face | blur | found | sharpness: lowest 5 %, middle, highest 5 % | similarity | near enough | refused |")
    print("|---|---|---|---|---|---|---|")
    for (size, blur), all_embedded in outcomes.items():
        found = [each for each in all_embedded if each is not None]
        low, middle, high = np.quantile([quality.sharpness for quality, _ in found], [0.05, 0.5, 0.95])
        near = sum(similarity >= calibration.threshold for _, similarity in found) / len(all_embedded)
        refused = sum(quality_problem(quality) is not None for quality, _ in found) / len(found)
        print(
            f"| {size} px | {blur:.1%} | {len(found)} of {len(all_embedded)} | {low:.2f}, {middle:.2f}, {high:.2f} "
            f"| {np.mean([similarity for _, similarity in found]):.2f} | {near:.0%} | {refused:.0%} |"
        )
    compare_templates(predictor, arguments.data / "lfw", calibration)


def compare_templates(predictor: TorchPredictor, root: Path, calibration: Calibration) -> None:
    """Print the gain of weighted templates."""
    rng = np.random.default_rng(2026)
    enrolled: list[tuple[str, Quality, np.ndarray]] = []
    probes: list[tuple[str, np.ndarray]] = []
    for name in training_people(root, 8):
        for number, photo in enumerate(photos_of(root, name, 8)):
            embedded = predict(predictor, photo, calibration.detect)
            if embedded is not None and number in (2, 3):
                size, blur = (rng.uniform(26, 60), 0.0) if number == 2 else (108, rng.uniform(0.015, 0.07))
                embedded = predict(predictor, change(photo, size / embedded[1].size, blur * size), calibration.detect)
            if embedded is not None and number < 4:
                enrolled.append((name, embedded[1], embedded[0]))
            elif embedded is not None:
                probes.append((name, embedded[0]))
    asked, owners = np.stack([row for _, row in probes]), [name for name, _ in probes]
    print(f"\n| template; {len(set(owners))} people, {len(probes)} probes | right | named right | wrong |")
    print("|---|---|---|---|")
    good = [each for each in enrolled if quality_problem(each[1]) is None]
    for what, rows, weighted in (("plain", enrolled, False), ("weighted", enrolled, True), ("as enroll", good, True)):
        scaled = np.stack([row * (quality.weight if weighted else 1) for _, quality, row in rows])
        index = TemplateIndex(scaled, [name for name, _, _ in rows])
        best = index.search(asked)
        right = np.array([index.names[place] == owner for place, owner in zip(best.indices[:, 0], owners, strict=True)])
        named = best.similarities[:, 0] >= calibration.threshold
        print(f"| {what} | {right.mean():.3f} | {(right & named).mean():.3f} | {(~right & named).mean():.3f} |")


def training_people(root: Path, least: int) -> list[str]:
    """Return the people of LFW's training list with at least `least` photos."""
    lines = [line.split() for line in (root / "peopleDevTrain.txt").read_text().splitlines()[1:]]
    return [name for name, photos in lines if int(photos) >= least]


def photos_of(root: Path, name: str, count: int) -> list[np.ndarray]:
    """Return a person's first photos."""
    return [read_image(root / "images" / name / f"{name}_{i:04d}.jpg") for i in range(1, count + 1)]


def pairs(root: Path, count: int) -> list[list[np.ndarray]]:
    """Return the first two photos of training people who have two."""
    names = training_people(root, 2)
    return [photos_of(root, name, 2) for name in names[:: len(names) // count][:count]]


def change(photo: np.ndarray, scale: float, deviation: float) -> np.ndarray:
    """Return an image resized and then blurred."""
    how = cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC
    resized = cv2.resize(photo, None, fx=scale, fy=scale, interpolation=how)
    return cv2.GaussianBlur(resized, (0, 0), deviation) if deviation else resized


def predict(predictor: TorchPredictor, photo: np.ndarray, detect: DetectSettings) -> tuple[np.ndarray, Quality] | None:
    """Return the embedding and the quality of the face nearest the center."""
    found = predictor.predict([photo], detect)[0]
    if len(found) == 0:
        return None
    middles = found.boxes.reshape(-1, 2, 2).mean(axis=1)
    face = int(np.linalg.norm(middles - np.array(photo.shape[1::-1]) / 2, axis=1).argmin())
    return found.embeddings[face], measure_face(
        photo, found.boxes[face], found.landmarks[face], found.scores[face], detect.longest_side
    )


if __name__ == "__main__":
    main()
