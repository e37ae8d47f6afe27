"""Slow reference implementation of the WIDER FACE evaluation, and random ground truth and predictions for it.

It is written from the text of the protocol and shares no code with the package. A prediction is a row x, y, width,
height, score; a photo is (event, name).
"""

from pathlib import Path

import numpy as np
from scipy.io import loadmat, savemat

Photo = tuple[str, str]
SETTINGS = ("easy", "medium", "hard")


def reference_evaluation(folder: Path, predictions: dict[Photo, np.ndarray]) -> dict[str, float]:
    """Compute the official AP of each setting, threshold by threshold and photo by photo."""
    scores = np.concatenate([rows[:, 4] for rows in predictions.values()])
    low, high = scores.min(), scores.max()
    ground_truth = loadmat(folder / "wider_face_val.mat")
    ap = {}
    for setting in SETTINGS:
        keep_lists = loadmat(folder / f"wider_{setting}_val.mat")["gt_list"]
        proposals, found, faces = [0] * 1000, [0] * 1000, 0
        for event in range(len(ground_truth["event_list"])):
            for photo in range(len(ground_truth["file_list"][event, 0])):
                key = (
                    str(ground_truth["event_list"][event, 0][0]),
                    str(ground_truth["file_list"][event, 0][photo, 0][0]),
                )
                labeled = ground_truth["face_bbx_list"][event, 0][photo, 0].astype(float)
                keep = {int(number) - 1 for number in keep_lists[event, 0][photo, 0].ravel()}
                faces += len(keep)
                rows = sorted(predictions.get(key, np.zeros((0, 5))).tolist(), key=lambda row: -row[4])
                if len(labeled) == 0 or len(rows) == 0:
                    continue
                is_proposal, recalled = _evaluate_photo(rows, labeled, keep)
                normalized = [(row[4] - low) / (high - low) for row in rows]
                last = 0
                for t in range(1000):
                    threshold = 1 - (t + 1) / 1000
                    while last < len(rows) and normalized[last] >= threshold:
                        last += 1
                    if last:
                        proposals[t] += is_proposal[last - 1]
                        found[t] += recalled[last - 1]
        ap[setting] = _average_precision([hits / faces for hits in found], _precision(found, proposals))
    return ap


def _evaluate_photo(rows: list[list[float]], labeled: np.ndarray, keep: set[int]) -> tuple[list[int], list[int]]:
    """Count, after each row, the proposals and the detected faces so far."""
    proposals, faces = 0, set()
    counts: tuple[list[int], list[int]] = ([], [])
    for row in rows:
        overlaps = _iou(row, labeled)
        best = int(np.argmax(overlaps))
        if overlaps[best] < 0.5:
            proposals += 1
        elif best in keep:
            proposals += 1
            faces.add(best)
        counts[0].append(proposals)
        counts[1].append(len(faces))
    return counts


def _iou(row: list[float], labeled: np.ndarray) -> np.ndarray:
    left, top, width, height, _ = row
    right, bottom = left + width, top + height
    rights, bottoms = labeled[:, 0] + labeled[:, 2], labeled[:, 1] + labeled[:, 3]
    common_width = np.minimum(right, rights) - np.maximum(left, labeled[:, 0]) + 1
    common_height = np.minimum(bottom, bottoms) - np.maximum(top, labeled[:, 1]) + 1
    common = np.where((common_width > 0) & (common_height > 0), common_width * common_height, 0)
    areas = (rights - labeled[:, 0] + 1) * (bottoms - labeled[:, 1] + 1)
    return common / ((right - left + 1) * (bottom - top + 1) + areas - common)


def _precision(found: list[int], proposals: list[int]) -> list[float]:
    return [hits / shown if shown else 0.0 for hits, shown in zip(found, proposals, strict=True)]


def _average_precision(recall: list[float], precision: list[float]) -> float:
    """Integrate the envelope, with points (0, 0) before and (1, 0) after the curve as in the VOC program."""
    recall, envelope = [0.0, *recall, 1.0], [0.0, *precision, 0.0]
    for i in range(len(envelope) - 1, 0, -1):
        envelope[i - 1] = max(envelope[i - 1], envelope[i])
    return sum((recall[i + 1] - recall[i]) * envelope[i + 1] for i in range(len(recall) - 1))


def draw_predictions(boxes: dict[Photo, np.ndarray], rng: np.random.Generator) -> dict[Photo, np.ndarray]:
    """Draw random predictions for labeled boxes (m, 4; x, y, width, height).

    Some faces are missed, the others detected up to four times with localization noise. There are many false positives
    of low score. Half of the scores are rounded, so that some are equal, and half of the rows are integers.
    """
    predictions = {}
    for photo, labeled in boxes.items():
        repeated = np.repeat(labeled, rng.choice(5, len(labeled), p=[0.15, 0.45, 0.2, 0.1, 0.1]), axis=0)
        spread = rng.choice([0.02, 0.06, 0.2], (len(repeated), 1)) * np.tile(repeated[:, 2:] + 1, 2)
        hits = repeated + rng.normal(0, 1, (len(repeated), 4)) * spread
        false_positives = np.concatenate([rng.uniform(0, 900, (rng.poisson(50), 2)), np.zeros((0, 2))])
        false_positives = np.concatenate([false_positives, rng.uniform(5, 120, (len(false_positives), 2))], axis=1)
        scores = np.concatenate([rng.beta(3, 1.5, len(hits)), rng.beta(1, 8, len(false_positives))])
        rows = np.concatenate([hits, false_positives])
        rows[:, 2:] = np.maximum(rows[:, 2:], 0)
        rows = np.where(rng.random((len(rows), 1)) < 0.5, np.round(rows), rows)
        scores = np.where(rng.random(len(rows)) < 0.5, np.round(scores, 2), scores)
        predictions[photo] = np.column_stack([rows, scores])[rng.permutation(len(rows))]
    return predictions


Labels = dict[Photo, tuple[np.ndarray, dict[str, list[int]]]]
"""By photo the boxes (m, 4) and, by setting, the numbers from 1 of the required ones."""


def write_ground_truth(folder: Path, labels: Labels) -> None:
    """Write the four files in the official layout, photos grouped by event."""
    folder.mkdir(parents=True, exist_ok=True)
    events = list(dict.fromkeys(event for event, _ in labels))
    grouped = [[photo for photo in labels if photo[0] == event] for event in events]
    files = _cell([_cell([name for _, name in photos]) for photos in grouped])
    boxes = _cell([_cell([labels[photo][0].astype(np.int32) for photo in photos]) for photos in grouped])
    lists = {"event_list": _cell(events), "file_list": files, "face_bbx_list": boxes}
    savemat(folder / "wider_face_val.mat", lists)
    for setting in SETTINGS:
        numbers = [[np.reshape(labels[p][1][setting], (-1, 1)).astype(np.uint8) for p in photos] for photos in grouped]
        savemat(folder / f"wider_{setting}_val.mat", lists | {"gt_list": _cell([_cell(each) for each in numbers])})


def _cell(values: list) -> np.ndarray:
    """Build a MATLAB cell array of one column."""
    cell = np.empty((len(values), 1), object)
    for i, value in enumerate(values):
        cell[i, 0] = value
    return cell
