"""A contact sheet of right and wrong identifications: numbers do not show why a face was mistaken."""

from collections.abc import Sequence

import numpy as np

from onelook.data.manifest import Manifest
from onelook.drawing import GREEN, SKY, VERMILLION, Color, text_mask, tile
from onelook.evaluation.eigenfaces import cut_crops
from onelook.evaluation.identification import Trials
from onelook.evaluation.probe_set import ProbeSet, SplitEmbeddings

_SHOWN = 12
_CROP = 112
_FRAME = 3
_GAP = 4
_LETTERS = 11
_WIDTH = 1444  # six pairs or four threes of crops in a row


class ContactSheet:
    """Draws trials of one split; shown people as they were seen, so that the crops are what the network had."""

    def __init__(
        self, manifest: Manifest, seen: SplitEmbeddings, people: Sequence[str], similarities: np.ndarray
    ) -> None:
        """Take what `compare` returned for the split."""
        self._manifest = manifest
        self._seen = seen
        self._people = people
        self._similarities = similarities

    def draw(self, trials: Trials, threshold: float) -> np.ndarray:
        """The sheet, RGB uint8 (H, W, 3).

        Right: over the threshold and the right person, evenly spaced by similarity. Wrong: found but not told right,
        those taken for another person first and of them the most similar; where the threshold made it "unknown", the
        frame is blue.
        """
        found = np.isfinite(trials.scores)
        named = trials.scores >= threshold
        right = np.flatnonzero(trials.correct & named)
        wrong = np.flatnonzero(found & ~(trials.correct & named))
        right = right[np.argsort(-trials.scores[right])]
        wrong = wrong[np.lexsort((-trials.scores[wrong], trials.correct[wrong]))]
        chosen = right[np.unique(np.linspace(0, len(right) - 1, _SHOWN).astype(int))] if len(right) else right
        mistakes = wrong[:_SHOWN]
        parts = [
            _heading(
                f"Right: {len(right)} of {len(trials.rows)} faces; {len(chosen)} shown, evenly spaced by similarity. "
                "Each: the face in the scene, and its person's enrollment photo."
            ),
            self._section([self._entry(trials, int(i), GREEN, told=True) for i in chosen], columns=6),
            _heading(
                f"Wrong: {len(wrong)}, and {np.count_nonzero(~found)} not found; {len(mistakes)} shown, most similar "
                "first. Each: the face, who it resembled most, who it is. Blue: under the threshold, so told unknown."
            ),
            self._section(
                [self._entry(trials, int(i), VERMILLION if named[i] else SKY, told=bool(named[i])) for i in mistakes],
                columns=4,
            ),
        ]
        return np.concatenate(parts)

    def _section(self, entries: Sequence[np.ndarray], columns: int) -> np.ndarray:
        if not entries:
            return _heading("none")
        width = (_WIDTH - _GAP * (columns + 1)) // columns
        padded = [np.pad(e, ((0, 0), (0, width - e.shape[1]), (0, 0)), constant_values=255) for e in entries]
        # A row that is not full is filled up with white, so that every row has its cells.
        return tile([*padded, *[np.full_like(padded[0], 255)] * (-len(padded) % columns)], columns, _WIDTH)

    def _entry(self, trials: Trials, trial: int, color: Color, *, told: bool) -> np.ndarray:
        row = int(trials.rows[trial])
        identity = str(self._seen.probes.identities[row])
        answer = self._people[int(self._similarities[row].argmax())]
        size, score = trials.sizes[trial], trials.scores[trial]
        cells = [
            _framed(self._crop(self._seen.probes, row, enrolled=False), [identity, f"{size:.0f} px"], color),
            _framed(
                self._enrolled(row, answer), [f"{answer} {score:.2f}", "named" if told else "told: unknown"], color
            ),
        ]
        if answer != identity:
            lines = [f"{identity} {trials.genuine[trial]:.2f}", "the right one"]
            cells.append(_framed(self._enrolled(row, identity), lines, GREEN))
        gap = np.full((cells[0].shape[0], _GAP, 3), 255, np.uint8)
        return np.concatenate([part for cell in cells for part in (gap, cell)][1:], axis=1)

    def _enrolled(self, row: int, person: str) -> np.ndarray | None:
        """The enrolled photo of a person that is most similar to the probe."""
        enrolled = self._seen.enrolled
        own = [int(i) for i in np.flatnonzero(enrolled.found) if enrolled.identities[i] == person]
        if not own:
            return None
        nearest = own[int((enrolled.embeddings[own] @ self._seen.probes.embeddings[row]).argmax())]
        return self._crop(enrolled, nearest, enrolled=True)

    def _crop(self, sightings: ProbeSet, row: int, *, enrolled: bool) -> np.ndarray:
        scenes = self._seen.enrollments if enrolled else self._seen.scenes
        place = slice(row, row + 1)
        return cut_crops(self._manifest, scenes, sightings.scenes[place], sightings.landmarks[place], _CROP)[0]


def _framed(crop: np.ndarray | None, lines: Sequence[str], color: Color) -> np.ndarray:
    """A crop in a frame with lines of text below; None is a gray cell."""
    picture = np.full((_CROP, _CROP, 3), 200, np.uint8) if crop is None else crop.copy()
    for edge in (np.s_[:_FRAME], np.s_[-_FRAME:], np.s_[:, :_FRAME], np.s_[:, -_FRAME:]):
        picture[edge] = color
    return np.concatenate([picture, *(_text(line, _CROP, _LETTERS) for line in lines)])


def _heading(text: str) -> np.ndarray:
    return _text(text, _WIDTH, _LETTERS + 4)


def _text(line: str, width: int, letters: int) -> np.ndarray:
    """A line of black text on white, RGB uint8 (1.6 x letters, width, 3); what does not fit ends in an ellipsis."""
    ink = text_mask(line, letters)
    while ink.shape[1] > width:
        line = line.removesuffix("…")[:-1] + "…"
        ink = text_mask(line, letters)
    height = round(letters * 1.6)
    paper = np.full((height, width, 3), 255, np.uint8)
    paper[: ink.shape[0], : ink.shape[1]] -= ink[:height, :, None]
    return paper
