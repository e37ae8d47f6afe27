"""WIDER FACE evaluated a second time: slowly, from the protocol's text, out of the files themselves; and predictions.

It shares no code with the package. A prediction is a row x, y, width, height, score, a photo is (event, name).
"""

from pathlib import Path

import numpy as np
from scipy.io import loadmat, savemat

Photo = tuple[str, str]
SETTINGS = ("easy", "medium", "hard")


def slow_evaluation(folder: Path, predictions: dict[Photo, np.ndarray]) -> dict[str, float]:
    """The official AP of each setting, threshold by threshold and photo by photo."""
    scores = np.concatenate([rows[:, 4] for rows in predictions.values()])
    low, high = scores.min(), scores.max()
    every = loadmat(folder / "wider_face_val.mat")
    figures = {}
    for setting in SETTINGS:
        keep_lists = loadmat(folder / f"wider_{setting}_val.mat")["gt_list"]
        proposals, found, faces = [0] * 1000, [0] * 1000, 0
        for event in range(len(every["event_list"])):
            for photo in range(len(every["file_list"][event, 0])):
                key = str(every["event_list"][event, 0][0]), str(every["file_list"][event, 0][photo, 0][0])
                labeled = every["face_bbx_list"][event, 0][photo, 0].astype(float)
                keep = {int(number) - 1 for number in keep_lists[event, 0][photo, 0].ravel()}
                faces += len(keep)
                rows = sorted(predictions.get(key, np.zeros((0, 5))).tolist(), key=lambda row: -row[4])
                if len(labeled) == 0 or len(rows) == 0:
                    continue
                is_proposal, recalled = _one_photo(rows, labeled, keep)
                normalized = [(row[4] - low) / (high - low) for row in rows]
                last = 0
                for t in range(1000):
                    threshold = 1 - (t + 1) / 1000
                    while last < len(rows) and normalized[last] >= threshold:
                        last += 1
                    if last:
                        proposals[t] += is_proposal[last - 1]
                        found[t] += recalled[last - 1]
        figures[setting] = _area([hits / faces for hits in found], _ratios(found, proposals))
    return figures


def _one_photo(rows: list[list[float]], labeled: np.ndarray, keep: set[int]) -> tuple[list[int], list[int]]:
    """After each row: how many proposals so far, and how many faces found."""
    proposals, faces = 0, set()
    so_far: tuple[list[int], list[int]] = ([], [])
    for row in rows:
        overlaps = _overlaps(row, labeled)
        best = int(np.argmax(overlaps))
        if overlaps[best] < 0.5:
            proposals += 1
        elif best in keep:
            proposals += 1
            faces.add(best)
        so_far[0].append(proposals)
        so_far[1].append(len(faces))
    return so_far


def _overlaps(row: list[float], labeled: np.ndarray) -> np.ndarray:
    left, top, width, height, _ = row
    right, bottom = left + width, top + height
    rights, bottoms = labeled[:, 0] + labeled[:, 2], labeled[:, 1] + labeled[:, 3]
    common_width = np.minimum(right, rights) - np.maximum(left, labeled[:, 0]) + 1
    common_height = np.minimum(bottom, bottoms) - np.maximum(top, labeled[:, 1]) + 1
    common = np.where((common_width > 0) & (common_height > 0), common_width * common_height, 0)
    areas = (rights - labeled[:, 0] + 1) * (bottoms - labeled[:, 1] + 1)
    return common / ((right - left + 1) * (bottom - top + 1) + areas - common)


def _ratios(found: list[int], proposals: list[int]) -> list[float]:
    return [hits / shown if shown else 0.0 for hits, shown in zip(found, proposals, strict=True)]


def _area(recall: list[float], precision: list[float]) -> float:
    """Under the envelope, with a point (0, 0) before the curve and (1, 0) after it, as VOC's program does it."""
    recall, envelope = [0.0, *recall, 1.0], [0.0, *precision, 0.0]
    for i in range(len(envelope) - 1, 0, -1):
        envelope[i - 1] = max(envelope[i - 1], envelope[i])
    return sum((recall[i + 1] - recall[i]) * envelope[i + 1] for i in range(len(recall) - 1))


def draw_predictions(boxes: dict[Photo, np.ndarray], rng: np.random.Generator) -> dict[Photo, np.ndarray]:
    """What a detector might say of labeled boxes (m, 4; x, y, width, height).

    Some are missed, the others found up to four times, more or less in their place; false alarms are many and weak.
    Half of the scores are rounded, so that some are equal, and half of the coordinates are whole, as many write them.
    """
    predictions = {}
    for photo, labeled in boxes.items():
        again = np.repeat(labeled, rng.choice(5, len(labeled), p=[0.15, 0.45, 0.2, 0.1, 0.1]), axis=0)
        spread = rng.choice([0.02, 0.06, 0.2], (len(again), 1)) * np.tile(again[:, 2:] + 1, 2)
        hits = again + rng.normal(0, 1, (len(again), 4)) * spread
        alarms = np.concatenate([rng.uniform(0, 900, (rng.poisson(50), 2)), np.zeros((0, 2))])
        alarms = np.concatenate([alarms, rng.uniform(5, 120, (len(alarms), 2))], axis=1)
        scores = np.concatenate([rng.beta(3, 1.5, len(hits)), rng.beta(1, 8, len(alarms))])
        rows = np.concatenate([hits, alarms])
        rows[:, 2:] = np.maximum(rows[:, 2:], 0)
        rows = np.where(rng.random((len(rows), 1)) < 0.5, np.round(rows), rows)
        scores = np.where(rng.random(len(rows)) < 0.5, np.round(scores, 2), scores)
        predictions[photo] = np.column_stack([rows, scores])[rng.permutation(len(rows))]
    return predictions


Labels = dict[Photo, tuple[np.ndarray, dict[str, list[int]]]]
"""By photo the boxes (m, 4) and, by setting, the numbers from 1 of those that have to be found."""


def write_truth(folder: Path, labels: Labels) -> None:
    """The four files in the official layout; photos of one event lie together."""
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
    """A MATLAB cell array of one column."""
    cell = np.empty((len(values), 1), object)
    for i, value in enumerate(values):
        cell[i, 0] = value
    return cell
