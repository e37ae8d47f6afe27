import numpy as np
import pytest

from onelook.data.manifest import Manifest
from onelook.drawing import GREEN, SKY, VERMILLION, Color
from onelook.evaluation.contact_sheet import ContactSheet
from onelook.evaluation.evaluate import Evaluation


def test_frame_colors_show_the_result_at_the_threshold(small_evaluation: Evaluation, small_manifest: Manifest) -> None:
    assert small_evaluation.recognition is not None
    result = small_evaluation.recognition.onelook
    sheet = ContactSheet(small_manifest, small_evaluation.recognition.test, result.people, result.similarities)

    def count_pixels(threshold: float) -> dict[Color, int]:
        drawn = sheet.draw(result.trials, threshold)
        return {color: int((drawn == color).all(-1).sum()) for color in (GREEN, SKY, VERMILLION)}

    correct = int(result.trials.correct.sum())
    wrong = int(np.isfinite(result.trials.scores).sum()) - correct
    assert 0 < correct <= 12
    assert 0 < wrong <= 12
    frame = 112**2 - 106**2
    # All match: correct ones have two green frames, wrong ones two red frames and the green one of their own person.
    expected = {GREEN: (2 * correct + wrong) * frame, SKY: 0, VERMILLION: 2 * wrong * frame}
    assert count_pixels(-1.0) == pytest.approx(expected, rel=0.03)
    # None match: two blue frames for each.
    pixels = count_pixels(1.1)
    assert pixels[VERMILLION] == 0
    assert pixels[SKY] == pytest.approx(2 * min(12, correct + wrong) * frame, rel=0.03)
