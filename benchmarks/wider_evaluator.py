"""Check our WIDER FACE evaluation against an independent twin, and time it.

    python benchmarks/wider_evaluator.py --data ../shared/data

Predictions for all 3,226 validation photos are derived from their labels: misplaced, missed, duplicated, invented. The
package evaluates them, and so does the slow twin of the tests, written from the protocol's text, which shares no code
with it. Prints a Markdown table; seconds are medians of rounds in which the two take turns.
"""

import argparse
import statistics
import sys
import time
from pathlib import Path

import numpy as np

from onelook.evaluation.wider import evaluate_wider
from onelook.evaluation.wider_ground_truth import SETTINGS, read_wider_ground_truth

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))

from helpers.wider_reference import draw_predictions, reference_evaluation

SEED, ROUNDS = 0, 3


def main() -> None:
    """Evaluate twice and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder that holds widerface/")
    folder = parser.parse_args().data / "widerface" / "ground_truth"
    start = time.perf_counter()
    photos = read_wider_ground_truth(folder)
    reading = time.perf_counter() - start
    labeled = {(p.event, p.name): np.hstack([p.boxes[:, :2], p.boxes[:, 2:] - p.boxes[:, :2]]) for p in photos}
    predictions = draw_predictions(labeled, np.random.default_rng(SEED))
    rows = [predictions[photo.event, photo.name] for photo in photos]
    boxes = [np.hstack([each[:, :2], each[:, :2] + each[:, 2:4]]) for each in rows]
    scores = [each[:, 4] for each in rows]
    turns = []
    for _ in range(ROUNDS):
        start = time.perf_counter()
        fast = {setting: curve.average_precision for setting, curve in evaluate_wider(photos, boxes, scores).items()}
        middle = time.perf_counter()
        slow = reference_evaluation(folder, predictions)
        turns.append((middle - start, time.perf_counter() - middle))
    ours, twin = (statistics.median(each) for each in zip(*turns, strict=True))
    print(f"{len(photos)} photos, {sum(map(len, boxes))} predictions, seed {SEED}; labels read in {reading:.1f} s\n")
    print("| evaluation | easy | medium | hard | seconds | ratio |")
    print("|---|---|---|---|---|---|")
    print(f"| onelook | {' | '.join(f'{fast[setting]:.12f}' for setting in SETTINGS)} | {ours:.1f} | 1 |")
    print(
        f"| slow reference | {' | '.join(f'{slow[setting]:.12f}' for setting in SETTINGS)} "
        f"| {twin:.0f} | {twin / ours:.0f} |"
    )
    print(f"| difference | {' | '.join(f'{abs(fast[s] - slow[s]):.0e}' for s in SETTINGS)} | | |")


if __name__ == "__main__":
    main()
