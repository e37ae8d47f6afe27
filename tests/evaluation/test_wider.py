"""WIDER FACE's protocol: every trap by hand, and all of it against the slow twin."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from helpers.wider_twin import SETTINGS, Labels, draw_predictions, slow_evaluation, write_truth
from onelook.evaluation.wider import THRESHOLDS, evaluate_wider, normalize_scores
from onelook.evaluation.wider_ground_truth import WiderPhoto, read_wider_truth

FACE = [10, 10, 29, 29]
OTHER = [100, 10, 119, 29]
NOWHERE = [300, 300, 320, 320]


def a_photo(boxes: list[list[float]], wanted: list[bool] | None = None) -> WiderPhoto:
    """The same faces wanted in each setting, all of them by default."""
    kept = np.array([True] * len(boxes) if wanted is None else wanted, bool)
    return WiderPhoto(
        "0--Parade", "0_Parade_1", np.array(boxes, np.float32).reshape(-1, 4), dict.fromkeys(SETTINGS, kept)
    )


def evaluate(photos: list[WiderPhoto], found: list[list[tuple[list[float], float]]]) -> float:
    """AP of predictions given as (box, score), the same in each setting."""
    boxes = [np.array([box for box, _ in each], np.float64).reshape(-1, 4) for each in found]
    curves = evaluate_wider(photos, boxes, [np.array([score for _, score in each], np.float64) for each in found])
    easy, medium, hard = (curves[setting].average_precision for setting in SETTINGS)
    assert easy == medium == hard
    return easy


# The lowest score of all is normalized to 0 and the highest to 1: with this and one of 1.0, scores stay as they are.
BOTTOM = [(NOWHERE, 0.0)]


def test_thresholds_are_a_thousand_from_999_thousandths_to_nothing() -> None:
    assert len(THRESHOLDS) == 1000
    assert THRESHOLDS[0] == 1 - 1 / 1000 and THRESHOLDS[-1] == 0


def test_scores_are_normalized_over_all_photos_together() -> None:
    first, second, third = normalize_scores([np.array([2.0, 6.0]), np.zeros(0), np.array([4.0, 10.0])])
    assert first.tolist() == [0.0, 0.5] and second.tolist() == [] and third.tolist() == [0.25, 1.0]
    assert normalize_scores([np.full(2, 0.3), np.full(1, 0.3)])[0].tolist() == [1, 1]
    assert normalize_scores([np.zeros(0)])[0].tolist() == []


def test_between_two_thresholds_the_order_of_scores_is_lost() -> None:
    """0.50049 and 0.50001 both lie between 0.501 and 0.5: the hit and the false alarm appear together."""
    photos, ends = [a_photo([FACE, OTHER])], [(OTHER, 1.0), *BOTTOM]
    assert evaluate(photos, [[(FACE, 0.50049), (NOWHERE, 0.50001), *ends]]) == pytest.approx(0.5 * 1 + 0.5 * 2 / 3)
    assert evaluate(photos, [[(FACE, 0.50149), (NOWHERE, 0.50001), *ends]]) == pytest.approx(1)


def test_the_second_prediction_on_a_face_is_a_false_alarm() -> None:
    photos = [a_photo([FACE, OTHER])]
    assert evaluate(photos, [[(FACE, 1.0), (FACE, 0.9), (OTHER, 0.5), *BOTTOM]]) == pytest.approx(0.5 + 0.5 * 2 / 3)


def test_the_best_scored_prediction_is_the_hit_in_whatever_order_they_come() -> None:
    slightly_off = [11, 10, 30, 29]
    photos = [a_photo([FACE])]
    assert evaluate(photos, [[(FACE, 0.2), (slightly_off, 1.0), *BOTTOM]]) == 1
    assert evaluate(photos, [[(slightly_off, 1.0), (FACE, 0.2), *BOTTOM]]) == 1


def test_a_prediction_on_an_ignored_face_is_neither_right_nor_wrong() -> None:
    photos = [a_photo([FACE, OTHER], [True, False])]
    assert evaluate(photos, [[(OTHER, 1.0), (OTHER, 0.9), (FACE, 0.5)]]) == 1
    assert evaluate(photos, [[(FACE, 1.0), *BOTTOM]]) == 1


def test_a_prediction_nearer_to_an_ignored_face_does_not_find_the_wanted_one_it_overlaps_enough() -> None:
    ignored = [12, 10, 31, 29]
    photos = [a_photo([FACE, ignored], [True, False])]
    assert evaluate(photos, [[(ignored, 1.0), *BOTTOM]]) == 0
    assert evaluate([a_photo([FACE])], [[(ignored, 1.0), *BOTTOM]]) == 1


def test_of_two_labels_overlapped_alike_the_first_is_claimed() -> None:
    between = [20, 10, 39, 29]
    left, right = [18, 10, 37, 29], [22, 10, 41, 29]
    assert evaluate([a_photo([left, right], [True, False])], [[(between, 1.0), *BOTTOM]]) == 1
    assert evaluate([a_photo([left, right], [False, True])], [[(between, 1.0), *BOTTOM]]) == 0


def test_overlap_is_counted_with_the_last_pixel_and_half_is_enough() -> None:
    # On areas one pixel larger: 10 x 20 of 20 x 20, just half; as continuous boxes it would be 9 / 19.
    half, less = [10, 10, 19, 29], [10, 10, 18.99, 29]
    assert evaluate([a_photo([FACE])], [[(half, 1.0), *BOTTOM]]) == 1
    assert evaluate([a_photo([FACE])], [[(less, 1.0), *BOTTOM]]) == 0
    # A label of no width is a pixel wide and can be found.
    line = [50, 50, 50, 60]
    assert evaluate([a_photo([line])], [[(line, 1.0), *BOTTOM]]) == 1


def test_faces_of_a_photo_without_predictions_are_missed() -> None:
    photos = [a_photo([FACE]), a_photo([FACE, OTHER])]
    assert evaluate(photos, [[(FACE, 1.0), *BOTTOM], []]) == pytest.approx(1 / 3)
    assert evaluate(photos, [[], []]) == 0


def test_in_a_photo_without_labels_there_are_no_false_alarms_but_scores() -> None:
    photos = [a_photo([FACE]), a_photo([])]
    assert evaluate(photos, [[(FACE, 0.5)], [(NOWHERE, 0.9), (NOWHERE, 0.0)]]) == 1
    # Its best score pushes 0.5 and 0.5004 of the other photo between the same two thresholds.
    alarm_first = [(NOWHERE, 0.5004), (FACE, 0.5003)]
    assert evaluate(photos, [alarm_first, [(NOWHERE, 1.0), (NOWHERE, 0.0)]]) == 0.5


def test_precision_is_that_of_the_envelope() -> None:
    """By score: false alarm, hit, hit. Precision 0, 1/2, 2/3: the envelope is 2/3 everywhere."""
    photos = [a_photo([FACE, OTHER])]
    assert evaluate(photos, [[(NOWHERE, 1.0), (FACE, 0.8), (OTHER, 0.6), *BOTTOM]]) == pytest.approx(2 / 3)


def test_without_a_face_to_find_there_is_no_figure() -> None:
    curves = evaluate_wider([a_photo([FACE], [False])], [np.array([FACE])], [np.ones(1)])
    assert all(np.isnan(curve.average_precision) for curve in curves.values())


def draw_labels(rng: np.random.Generator) -> Labels:
    """A few photos of two events, crowded so that labels overlap; not all faces are wanted, or any."""
    labels: Labels = {}
    for number in range(rng.integers(2, 6)):
        count = rng.integers(0, 12)
        boxes = np.concatenate([rng.integers(0, 80, (count, 2)), rng.integers(0, 40, (count, 2))], axis=1)
        numbers = {s: (np.flatnonzero(rng.random(count) < share) + 1).tolist() for s, share in WANTED.items()}
        labels[f"{number // 2}--Event", f"photo_{number}"] = boxes, numbers
    first = np.array([[10, 10, 19, 19]]), {setting: [1] for setting in SETTINGS}  # so that each setting has a face
    return labels | {("9--Event", "photo_9"): first}


WANTED = {"easy": 0.2, "medium": 0.5, "hard": 0.9}


@settings(max_examples=60)
@given(st.integers(0, 2**32 - 1))
def test_equals_the_slow_twin(tmp_path_factory: pytest.TempPathFactory, seed: int) -> None:
    rng = np.random.default_rng(seed)
    folder = tmp_path_factory.mktemp("truth")
    labels = draw_labels(rng)
    write_truth(folder, labels)
    predictions = draw_predictions({photo: boxes for photo, (boxes, _) in labels.items()}, rng)
    photos = read_wider_truth(folder)
    rows = [predictions[photo.event, photo.name] for photo in photos]
    curves = evaluate_wider(
        photos, [np.hstack([each[:, :2], each[:, :2] + each[:, 2:4]]) for each in rows], [each[:, 4] for each in rows]
    )
    expected = slow_evaluation(folder, predictions)
    for setting, curve in curves.items():
        assert curve.average_precision == pytest.approx(expected[setting], abs=1e-9)
        assert (np.diff(curve.recall) >= 0).all() and 0 <= curve.recall[-1] <= 1


@settings(max_examples=60)
@given(st.integers(0, 2**32 - 1), st.sampled_from([0.125, 4.0]), st.integers(-3, 3))
def test_scores_may_be_stretched_and_moved_and_photos_reordered(seed: int, factor: float, shift: int) -> None:
    rng = np.random.default_rng(seed)
    photos, boxes, scores = [], [], []
    for _ in range(4):
        corners = rng.integers(0, 60, (rng.integers(1, 8), 2))
        labeled = np.hstack([corners, corners + rng.integers(5, 30, corners.shape)])
        wanted = {setting: rng.random(len(labeled)) < 0.7 for setting in SETTINGS}
        photos.append(WiderPhoto("e", "p", labeled.astype(np.float32), wanted))
        boxes.append(np.repeat(labeled, 2, axis=0) + rng.normal(0, 3, (2 * len(labeled), 4)))
        # Powers of two and sums of few bits: moving and stretching is exact, no score changes its threshold.
        scores.append(rng.integers(0, 257, len(boxes[-1])) / 256)
    plain = evaluate_wider(photos, boxes, scores)
    order = rng.permutation(4)
    shuffle = [[each[i] for i in order] for each in (photos, boxes, [factor * (each + shift) for each in scores])]
    changed = evaluate_wider(*shuffle)
    for setting, curve in plain.items():
        np.testing.assert_array_equal(curve.recall, changed[setting].recall)
        np.testing.assert_array_equal(curve.precision, changed[setting].precision)


@pytest.mark.shared_data
def test_the_official_labels_as_predictions_are_as_good_as_they_allow(shared_data: Path) -> None:
    """A face of the hard setting is labeled twice, so its double finds nothing new; another has a width of -2 pixels,
    cannot be found, and is a false alarm in every setting."""
    photos = read_wider_truth(shared_data / "widerface/ground_truth")
    curves = evaluate_wider(photos, [photo.boxes for photo in photos], [np.ones(len(photo.boxes)) for photo in photos])
    found = [curve.average_precision for curve in curves.values()]
    assert found == pytest.approx([7211 / 7212, 13319 / 13320, (31956 / 31958) ** 2], abs=1e-12)
