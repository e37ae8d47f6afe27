"""Contact sheet of correct and wrong identifications."""

from collections.abc import Sequence

import numpy as np

from onelook.data.manifest import Manifest, Scene
from onelook.drawing import GREEN, SKY, VERMILLION, Color, text_mask, tile_images
from onelook.evaluation.eigenfaces import align_faces
from onelook.evaluation.identification import Trials
from onelook.evaluation.probe_set import ProbeSet
from onelook.evaluation.split_predictions import SplitEmbeddings

_SHOWN = 12
_CROP = 112
_FRAME = 3
_GAP = 4
_TEXT_SIZE = 11
_WIDTH = 1444  # six pairs or four triples of crops in a row


class ContactSheet:
    """A drawing of the mated trials of one split, by crops aligned with the detected landmarks."""

    def __init__(
        self, manifest: Manifest, split: SplitEmbeddings, people: Sequence[str], similarities: np.ndarray
    ) -> None:
        """Take the split and the result of `score_matrix` for it."""
        self._manifest = manifest
        self._split = split
        self._people = people
        self._similarities = similarities

    def draw(self, trials: Trials, threshold: float) -> np.ndarray:
        """Draw the sheet, RGB uint8 (H, W, 3).

        - Correct: the right person above the threshold, evenly spaced by similarity.
        - Wrong: detected but not correct; wrong people first, and of them the most similar. The frame is blue where the
          similarity is below the threshold, so that the answer is "unknown".
        """
        is_detected = np.isfinite(trials.scores)
        is_match = trials.scores >= threshold
        correct = np.flatnonzero(trials.correct & is_match)
        wrong = np.flatnonzero(is_detected & ~(trials.correct & is_match))
        correct = correct[np.argsort(-trials.scores[correct])]
        wrong = wrong[np.lexsort((-trials.scores[wrong], trials.correct[wrong]))]
        shown_correct = correct
        if len(correct):
            shown_correct = correct[np.unique(np.linspace(0, len(correct) - 1, _SHOWN).astype(int))]
        shown_wrong = wrong[:_SHOWN]
        parts = [
            _heading(
                f"Correct: {len(correct)} of {len(trials.probe_rows)} faces; {len(shown_correct)} shown, evenly spaced "
                "by similarity. Each: the face in the scene, and the person's enrollment photo."
            ),
            self._section([self._entry(trials, int(i), GREEN, is_match=True) for i in shown_correct], columns=6),
            _heading(
                f"Wrong: {len(wrong)}, and {np.count_nonzero(~is_detected)} not detected; {len(shown_wrong)} shown, "
                "most similar first. Each: the face, its best match, its own person. Blue: below the threshold."
            ),
            self._section(
                [
                    self._entry(trials, int(i), VERMILLION if is_match[i] else SKY, is_match=bool(is_match[i]))
                    for i in shown_wrong
                ],
                columns=4,
            ),
        ]
        return np.concatenate(parts)

    def _section(self, entries: Sequence[np.ndarray], columns: int) -> np.ndarray:
        if not entries:
            return _heading("none")
        width = (_WIDTH - _GAP * (columns + 1)) // columns
        padded = [np.pad(e, ((0, 0), (0, width - e.shape[1]), (0, 0)), constant_values=255) for e in entries]
        # White entries fill up the last row.
        return tile_images([*padded, *[np.full_like(padded[0], 255)] * (-len(padded) % columns)], columns, _WIDTH)

    def _entry(self, trials: Trials, trial: int, color: Color, *, is_match: bool) -> np.ndarray:
        row = int(trials.probe_rows[trial])
        identity = str(self._split.probes.identities[row])
        best_match = self._people[int(self._similarities[row].argmax())]
        size, score = trials.sizes[trial], trials.scores[trial]
        answer = "match" if is_match else "answer: unknown"
        cells = [
            _framed(self._crop(self._split.probes, self._split.scenes, row), [identity, f"{size:.0f} px"], color),
            _framed(self._crop_enrolled(row, best_match), [f"{best_match} {score:.2f}", answer], color),
        ]
        if best_match != identity:
            lines = [f"{identity} {trials.genuine_scores[trial]:.2f}", "own person"]
            cells.append(_framed(self._crop_enrolled(row, identity), lines, GREEN))
        gap = np.full((cells[0].shape[0], _GAP, 3), 255, np.uint8)
        return np.concatenate([part for cell in cells for part in (gap, cell)][1:], axis=1)

    def _crop_enrolled(self, row: int, person: str) -> np.ndarray | None:
        """Crop the person's enrolled face that is most similar to a probe."""
        enrolled = self._split.enrolled
        rows = [int(i) for i in np.flatnonzero(enrolled.is_detected) if enrolled.identities[i] == person]
        if not rows:
            return None
        nearest = rows[int((enrolled.embeddings[rows] @ self._split.probes.embeddings[row]).argmax())]
        return self._crop(enrolled, self._split.enrollments, nearest)

    def _crop(self, faces: ProbeSet, scenes: Sequence[Scene], row: int) -> np.ndarray:
        rows = slice(row, row + 1)
        crop: np.ndarray = align_faces(self._manifest, scenes, faces.scenes[rows], faces.landmarks[rows], _CROP)[0]
        return crop


def _framed(crop: np.ndarray | None, lines: Sequence[str], color: Color) -> np.ndarray:
    """Draw a frame around a crop and lines of text below; without a crop the cell is gray."""
    picture = np.full((_CROP, _CROP, 3), 200, np.uint8) if crop is None else crop.copy()
    for edge in (np.s_[:_FRAME], np.s_[-_FRAME:], np.s_[:, :_FRAME], np.s_[:, -_FRAME:]):
        picture[edge] = color
    return np.concatenate([picture, *(_text(line, _CROP, _TEXT_SIZE) for line in lines)])


def _heading(text: str) -> np.ndarray:
    return _text(text, _WIDTH, _TEXT_SIZE + 4)


def _text(line: str, width: int, size: int) -> np.ndarray:
    """Draw a line of black text on white, RGB uint8 (1.6 size, width, 3).

    Text that does not fit ends in an ellipsis.
    """
    ink = text_mask(line, size)
    while ink.shape[1] > width:
        line = line.removesuffix("…")[:-1] + "…"
        ink = text_mask(line, size)
    height = round(size * 1.6)
    canvas = np.full((height, width, 3), 255, np.uint8)
    canvas[: ink.shape[0], : ink.shape[1]] -= ink[:height, :, None]
    return canvas
